"""A day as a picture: spectrum, levels and events over one axis of time, holes shown as holes. What a noise office
attaches to a report. The same day gives the same picture.
"""

import os
import re
from pathlib import Path
from typing import Any, List, Sequence, Tuple

import numpy as np

from edge.archive.chronicle import Chronicle
from edge.archive.day import Day, days_of, levels_in, local_clock
from edge.archive.journal import OutputError
from edge.archive.level_rows import LevelScale
from edge.archive.picture_options import PictureOptions
from edge.archive.spectrum import band_edges_hz
from edge.errors import ConfigError
from edge.levels.totals import LevelTotals

_WIDTH_IN, _HEIGHT_IN, _DPI = 11.7, 8.3, 150  # A4 across
# Okabe and Ito's colours, which most colour-blind readers tell apart
_LAEQ, _L10, _L50, _L90, _RANGE = "#0072B2", "#D55E00", "#000000", "#009E73", "#BFD7EA"
_EVENTS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#44AA99", "#999933", "#6E6E6E")
_HOLE = {"facecolor": "#EDEDED", "edgecolor": "#C4C4C4", "hatch": "////", "linewidth": 0.0}
_STYLE: Any = {  # mypy would want each name as a literal
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
}
_LEAST_BAR = 1.0 / 700.0  # of the axis: a shot would not be seen
_SPECTRUM_RANGE_DB = 60.0


def check_picture() -> None:
    """Raise ConfigError where no pictures can be drawn."""
    try:
        import matplotlib  # noqa: F401, ICN001 - only whether it is there
    except ImportError:
        raise ConfigError(
            "--picture needs matplotlib; pip install 'soundclr-node[archive]' (Python 3.10 or later)"
        ) from None


def draw_days(chronicle: Chronicle, options: PictureOptions, folder: Path) -> List[str]:
    """Draw every day of every recorder.  Returns the pictures' names in the folder.

    Raises:
        OutputError: the disk does not take them.
    """
    names: List[str] = []
    for day in days_of(chronicle, options.time_zone):
        name = _file_name(day, names)
        _save(draw_day(day, chronicle.labels, chronicle.scale, options), folder / name)
        names.append(name)
    return names


def draw_day(day: Day, labels: Sequence[str], scale: LevelScale, options: PictureOptions) -> Any:
    """One day as matplotlib's figure."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), dpi=_DPI)  # no pyplot: no global state, no display
        heard = [label for label in labels if any(span.label == label for span in day.events)]
        heights = [3.0, 3.4, max(0.9, 0.27 * max(1, len(heard)))]
        spectrum, levels, events = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": heights})
        figure.subplots_adjust(left=0.115, right=0.845, top=0.885, bottom=0.075, hspace=0.09)
        _write_title(figure, day, scale, options)
        _draw_spectrum(figure, spectrum, day, scale)
        _draw_levels(levels, day, scale)
        _draw_events(events, day, heard, labels)
        for axes in (spectrum, levels, events):
            _draw_holes(axes, day)
        _label_time(events, day, options)
        return figure


def _write_title(figure: Any, day: Day, scale: LevelScale, options: PictureOptions) -> None:
    site = options.site or day.recorder
    weekday = local_clock(0.5 * (day.start_s + day.end_s), options.time_zone).strftime("%A")
    figure.text(0.115, 0.958, "%s   %s, %s" % (site, weekday, day.date), fontsize=14, fontweight="bold", va="center")
    calibration = scale.calibration
    if calibration is not None:
        method = {"calibrator": "with a calibrator", "data_sheet": "by the microphone's data sheet"}
        state = "Levels in dB re 20 µPa, calibrated %s on %s (%+.2f dB to full scale)." % (
            method.get(calibration.method, calibration.method),
            calibration.calibrated_on,
            calibration.offset_db,
        )
    else:
        state = "NOT CALIBRATED: levels in dB re full scale say which is louder, and not how loud."
    if day.bandwidth_hz is not None:
        state += " They reach to %.3g kHz only and are not A-weighted to the standard." % (day.bandwidth_hz / 1000.0)
    colour = "#333333" if calibration is not None else "#B00020"
    figure.text(0.115, 0.918, state, fontsize=8.5, color=colour, va="center")
    figure.text(0.985, 0.018, options.made_by, fontsize=6.5, color="#777777", ha="right", va="center")


def _draw_spectrum(figure: Any, axes: Any, day: Day, scale: LevelScale) -> None:
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


def _draw_levels(axes: Any, day: Day, scale: LevelScale) -> None:
    laeq = levels_in(day.laeq_dbfs, scale)
    bin_s = 60 if day.step_s >= 3600 else 10 if day.step_s >= 900 else 1
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
            clip_on=False, label="full scale reached",
        )  # fmt: skip
    axes.legend(loc="upper left", bbox_to_anchor=(1.012, 1.02), borderaxespad=0.0, handlelength=1.4, fontsize=7.5)
    axes.text(
        1.02, 0.0, _figures(day, scale), transform=axes.transAxes, va="bottom", ha="left", fontsize=8, linespacing=1.45,
        family="DejaVu Sans Mono",
    )  # fmt: skip


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


def _draw_events(axes: Any, day: Day, heard: Sequence[str], labels: Sequence[str]) -> None:
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


def _draw_holes(axes: Any, day: Day) -> None:
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


def _label_time(axes: Any, day: Day, options: PictureOptions) -> None:
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


def _file_name(day: Day, taken: Sequence[str]) -> str:
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", os.path.basename(day.recorder)).strip("-") or "day"
    name, number = "%s-%s.png" % (slug, day.date), 1
    while name in taken:
        number += 1
        name = "%s-%d-%s.png" % (slug, number, day.date)
    return name


def _save(figure: Any, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    new = path.with_name(".%s.new" % path.name)
    try:
        canvas: Any = FigureCanvasAgg(figure)
        canvas.print_png(str(new), metadata={"Software": None})
        os.replace(str(new), str(path))
    except OSError as error:
        raise OutputError(
            "%s: cannot be written (%s); make room and give the same command again" % (path, error)
        ) from None
