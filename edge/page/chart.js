// What both pictures of a microphone share: ten minutes from left to right, the page's colours, sharp lines.
(function (soundclr) {
  "use strict";

  const WINDOW_S = 600;
  const COLOURS = [
    "ink", "muted", "line", "surface", "mean", "range", "l10", "l50", "l90", "heat", "accepted", "event", "fault", "void",
  ];

  /** The page's colours, as the theme has them now. */
  function coloursOf(element) {
    const style = getComputedStyle(element);
    return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  }

  /** A canvas made ready to be drawn on in CSS pixels, empty. Null where it has no size. */
  function contextOf(canvas, height) {
    const width = canvas.clientWidth;
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    if (width < 50) return null;
    canvas.style.height = height + "px";
    const [pixels, lines] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== pixels || canvas.height !== lines) {
      canvas.width = pixels;
      canvas.height = lines;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "12px system-ui, -apple-system, 'Segoe UI', sans-serif";
    context.textBaseline = "middle";
    return context;
  }

  /** Where the last ten minutes lie. The gutter at the left holds names and numbers. */
  class TimeAxis {
    constructor(width, now_ms) {
      this.left = width < 460 ? 78 : 108;
      this.right = width - 2;
      this.last = Math.floor(now_ms / 1000); // the second under way
      this.first = this.last - WINDOW_S;
      this.second_px = (this.right - this.left) / WINDOW_S;
      this._ratio = Math.min(window.devicePixelRatio || 1, 3);
    }

    x(second) {
      return this.left + (second - this.first) * this.second_px;
    }

    /** From a second to the one after it, on whole pixels of the screen: neighbours show no seam. */
    span(second) {
      const from = Math.round(this.x(second) * this._ratio) / this._ratio;
      const to = Math.round(this.x(second + 1) * this._ratio) / this._ratio;
      return { from, width: Math.max(to - from, 1 / this._ratio) };
    }

    /** Times below the picture, and lines through it. */
    draw(context, top, bottom, colours, withTimes) {
      const step_s = this.right - this.left < 330 ? 240 : 120;
      context.lineWidth = 1;
      for (let second = Math.ceil(this.first / step_s) * step_s; second <= this.last; second += step_s) {
        const x = Math.round(this.x(second)) + 0.5;
        context.strokeStyle = colours.line;
        context.beginPath();
        context.moveTo(x, top);
        context.lineTo(x, bottom);
        context.stroke();
        const half = 18;
        if (!withTimes || x + half > this.right) continue;
        context.fillStyle = colours.muted;
        context.textAlign = "center";
        context.fillText(soundclr.words.minute(second * 1000), x, bottom + 10);
      }
    }
  }

  /** Text that ends where its room ends. */
  function fitted(context, text, room) {
    if (context.measureText(text).width <= room) return text;
    let short = text;
    while (short.length > 1 && context.measureText(short + "\u2026").width > room) short = short.slice(0, -1);
    return short + "\u2026";
  }

  soundclr.chart = { WINDOW_S, TimeAxis, coloursOf, contextOf, fitted };
})((window.soundclr = window.soundclr || {}));
