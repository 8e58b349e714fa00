"""A day as a picture: spectrum, levels and events over one axis of time, holes shown as holes. What a noise office
attaches to a report. The same day gives the same picture.
"""

import os
import re
from pathlib import Path
from typing import Any, List, Sequence

from edge.archive.chronicle import Chronicle
from edge.archive.day import Day, days_of, local_clock
from edge.archive.journal import OutputError
from edge.archive.level_rows import LevelScale
from edge.archive.panels import draw_events, draw_holes, draw_levels, draw_spectrum, label_time
from edge.archive.picture_options import PictureOptions
from edge.errors import ConfigError
from engines.whole_file import replacing

_WIDTH_IN, _HEIGHT_IN, _DPI = 11.7, 8.3, 150  # A4 across
_STYLE: Any = {  # mypy would want each name as a literal
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
}


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
        draw_spectrum(figure, spectrum, day, scale)
        draw_levels(levels, day, scale)
        draw_events(events, day, heard, labels)
        for axes in (spectrum, levels, events):
            draw_holes(axes, day)
        label_time(events, day, options)
        return figure


def _write_title(figure: Any, day: Day, scale: LevelScale, options: PictureOptions) -> None:
    site = _shown(options.site or "/".join(day.recorder.split("/")[-2:]))
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


def _shown(text: str) -> str:
    """Names as they are: to matplotlib what stands between two dollars is a formula, and not every name is text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("$", "\\$")


def _file_name(day: Day, taken: Sequence[str]) -> str:
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", os.path.basename(day.recorder)).strip("-") or "day"
    name, number = "%s-%s.png" % (slug, day.date), 1
    while name in taken:
        number += 1
        name = "%s-%d-%s.png" % (slug, number, day.date)
    return name


def _save(figure: Any, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    try:
        with replacing(path) as new:
            canvas.print_png(str(new), metadata={"Software": None})
    except OSError as error:
        raise OutputError(
            "%s: cannot be written (%s); make room and give the same command again" % (path, error.strerror or error)
        ) from None
