// What a screen reader is told by itself: events that begin, nodes that come and go. Never more than a line each while.
(function (soundclr) {
  "use strict";

  const PAUSE_MS = 6000;
  const MOST = 20;

  class Announcer {
    constructor(element) {
      this._element = element;
      this._waiting = [];
      this._more = 0;
      this._said_ms = -Infinity;
    }

    say(text) {
      if (this._waiting.length < MOST) this._waiting.push(text);
      else this._more += 1;
    }

    /** Speaks when it is time to. */
    tick(browser_ms) {
      if (this._waiting.length === 0 || browser_ms - this._said_ms < PAUSE_MS) return;
      const texts = this._waiting.splice(0, 3);
      const left = this._waiting.length + this._more;
      if (left > 0) texts.push("and " + left + " more");
      this._waiting = [];
      this._more = 0;
      this._said_ms = browser_ms;
      soundclr.dom.setText(this._element, texts.join(". "));
    }
  }

  /** What an update is worth saying; empty where nothing. */
  function announcementOf(update) {
    if (update.kind === "event" && update.event && update.event.isNew && !update.event.replayed) {
      return soundclr.words.label(update.event.label) + " at " + update.node + ", " + update.source;
    }
    return "";
  }

  soundclr.Announcer = Announcer;
  soundclr.announcementOf = announcementOf;
})((window.soundclr = window.soundclr || {}));
