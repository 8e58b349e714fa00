// The events of all nodes: each one once, however often its messages come, and no more than a bounded number of them.
(function (soundclr) {
  "use strict";

  const PHASES = ["start", "update", "end"];
  const LEVELS = ["laeq", "lafmax", "background_la90"];
  const REMEMBERED = 20000; // events no longer kept that are known again, some 100 bytes each: a busy corner's month

  /** Feed it events' payloads; read `newest(count)`. */
  class EventLog {
    constructor(kept) {
      this.kept = kept;
      this.started = 0; // events heard of since the page was opened
      this._events = new Map(); // by node, source and event_id
      this._forgotten = new Map(); // phase and duration by the same, of those no longer kept; the longest gone first
    }

    /**
     * Takes one payload.
     * @returns {object|null} the event, its `isNew` true for the first that is heard of it; null for what is known
     *   already: QoS 1 delivers twice at times, and what was sent before may come after
     * @throws {Error} it is none of ours
     */
    take(node, source, values) {
      const phase = text(values.phase);
      if (!PHASES.includes(phase)) throw new Error("phase " + phase);
      if (!soundclr.isSlug(values.label)) throw new Error("label of an event");
      const key = node + "/" + source + "/" + text(values.event_id);
      const known = this._events.get(key) || this._forgotten.get(key);
      const event = { key, node, source, phase, isNew: !known, ...describe(values, phase) };
      if (known && !isLater(event, known)) return null;
      if (!known) this.started += 1;
      this._forgotten.delete(key);
      this._events.set(key, event);
      this._forgetOldest();
      return event;
    }

    get size() {
      return this._events.size;
    }

    all() {
      return this._events.values();
    }

    /** The newest by the time of the sound. */
    newest(count) {
      return Array.from(this._events.values()).sort((a, b) => b.start_ms - a.start_ms).slice(0, count);
    }

    _forgetOldest() {
      if (this._events.size <= this.kept) return;
      let oldest = null;
      for (const event of this._events.values()) {
        if (oldest === null || rank(event) < rank(oldest)) oldest = event;
      }
      this._events.delete(oldest.key);
      this._forgotten.set(oldest.key, { phase: oldest.phase, duration_s: oldest.duration_s });
      if (this._forgotten.size > REMEMBERED) this._forgotten.delete(this._forgotten.keys().next().value);
    }
  }

  /** An end is final, and an event only grows. */
  function isLater(event, known) {
    const step = PHASES.indexOf(event.phase) - PHASES.indexOf(known.phase);
    return step > 0 || (step === 0 && event.phase === "update" && event.duration_s > known.duration_s);
  }

  function rank(event) {
    return (event.phase === "end" ? 0 : 1e15) + event.start_ms; // what still sounds is kept longer
  }

  function describe(values, phase) {
    const duration_s = numberOrNull(values.duration_s);
    const ts_ms = numberOrNull(values.ts_ms);
    if (ts_ms === null) throw new Error("an event without ts_ms");
    const event = {
      label: values.label,
      start_ms: phase === "start" ? ts_ms : ts_ms - (duration_s || 0) * 1000,
      duration_s,
      end_reason: values.end_reason === null || values.end_reason === undefined ? null : text(values.end_reason),
      score_max: numberOrNull(values.score_max),
      replayed: values.replayed === true,
      scale: soundclr.scaleOf(values),
    };
    event.end_ms = phase === "end" ? event.start_ms + (duration_s || 0) * 1000 : null;
    for (const name of LEVELS) event[name] = numberOrNull(values[name + event.scale.suffix]);
    return event;
  }

  function numberOrNull(value) {
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  }

  function text(value) {
    if (typeof value !== "string" || value === "" || value.length > 200) throw new Error("a text is missing");
    return value;
  }

  soundclr.EventLog = EventLog;
  soundclr.numberOrNull = numberOrNull;
})((window.soundclr = window.soundclr || {}));
