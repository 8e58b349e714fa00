// The last ten minutes of classes: a row each, the darker the likelier; what was accepted in another colour, events as
// bars below their row.
(function (soundclr) {
  "use strict";

  const ROW = 19;
  const BAR = 3;
  const TOP = 4;
  const TIMES = 20;

  /** Drawn by seconds: where there was no classification, nothing is drawn. */
  function drawClassStrip(canvas, source, events, browser_ms, colours) {
    const { TimeAxis, contextOf, fitted } = soundclr.chart;
    const labels = source.labels;
    const bottom = TOP + Math.max(1, labels.length) * ROW;
    const context = contextOf(canvas, bottom + TIMES);
    if (!context) return;
    const axis = new TimeAxis(canvas.clientWidth, source.now_ms(browser_ms));
    labels.forEach((label, row) => {
      const top = TOP + row * ROW;
      drawScores(context, axis, source, label, top, colours);
      context.fillStyle = source.active.includes(label) ? colours.ink : colours.muted;
      context.textAlign = "right";
      context.fillText(fitted(context, soundclr.words.label(label), axis.left - 10), axis.left - 8, top + ROW / 2 - 1);
    });
    if (labels.length === 0) {
      context.fillStyle = colours.muted;
      context.textAlign = "center";
      context.fillText("no classifications yet", (axis.left + axis.right) / 2, TOP + ROW / 2);
    }
    axis.draw(context, TOP, bottom, colours, true);
    drawEvents(context, axis, labels, events, browser_ms + source.skew_ms, colours);
  }

  function drawScores(context, axis, source, label, top, colours) {
    for (let second = axis.first; second < axis.last; second += 1) {
      const score = source.seconds.at(second, label);
      if (Number.isNaN(score)) continue;
      const { from, width } = axis.span(second);
      context.globalAlpha = 1;
      context.fillStyle = colours.void; // heard, and found unlikely; what was not heard stays empty
      context.fillRect(from, top, width, ROW - 3);
      const isAccepted = source.seconds.at(second, "accepted " + label) === 1;
      context.globalAlpha = Math.min(Math.max(isAccepted ? 0.35 + 0.65 * score : score, 0), 1);
      context.fillStyle = isAccepted ? colours.accepted : colours.heat;
      context.fillRect(from, top, width, ROW - 3);
    }
    context.globalAlpha = 1;
  }

  function drawEvents(context, axis, labels, events, now_ms, colours) {
    context.fillStyle = colours.event;
    for (const event of events) {
      const row = labels.indexOf(event.label);
      const from = Math.max(axis.x(event.start_ms / 1000), axis.left);
      const to = Math.min(axis.x((event.end_ms === null ? now_ms : event.end_ms) / 1000), axis.right);
      if (row < 0 || to <= axis.left || from >= axis.right) continue;
      context.fillRect(from, TOP + row * ROW + ROW - 3 - BAR, Math.max(to - from, 3), BAR);
    }
  }

  soundclr.drawClassStrip = drawClassStrip;
})((window.soundclr = window.soundclr || {}));
