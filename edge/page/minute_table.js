// The same ten minutes as both pictures show, as a table: for screen readers, and for copying.
(function (soundclr) {
  "use strict";

  const { make } = soundclr.dom;
  const MINUTES = 10;
  const PERCENTILES = ["la10", "la50", "la90"];

  /** @returns {HTMLTableElement} a row for each of the last ten minutes, the newest first */
  function minuteTable(source, browser_ms) {
    const scale = source.scale();
    const now_ms = source.now_ms(browser_ms);
    const heads = ["Minute", scale.mean, "Maximum", "L10", "L50", "L90", "Accepted"];
    const table = make("table", { className: "figures" }, make("caption", { text: "Levels in " + scale.unit }));
    table.append(make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text })))));
    const body = make("tbody");
    for (let minute = Math.floor(now_ms / 60000); minute > Math.floor(now_ms / 60000) - MINUTES; minute -= 1) {
      const cells = cellsOf(source, minute, scale);
      body.append(make("tr", {}, make("th", { scope: "row", text: soundclr.words.minute(minute * 60000) }),
        ...cells.map((text) => make("td", { text }))));
    }
    table.append(body);
    return table;
  }

  function cellsOf(source, minute, scale) {
    const { number } = soundclr.words;
    const isPlain = scale === soundclr.PLAIN_SCALE;
    const means = secondsOf(source, minute, isPlain ? "plain" : "laeq" + scale.suffix);
    const highs = secondsOf(source, minute, isPlain ? "plain" : "lafmax" + scale.suffix);
    const cells = [isPlain ? null : energeticMean(means), highs.length ? Math.max(...highs) : null];
    for (const name of PERCENTILES) cells.push(isPlain ? null : source.minutes.at(minute, name + scale.suffix));
    return cells.map((level) => number(level, 1)).concat(acceptedIn(source, minute));
  }

  function secondsOf(source, minute, column) {
    const values = [];
    for (let second = minute * 60; second < minute * 60 + 60; second += 1) {
      const value = source.seconds.at(second, column);
      if (!Number.isNaN(value)) values.push(value);
    }
    return values;
  }

  function energeticMean(levels) {
    if (levels.length === 0) return null;
    return 10 * Math.log10(levels.reduce((sum, level) => sum + 10 ** (level / 10), 0) / levels.length);
  }

  function acceptedIn(source, minute) {
    const parts = [];
    for (const label of source.labels) {
      const seconds = secondsOf(source, minute, "accepted " + label).length;
      if (seconds) parts.push(soundclr.words.label(label) + " " + seconds + " s");
    }
    return parts.join(", ") || soundclr.words.NOTHING;
  }

  soundclr.minuteTable = minuteTable;
})((window.soundclr = window.soundclr || {}));
