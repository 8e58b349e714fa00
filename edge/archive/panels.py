"""The three panels of a day's picture: spectrum, levels, events; over one axis of time, holes shown as holes."""

from typing import Any, List, Sequence, Tuple

import numpy as np

from edge.archive.day import Day, levels_in, local_clock
from edge.archive.level_rows import LevelScale
from edge.archive.picture_options import PictureOptions
from edge.archive.spectrum import band_edges_hz
from edge.levels.totals import LevelTotals

# Okabe and Ito's colours, which most colour-blind readers tell apart
_LAEQ, _L10, _L50, _L90, _RANGE = "#0072B2", "#D55E00", "#000000", "#009E73", "#BFD7EA"
_EVENTS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#44AA99", "#999933", "#6E6E6E")
_HOLE = {"facecolor": "#EDEDED", "edgecolor": "#C4C4C4", "hatch": "////", "linewidth": 0.0}
_LEAST_BAR = 1.0 / 700.0  # of the axis: a shot would not be seen
_SPECTRUM_RANGE_DB = 60.0


def draw_spectrum(figure: Any, axes: Any, day: Day, scale: LevelScale) -> None:
    """Levels of sixths of an octave, as colours."""
    levels = levels_in(day.spectrum_dbfs, scale)
    axes.set_ylabel("frequency, Hz")
    axes.set_yscale("log")
    highest_hz = float(band_edges_hz()[len(levels)]) if len(levels) else 20000.0
    axes.set_ylim(25, highest_hz)
    ticks = [hz for hz in (31.5, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000) if hz < highest_hz]
    axes.set_yticks(ticks, ["%g" % hz if hz < 1000 else "%gk" % (hz / 1000) for hz in ticks])
    axes.minorticks_off()
    if not np.isfinite(levels).any():
        return
    top = 5.0 * np.ceil(np.nanpercentile(levels, 99.9) / 5.0)
    columns = np.linspace(day.start_s, day.start_s + day.column_s * levels.shape[1], levels.shape[1] + 1)
    mesh = axes.pcolormesh(
        columns,
        band_edges_hz()[: len(levels) + 1],
        np.ma.masked_invalid(levels),
        cmap="magma",
        vmin=top - _SPECTRUM_RANGE_DB,
        vmax=top,
        shading="flat",
        rasterized=True,
    )
    box = axes.get_position()
    bar = figure.add_axes((0.862, box.y0 + 0.01, 0.012, box.height - 0.02))
    figure.colorbar(mesh, cax=bar)
    unit = "dB" if scale.calibration is not None else "dBFS"
    bar.set_ylabel("level of a sixth of an octave, %s" % unit)
    bar.spines[:].set_visible(True)


def draw_levels(axes: Any, day: Day, scale: LevelScale) -> None:
    """LAeq over time and the levels exceeded for 10, 50 and 90 % of each step."""
    laeq = levels_in(day.laeq_dbfs, scale)
    bin_s = 60 if day.step_s >= 3600 else 10 if day.end_s - day.start_s > 1200.0 else 1
    at_s, mean, low, high = _binned(laeq, day.start_s, bin_s)
    if bin_s > 1:
        axes.fill_between(at_s, low, high, step="mid", color=_RANGE, linewidth=0, label="LAeq,1s: lowest, highest")
    what = {60: "LAeq of a minute", 10: "LAeq of 10 s", 1: "LAeq of a second"}[bin_s]
    axes.step(at_s, mean, where="mid", color=_LAEQ, linewidth=0.9, label=what)
    step = "an hour" if day.step_s == 3600 else "%.0f min" % (day.step_s / 60.0)
    for percent, colour in ((10, _L10), (50, _L50), (90, _L90)):
        axes.plot(
            *_percentile_steps(day, percent, scale), color=colour, linewidth=1.3, label="L%d of %s" % (percent, step)
        )
    unit = "dB(A)" if day.bandwidth_hz is None else "dB"
    axes.set_ylabel("level, " + (unit if scale.calibration is not None else unit + " re full scale"))
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.5)
    axes.set_axisbelow(True)
    found = np.concatenate([low, high, _percentile_steps(day, 90, scale)[1]])
    if np.isfinite(found).any():
        bottom, top = 5 * np.floor(np.nanmin(found) / 5), 5 * np.ceil((np.nanmax(found) + 1) / 5)
        axes.set_ylim(bottom, max(top, bottom + 20))
    overloaded = np.flatnonzero(day.overloaded)
    if len(overloaded):
        height = axes.get_ylim()[1]
        axes.plot(
            day.start_s + overloaded + 0.5, np.full(len(overloaded), height), "v", color="#B00020", markersize=4,
            clip_on=False, label="overload",
        )  # fmt: skip
    axes.legend(loc="upper left", bbox_to_anchor=(1.012, 1.02), borderaxespad=0.0, handlelength=1.4, fontsize=7.5)
    axes.text(
        1.02, 0.0, _figures(day, scale), transform=axes.transAxes, va="bottom", ha="left", fontsize=8, linespacing=1.45,
        family="DejaVu Sans Mono",
    )  # fmt: skip


def draw_events(axes: Any, day: Day, heard: Sequence[str], labels: Sequence[str]) -> None:
    """A row of bars for each class that was heard."""
    least_s = _LEAST_BAR * (day.end_s - day.start_s)
    for row, label in enumerate(heard):
        spans = [span for span in day.events if span.label == label]
        colour = _EVENTS[list(labels).index(label) % len(_EVENTS)]
        bars = [(span.start_s, max(least_s, span.end_s - span.start_s)) for span in spans]
        axes.broken_barh(bars, (row - 0.36, 0.72), facecolors=colour, edgecolors=colour, linewidth=0.3)
        length_s = sum(span.end_s - span.start_s for span in spans)
        text = "%d event%s, %s" % (len(spans), "" if len(spans) == 1 else "s", _duration(length_s))
        axes.text(1.012, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5, color="#333333")
    axes.set_yticks(range(len(heard)), [label.replace("_", " ") for label in heard])
    axes.set_ylim(max(1, len(heard)) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.5)
    axes.set_axisbelow(True)
    if not heard:
        axes.text(0.5, 0.5, "no events", transform=axes.transAxes, ha="center", va="center", color="#777777")


def draw_holes(axes: Any, day: Day) -> None:
    """Hatch the time of which there is no recording."""
    for start_s, end_s in holes_of(day):
        axes.axvspan(start_s, end_s, zorder=0.5, **_HOLE)


def holes_of(day: Day) -> List[Tuple[float, float]]:
    """Where nothing was recorded."""
    empty = np.isnan(day.spectrum_dbfs).all(axis=0) if len(day.spectrum_dbfs) else np.ones(1, bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]]).astype(int)))
    return [
        (day.start_s + day.column_s * first, min(day.end_s, day.start_s + day.column_s * last))
        for first, last in zip(edges[::2], edges[1::2])
    ]


def label_time(axes: Any, day: Day, options: PictureOptions) -> None:
    """Hours as the place's clocks show them."""
    span_s = day.end_s - day.start_s
    tick_s = next(s for s in (10, 30, 60, 300, 600, 900, 1800, 3600, 7200) if span_s / s <= 13 or s == 7200)
    ticks = np.arange(-(-day.start_s // tick_s) * tick_s, day.end_s + 1.0, tick_s)
    pattern = "%H:%M" if tick_s >= 60 else "%H:%M:%S"
    texts = [local_clock(tick, options.time_zone).strftime(pattern) for tick in ticks]
    if span_s > 80000.0:
        texts[-1] = "24:00" if texts[-1] == "00:00" else texts[-1]
    axes.set_xlim(day.start_s, day.end_s)
    axes.set_xticks(ticks, texts)
    hint = "   hatched: no recording" if holes_of(day) else ""
    axes.set_xlabel("time, %s%s" % (options.time_zone or "UTC", hint))


def _figures(day: Day, scale: LevelScale) -> str:
    total: LevelTotals = day.total
    levels = [("LAeq", total.mean_level(total.energy_a)), ("LAFmax", total.lafmax_dbfs)]
    levels += [("L%d" % percent, total.laf.exceeded(percent)) for percent in (10, 50, 90)]
    offset_db = scale.calibration.offset_db if scale.calibration is not None else 0.0
    lines = ["all shown"] + [
        "%-6s %s" % (n, "%6.1f" % (v + offset_db) if v is not None else "     -") for n, v in levels
    ]
    lines.append("valid  %5.1f %%" % (100.0 * total.heard_s / (day.end_s - day.start_s)))
    return "\n".join(lines)


def _binned(laeq: np.ndarray, start_s: float, bin_s: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Middles, energetic means, minima and maxima of so many seconds each; NaN where there are none."""
    count = -(-len(laeq) // bin_s)
    padded = np.full(count * bin_s, np.nan)
    padded[: len(laeq)] = laeq
    rows = padded.reshape(count, bin_s)
    known = np.isfinite(rows)
    some = known.any(axis=1)
    energy = np.where(known, 10.0 ** (np.where(known, rows, 0.0) / 10.0), 0.0).sum(axis=1)
    mean = np.full(count, np.nan)
    mean[some] = 10.0 * np.log10(energy[some] / known[some].sum(axis=1))
    low, high = np.full(count, np.nan), np.full(count, np.nan)
    low[some], high[some] = np.nanmin(rows[some], axis=1), np.nanmax(rows[some], axis=1)
    return start_s + (np.arange(count) + 0.5) * bin_s, mean, low, high


def _percentile_steps(day: Day, percent: int, scale: LevelScale) -> Tuple[np.ndarray, np.ndarray]:
    """A flat piece for each step, as far as there was sound, with holes between."""
    offset_db = scale.calibration.offset_db if scale.calibration is not None else 0.0
    holes = holes_of(day)
    at_s: List[float] = []
    levels: List[float] = []
    for start_s, end_s, totals in day.steps:
        level = totals.laf.exceeded(percent)
        if level is not None:
            for first_s, last_s in _heard_within(holes, start_s, end_s):
                at_s += [first_s, last_s, last_s]
                levels += [level + offset_db] * 2 + [np.nan]
    return np.array(at_s), np.array(levels)


def _heard_within(holes: Sequence[Tuple[float, float]], start_s: float, end_s: float) -> List[Tuple[float, float]]:
    pieces = []
    for first_s, last_s in holes:
        if start_s < last_s and first_s < end_s:
            if start_s < first_s:
                pieces.append((start_s, first_s))
            start_s = last_s
    return pieces + [(start_s, end_s)] if start_s < end_s else pieces


def _duration(length_s: float) -> str:
    if length_s < 100.0:
        return "%.0f s" % length_s
    return "%.0f min" % (length_s / 60.0) if length_s < 6000.0 else "%.1f h" % (length_s / 3600.0)
