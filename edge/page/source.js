// One microphone as its messages tell: what it is, its last ten minutes, its last figures.
(function (soundclr) {
  "use strict";

  const SECONDS = 660; // ten minutes are shown
  const MINUTES = 70;
  const LABELS = 40;
  const SKEW_MS = 20000; // within this a node's clock is taken for ours
  const LEVELS_MS = 60000;
  const PERCENTILES = ["la10", "la50", "la90"];

  class Source {
    constructor(node, name) {
      this.node = node;
      this.name = name;
      this.status = null; // null: not known
      this.fault = null;
      this.faultDetail = null;
      this.level = null; // the last `level` message
      this.classification = null;
      this.summaries = new Map(); // the last one of each kind
      this.active = [];
      this.skew_ms = 0; // of the node's clock against this browser's
      this.isSynced = true;
      this.heard_ms = null; // by this browser's clock, when it was last heard of
      this.levelHeard_ms = null;
      this._stamps = new Map();
      this.labels = [];
      this._isKnownLabel = new Set();
      this.seconds = new soundclr.SlotRing(SECONDS, [
        "laeq_db", "laeq_dbfs", "lafmax_db", "lafmax_dbfs", "lafmin_db", "lafmin_dbfs",
        "overload", "valid", "plain", "foreign",
      ]);
      this.minutes = new soundclr.SlotRing(
        MINUTES, PERCENTILES.concat("laeq", "lafmax").flatMap((name) => [name + "_db", name + "_dbfs"]));
    }

    /** The present by the node's clock. */
    now_ms(browser_ms) {
      return browser_ms + this.skew_ms;
    }

    /** How its levels are to be named: plain where of late it has sent the model's own figure and no sound levels. */
    scale() {
      const hasLevels = this.level !== null && this.heard_ms - this.levelHeard_ms < LEVELS_MS;
      return hasLevels ? soundclr.scaleOf(this.level) : soundclr.PLAIN_SCALE;
    }

    takeLevel(values, browser_ms) {
      this._hear(values, browser_ms);
      this.level = values;
      this.levelHeard_ms = browser_ms;
      const names = ["laeq", "lafmax", "lafmin"].flatMap((name) => [name + "_db", name + "_dbfs"]);
      const columns = names.map((name) => [name, values[name]]);
      columns.push(["overload", values.overload_percent], ["valid", values.valid_percent]);
      const start_ms = Date.parse(values.start);
      this.seconds.put(this._stampOf("level", Number.isFinite(start_ms) ? start_ms : values.ts_ms - 1000), columns);
    }

    takeClassification(values, browser_ms) {
      this._hear(values, browser_ms);
      this.classification = values;
      const columns = [["plain", values.level_dbfs], ["foreign", values.foreign]];
      for (const name of Object.keys(values)) {
        if (name.startsWith("score_")) this._addScore(name.slice(6), values[name], columns);
      }
      if (this._isKnownLabel.has(values.accepted_label)) columns.push(["accepted " + values.accepted_label, 1]);
      this.seconds.put(this._stampOf("classification", values.ts_ms - 1000), columns);
    }

    takeState(values, browser_ms) {
      this._hear(values, browser_ms);
      this.fault = textOrNull(values.fault);
      this.faultDetail = textOrNull(values.fault_detail);
      this.active = Object.keys(values)
        .filter((name) => name.startsWith("active_") && values[name] === "ON")
        .map((name) => name.slice(7))
        .filter(soundclr.isSlug)
        .slice(0, LABELS);
    }

    takeSummary(kind, values, browser_ms) {
      const start_ms = Date.parse(values.start);
      if (!Number.isFinite(start_ms)) throw new Error("a summary without its start");
      const last = this.summaries.get(kind);
      if (!last || values.ts_ms >= last.ts_ms || values.replayed !== true) this.summaries.set(kind, values);
      const age_ms = this.now_ms(browser_ms) - start_ms;
      if (kind !== "summary" || age_ms < 0 || age_ms > MINUTES * 60000) return; // history is not drawn over the present
      const names = PERCENTILES.concat("laeq", "lafmax").flatMap((name) => [name + "_db", name + "_dbfs"]);
      this.minutes.put(Math.floor(start_ms / 60000), names.map((name) => [name, values[name]]));
    }

    _hear(values, browser_ms) {
      const skew_ms = values.ts_ms - browser_ms;
      this.skew_ms = Math.abs(skew_ms) < SKEW_MS ? 0 : skew_ms;
      this.isSynced = values.clock !== "unsynced";
      this.heard_ms = browser_ms;
    }

    /** The slot of one second: what comes each second gets one each, however its times fall about the full second. */
    _stampOf(kind, start_ms) {
      const last = this._stamps.get(kind);
      let stamp = Math.round(start_ms / 1000);
      const isNext = last && Math.abs(start_ms - last.start_ms - 1000) < 300;
      if (isNext && Math.abs(last.stamp + 1 - start_ms / 1000) < 0.9) stamp = last.stamp + 1;
      this._stamps.set(kind, { start_ms, stamp });
      return stamp;
    }

    _addScore(label, score, columns) {
      if (!soundclr.isSlug(label)) return;
      if (!this._isKnownLabel.has(label)) {
        if (this.labels.length >= LABELS) return;
        this._isKnownLabel.add(label);
        this.labels.push(label);
        this.labels.sort();
        this.seconds.addColumn(label);
        this.seconds.addColumn("accepted " + label);
      }
      columns.push([label, score]);
    }
  }

  function textOrNull(value) {
    return typeof value === "string" && value !== "" ? value : null;
  }

  soundclr.Source = Source;
})((window.soundclr = window.soundclr || {}));
