// A bounded past: one slot for each second (or minute), overwritten by what comes one window later.
(function (soundclr) {
  "use strict";

  /** Columns of numbers by whole second. Where nothing was put, there is NaN: a gap, never 0. */
  class SlotRing {
    /**
     * @param {number} slots how many seconds (or minutes) are kept
     * @param {string[]} columns names; more may come with `addColumn`
     */
    constructor(slots, columns) {
      this.slots = slots;
      this._stamps = new Float64Array(slots).fill(NaN);
      this._columns = new Map();
      columns.forEach((name) => this.addColumn(name));
    }

    addColumn(name) {
      if (!this._columns.has(name)) this._columns.set(name, new Float32Array(this.slots).fill(NaN));
    }

    /** Values by column name; `undefined`, null and what is no number become a gap. */
    put(stamp, values) {
      const slot = this._slotOf(stamp);
      if (this._stamps[slot] !== stamp) {
        this._stamps[slot] = stamp;
        for (const column of this._columns.values()) column[slot] = NaN;
      }
      for (const [name, value] of values) {
        const column = this._columns.get(name);
        if (column) column[slot] = Number.isFinite(value) ? value : NaN;
      }
    }

    at(stamp, name) {
      const slot = this._slotOf(stamp);
      const column = this._columns.get(name);
      return column && this._stamps[slot] === stamp ? column[slot] : NaN;
    }

    _slotOf(stamp) {
      return ((stamp % this.slots) + this.slots) % this.slots;
    }
  }

  soundclr.SlotRing = SlotRing;
})((window.soundclr = window.soundclr || {}));
