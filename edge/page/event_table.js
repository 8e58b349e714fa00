// Events with their levels, the newest first.
(function (soundclr) {
  "use strict";

  const { make, setText, setHidden, setAttribute, arrange } = soundclr.dom;
  const SHOWN = 25;
  const COLUMNS = ["Began", "Where", "Sound", "Duration", "Leq", "Lmax", "Background", "Scale", "Score", "State"];

  class EventTable {
    constructor(table, more) {
      this._body = make("tbody", { role: "rowgroup" });
      this._rows = new Map();
      this._more = more;
      this._isAll = false;
      const heads = COLUMNS.map((text) => make("th", { scope: "col", role: "columnheader", text }));
      table.append(make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads)), this._body);
      more.addEventListener("click", () => {
        this._isAll = !this._isAll;
        this.onChange();
      });
      this.onChange = () => {};
    }

    /** @param {function} isShown whether an event belongs to what the page shows */
    show(model, isShown, browser_ms) {
      const events = model.events.newest(model.events.kept).filter(isShown);
      const shown = this._isAll ? events : events.slice(0, SHOWN);
      arrange(this._body, this._rows, shown, (event) => event.key, () => new EventRow());
      for (const event of shown) this._rows.get(event.key).show(event, model, browser_ms);
      setHidden(this._more, events.length <= SHOWN);
      setText(this._more, this._isAll ? "Show the newest " + SHOWN + " only" : "Show all " + events.length + " that are kept");
      setAttribute(this._more, "aria-expanded", String(this._isAll));
    }
  }

  class EventRow {
    constructor() {
      this._cells = COLUMNS.map((name) => make("td", { role: "cell", "data-name": name }));
      this._time = make("time");
      this._cells[0].append(this._time);
      this.element = make("tr", { role: "row" }, ...this._cells);
    }

    show(event, model, browser_ms) {
      const { words } = soundclr;
      const level = (name) => words.number(event[name], 1);
      const { scale } = event;
      const state = stateOf(event, model);
      setText(this._time, words.dayAndTime(event.start_ms, browser_ms));
      setAttribute(this._time, "datetime", words.utc(event.start_ms));
      setAttribute(this.element, "data-event", event.key);
      setAttribute(this.element, "data-state", state.kind);
      const texts = [
        event.node + " / " + event.source,
        words.label(event.label),
        words.duration(state.kind === "sounding" ? soundingFor_s(event, model, browser_ms) : event.duration_s),
        level("laeq"),
        level("lafmax"),
        level("background_la90"),
        hasLevels(event) ? scale.unit + (scale.isLimited ? ", band-limited" : "") + (scale.calibrated ? "" : ", uncalibrated") : words.NOTHING,
        words.number(event.score_max, 2),
        state.word + (event.replayed ? ", history" : ""),
      ];
      texts.forEach((text, index) => setText(this._cells[index + 1], text));
    }
  }

  function hasLevels(event) {
    return event.laeq !== null || event.lafmax !== null || event.background_la90 !== null;
  }

  function soundingFor_s(event, model, browser_ms) {
    const source = model.nodes.get(event.node).sources.get(event.source);
    const now_ms = source ? source.now_ms(browser_ms) : browser_ms;
    return Math.max(event.duration_s || 0, (now_ms - event.start_ms) / 1000);
  }

  function stateOf(event, model) {
    if (event.phase === "end") {
      return { kind: "ended", word: soundclr.words.wordOf(soundclr.words.END_REASONS, event.end_reason) || "ended" };
    }
    const node = model.nodes.get(event.node);
    if (!node || node.status !== "online") return { kind: "open", word: "open, node away" };
    return { kind: "sounding", word: "sounding" };
  }

  soundclr.EventTable = EventTable;
})((window.soundclr = window.soundclr || {}));
