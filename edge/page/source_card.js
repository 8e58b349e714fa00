// One microphone on the page: its figures, its two pictures, and the same as a table.
(function (soundclr) {
  "use strict";

  const { make, setText, setAttribute, setHidden } = soundclr.dom;
  const PERIODS = [["summary", "Last minute"], ["summary_hour", "Last hour"], ["summary_day", "Last day (UTC)"]];
  const FIGURES = ["laeq", "la10", "la50", "la90", "lafmax"];
  const SPOKEN_MS = 15000; // a picture's description changes no more often

  class SourceCard {
    constructor(source, isVisibleAtFirst) {
      this.source = source; // the page hands in another where a node came back under its name
      this._spoken_ms = 0;
      this.isVisible = isVisibleAtFirst; // the page's observer says
      this._build(source);
    }

    /** Texts, each half second or so. */
    showTexts(browser_ms) {
      const source = this.source;
      const scale = source.scale();
      const state = soundclr.condition.sourceState(source);
      setText(this._state, state.word);
      setAttribute(this._state, "data-kind", state.kind);
      setAttribute(this.element, "data-kind", state.kind);
      setText(this._site, siteOf(source.node));
      this._showTroubles(soundclr.condition.troublesOf(source, browser_ms));
      this._showLevel(scale, browser_ms, state.kind === "good");
      setText(this._hears, hearsOf(source, state.kind === "good", browser_ms));
      setAttribute(this._hears, "data-sounding", state.kind === "good" && source.active.length ? "yes" : "no");
      const isUnheard = source.heard_ms === null;
      for (const part of [this._levels, this._classes, this._details]) setHidden(part, isUnheard);
      this._showPeriods(scale);
      if (this._details.open) this._showTable(browser_ms);
    }

    /** Pictures, each second; only of what is on the screen. */
    showPictures(browser_ms, events, colours) {
      const source = this.source;
      if (this._levels.hidden) return;
      soundclr.drawLevelStrip(this._levels, source, browser_ms, colours);
      soundclr.drawClassStrip(this._classes, source, events, browser_ms, colours);
      if (browser_ms - this._spoken_ms < SPOKEN_MS) return;
      this._spoken_ms = browser_ms;
      const scale = source.scale();
      setAttribute(this._levels, "aria-label", "Levels of the last ten minutes in " + scale.unit + ", " +
        this._value.textContent + " now. The table below holds the same.");
      const heard = Array.from(new Set(events.map((event) => soundclr.words.label(event.label))));
      setAttribute(this._classes, "aria-label", "Classes over the last ten minutes. Events kept: " +
        (heard.join(", ") || "none") + ". The table below holds the same.");
    }

    _build(source) {
      const id = "source-" + source.node.name + "-" + source.name;
      const name = make("h3", { id }, make("span", { className: "node-name", text: source.node.name }),
        make("span", { className: "slash", text: " / " }), make("span", { text: source.name }));
      this._state = make("span", { className: "state" });
      this._site = make("p", { className: "site" });
      this._troubles = make("ul", { className: "troubles" });
      this._value = make("span", { className: "value" });
      this._unit = make("span", { className: "unit" });
      this._what = make("span", { className: "what" });
      this._note = make("p", { className: "note" });
      this._hears = make("p", { className: "hears" });
      this._levels = make("canvas", { role: "img", "aria-label": "Levels of the last ten minutes" });
      this._classes = make("canvas", { role: "img", "aria-label": "Classes over the last ten minutes" });
      this._periods = this._buildPeriods();
      this._lden = make("p", { className: "note" });
      this._table = make("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": "The last ten minutes of " +
        source.node.name + " " + source.name });
      this._details = make("details", {}, make("summary", { text: "The last ten minutes as a table" }), this._table);
      this._details.addEventListener("toggle", () => this._details.open && this._showTable(Date.now()));
      this.element = make("article", { className: "card", "aria-labelledby": id, "data-source": source.node.name + "/" + source.name },
        make("div", { className: "card-head" }, name, this._state),
        this._site,
        this._troubles,
        make("div", { className: "now" },
          make("p", { className: "level" }, this._value, document.createTextNode(" "), this._unit, this._what),
          this._hears),
        this._note,
        this._levels,
        this._classes,
        this._periods.table,
        this._lden,
        this._details);
    }

    _buildPeriods() {
      const rows = new Map();
      const heads = ["", "LAeq", "L10", "L50", "L90", "LAFmax", "Valid"];
      this._heads = heads.map((text) => make(text ? "th" : "td", text ? { scope: "col", text } : {}));
      const body = make("tbody");
      for (const [kind, title] of PERIODS) {
        const cells = heads.slice(1).map(() => make("td"));
        const row = make("tr", { "data-period": kind }, make("th", { scope: "row", text: title }), ...cells);
        row.hidden = true;
        rows.set(kind, { row, cells });
        body.append(row);
      }
      this._caption = make("caption", { className: "visually-hidden" });
      const table = make("table", { className: "figures" }, this._caption, make("thead", {}, make("tr", {}, ...this._heads)), body);
      table.hidden = true;
      return { table, rows };
    }

    _showTroubles(troubles) {
      const text = troubles.join("\n");
      if (this._troubles.dataset.text === text) return;
      this._troubles.dataset.text = text;
      this._troubles.replaceChildren(...troubles.map((trouble) => make("li", { text: trouble })));
    }

    _showLevel(scale, browser_ms, isOnline) {
      const source = this.source;
      const isPlain = scale === soundclr.PLAIN_SCALE;
      const message = isPlain ? source.classification : source.level;
      const isFresh = isOnline && source.heard_ms !== null && browser_ms - source.heard_ms < 15000;
      const level = message && isFresh ? message[isPlain ? "level_dbfs" : "laeq" + scale.suffix] : null;
      setText(this._value, soundclr.words.number(level, 1));
      setText(this._unit, message ? scale.unit : "");
      setText(this._what, message ? (isPlain ? scale.mean : scale.mean + ", 1 s") : "");
      setText(this._note, message ? scale.note + whyUncalibrated(source, scale) : "no levels yet");
      setAttribute(this._note, "data-calibrated", scale.calibrated === true ? "yes" : "no");
    }

    _showPeriods(scale) {
      const { words } = soundclr;
      let isAny = false;
      for (const [kind, { row, cells }] of this._periods.rows) {
        const summary = this.source.summaries.get(kind);
        setHidden(row, !summary);
        if (!summary) continue;
        isAny = true;
        const suffix = soundclr.scaleOf(summary).suffix;
        FIGURES.forEach((name, index) => setText(cells[index], words.number(summary[name + suffix], 1)));
        const valid = words.number(summary.valid_percent, 0);
        setText(cells[FIGURES.length], valid === words.NOTHING ? valid : valid + " %");
        if (kind === "summary") this._nameFigures(soundclr.scaleOf(summary));
      }
      setHidden(this._periods.table, !isAny);
      setText(this._lden, ldenOf(this.source.summaries.get("summary_day")));
    }

    _nameFigures(scale) {
      setText(this._heads[1], scale.isLimited ? "Leq" : "LAeq");
      setText(this._heads[5], scale.isLimited ? "Lmax" : "LAFmax");
      setText(this._caption, "Levels of whole periods in " + scale.unit);
    }

    _showTable(browser_ms) {
      if (this._tableAt_ms && browser_ms - this._tableAt_ms < 10000 && this._table.firstChild) return;
      this._tableAt_ms = browser_ms;
      this._table.replaceChildren(soundclr.minuteTable(this.source, browser_ms));
    }
  }

  function siteOf(node) {
    const site = node.info && node.info.site;
    return typeof site === "string" ? soundclr.words.plain(site) : "";
  }

  function hearsOf(source, isOnline, browser_ms) {
    const { words } = soundclr;
    const last = source.classification;
    if (!isOnline || !last || browser_ms - source.heard_ms > 15000) return "hears: " + words.NOTHING;
    if (source.active.length) return "sounding: " + source.active.map(words.label).join(", ");
    if (typeof last.accepted_label === "string") {
      return "hears: " + words.label(last.accepted_label) + ", score " + words.number(last.score, 2);
    }
    return words.wordOf(words.REASONS, last.reason) || "nothing to name";
  }

  /** What the node says that it lacks for levels re 20 uPa. */
  function whyUncalibrated(source, scale) {
    const said = source.node.health && source.node.health["calibration_" + source.name];
    return scale.calibrated === false && typeof said === "string" ? " (" + soundclr.words.plain(said) + ")" : "";
  }

  function ldenOf(day) {
    const { number, plain, NOTHING } = soundclr.words;
    if (!day || typeof day.local_date !== "string") return "";
    const scale = soundclr.scaleOf(day);
    const of = (name) => number(day[name + scale.suffix], 1);
    if (of("lden") === NOTHING && of("lnight") === NOTHING) return "";
    const valid = number(day.lden_valid_percent, 0);
    return "Lden " + of("lden") + " " + scale.unit + ", Lday " + of("lday") + ", Levening " + of("levening") + ", Lnight " +
      of("lnight") + " (" + plain(day.local_date) + ", " + valid + " % valid)";
  }

  soundclr.SourceCard = SourceCard;
})((window.soundclr = window.soundclr || {}));
