// The last ten minutes of sound levels: range, mean, and the minutes' L10, L50, L90.
(function (soundclr) {
  "use strict";

  const HEIGHT = 190;
  const TOP = 12;
  const BOTTOM = HEIGHT - 8;
  const SMALLEST_RANGE_DB = 30;
  const PERCENTILES = [["la10", "l10", "L10"], ["la50", "l50", "L50"], ["la90", "l90", "L90"]];

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {soundclr.Source} source
   * @param {number} browser_ms
   */
  function drawLevelStrip(canvas, source, browser_ms, colours) {
    const { TimeAxis, contextOf } = soundclr.chart;
    const context = contextOf(canvas, HEIGHT);
    if (!context) return;
    const axis = new TimeAxis(canvas.clientWidth, source.now_ms(browser_ms));
    const scale = source.scale();
    const series = seriesOf(source, axis, scale);
    const range = rangeOf(series, scale);
    const y = (level) => BOTTOM - ((level - range.low) / (range.high - range.low)) * (BOTTOM - TOP);
    drawGrid(context, axis, range, y, scale, colours);
    axis.draw(context, TOP, BOTTOM, colours, false);
    if (series.isEmpty) {
      context.fillStyle = colours.muted;
      context.textAlign = "center";
      context.fillText("no levels in these ten minutes", (axis.left + axis.right) / 2, (TOP + BOTTOM) / 2);
      return;
    }
    drawOverload(context, source, axis, colours);
    drawRange(context, axis, series, y, colours);
    drawMean(context, axis, series.mean, y, colours);
    drawMinutes(context, axis, source, scale, y, colours);
  }

  function seriesOf(source, axis, scale) {
    const names = scale === soundclr.PLAIN_SCALE
      ? { mean: "plain" }
      : { mean: "laeq" + scale.suffix, high: "lafmax" + scale.suffix, low: "lafmin" + scale.suffix };
    const series = { mean: [], high: [], low: [], isEmpty: true };
    for (let second = axis.first; second < axis.last; second += 1) {
      for (const part of ["mean", "high", "low"]) {
        series[part].push(names[part] ? source.seconds.at(second, names[part]) : NaN);
      }
      if (!Number.isNaN(series.mean[series.mean.length - 1])) series.isEmpty = false;
    }
    return series;
  }

  /** Whole tens about what there is, and never so narrow that quiet looks dramatic. */
  function rangeOf(series, scale) {
    let [low, high] = [Infinity, -Infinity];
    for (const part of [series.mean, series.high, series.low]) {
      for (const level of part) {
        if (level < low) low = level;
        if (level > high) high = level;
      }
    }
    if (low > high) return scale.calibrated ? { low: 30, high: 90 } : { low: -90, high: -30 };
    low = Math.max(Math.floor((low - 2) / 10) * 10, -150);
    high = Math.min(Math.ceil((high + 2) / 10) * 10, 200);
    while (high - low < SMALLEST_RANGE_DB) {
      high += 10;
      if (high - low < SMALLEST_RANGE_DB) low -= 10;
    }
    return { low, high };
  }

  function drawGrid(context, axis, range, y, scale, colours) {
    const step_db = range.high - range.low > 60 ? 20 : 10;
    context.textAlign = "right";
    for (let level = Math.ceil(range.low / step_db) * step_db; level <= range.high; level += step_db) {
      const line = Math.round(y(level)) + 0.5;
      context.strokeStyle = colours.line;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(axis.left, line);
      context.lineTo(axis.right, line);
      context.stroke();
      context.fillStyle = colours.muted;
      context.fillText(soundclr.words.number(level, 0), axis.left - 8, line);
    }
    context.textAlign = "left";
    context.fillStyle = colours.muted;
    context.fillText(scale.unit, 0, TOP + 1);
  }

  function drawRange(context, axis, series, y, colours) {
    context.fillStyle = colours.range;
    series.high.forEach((high, index) => {
      const low = series.low[index];
      if (!(high >= low)) return;
      const { from, width } = axis.span(axis.first + index);
      context.fillRect(from, y(high), width, Math.max(1, y(low) - y(high)));
    });
  }

  function drawMean(context, axis, mean, y, colours) {
    context.strokeStyle = colours.mean;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    let isDrawing = false;
    mean.forEach((level, index) => {
      if (Number.isNaN(level)) {
        isDrawing = false; // a gap stays a gap
        return;
      }
      const x = axis.x(axis.first + index);
      if (isDrawing) context.lineTo(x, y(level));
      else context.moveTo(x, y(level));
      context.lineTo(x + axis.second_px, y(level));
      isDrawing = true;
    });
    context.stroke();
  }

  /** Exceedance levels of each whole minute, from `summary`: they cannot be had from the seconds' means. */
  function drawMinutes(context, axis, source, scale, y, colours) {
    if (scale === soundclr.PLAIN_SCALE) return;
    context.lineWidth = 2;
    const names = [];
    for (const [name, colour, title] of PERCENTILES) {
      context.strokeStyle = context.fillStyle = colours[colour];
      let last = null;
      for (let minute = Math.floor(axis.first / 60); minute * 60 < axis.last; minute += 1) {
        const level = source.minutes.at(minute, name + scale.suffix);
        if (Number.isNaN(level)) continue;
        const from = Math.max(axis.x(minute * 60), axis.left);
        const to = Math.min(axis.x(minute * 60 + 60), axis.right);
        context.beginPath();
        context.moveTo(from, y(level));
        context.lineTo(to, y(level));
        context.stroke();
        last = { to, level };
      }
      if (!last) continue;
      const isBeside = last.to + 29 < axis.right;
      const x = isBeside ? last.to + 5 : axis.right - 24;
      names.push({ title, colour: colours[colour], x, y: y(last.level) - (isBeside ? 0 : 9) });
    }
    drawNames(context, names, colours);
  }

  /** Names beside the last lines, apart from each other and readable over whatever lies below. */
  function drawNames(context, names, colours) {
    names.sort((a, b) => a.y - b.y);
    names.forEach((name, index) => {
      if (index > 0) name.y = Math.max(name.y, names[index - 1].y + 13);
    });
    context.textAlign = "left";
    for (const { title, colour, x, y } of names) {
      context.lineWidth = 4;
      context.strokeStyle = colours.surface;
      context.strokeText(title, x, y);
      context.fillStyle = colour;
      context.fillText(title, x, y);
    }
  }

  /** Seconds that reached full scale: what was louder is not known. */
  function drawOverload(context, source, axis, colours) {
    context.fillStyle = colours.fault;
    for (let second = axis.first; second < axis.last; second += 1) {
      if (source.seconds.at(second, "overload") > 0) {
        context.fillRect(axis.x(second), TOP - 8, Math.max(axis.second_px, 2), 6);
      }
    }
  }

  soundclr.drawLevelStrip = drawLevelStrip;
})((window.soundclr = window.soundclr || {}));
