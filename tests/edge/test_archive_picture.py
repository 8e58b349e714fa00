"""A day's picture: what it says in words, and where its pixels are what."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest

from edge.archive.day import days_of
from edge.archive.part import Measured
from edge.archive.picture_options import PictureOptions
from edge.archive.reels import Reel
from edge.records import Calibration
from tests.edge.archive_command import HANG_S, ROOT, classify, write_recordings
from tests.edge.made_up_day import (
    LABELS,
    MIDNIGHT_S,
    chronicle_of,
    event_of,
    second_at,
    take_at,
    write_part,
)
from tests.engines.bundles import write_tiny_bundle

pytestmark = pytest.mark.skipif(sys.version_info < (3, 10), reason="pictures need the extra `archive`, of Python 3.10")
CALIBRATION = Calibration(118.0, "2026-09-30", "calibrator")
HOUR_S = 3600.0


def hours(path, first_h, last_h, level_dbfs=-50.0, events=(), **options):
    """A reel of steady noise between two hours of the day."""
    reel = Reel((), (take_at(HOUR_S * first_h, HOUR_S * (last_h - first_h)),), ())
    count = int(60 * (last_h - first_h))
    write_part(path, reel, [second_at(60 * n, level_dbfs, length_s=60) for n in range(count)], events, 60.0, **options)
    return reel, path


@pytest.fixture
def holed_day(tmp_path):
    """Noise from 00 to 06 and, louder, from 12 to 24, with a siren at 15 and two horns."""
    quiet = hours(tmp_path / "a.gz", 0, 6, events=[event_of("car_horn", 100.0, 101.0)])
    events = [event_of("siren", 3 * HOUR_S, 4 * HOUR_S), event_of("car_horn", 5 * HOUR_S, 5 * HOUR_S + 1)]
    return [quiet, hours(tmp_path / "b.gz", 12, 24, -40.0, events)]


def draw(made, calibration=CALIBRATION, options=PictureOptions("Main St", "made by a test")):
    from edge.archive.picture import draw_day

    chronicle = chronicle_of(made, calibration)
    return [draw_day(day, LABELS, chronicle.scale, options) for day in days_of(chronicle, options.time_zone)]


def words_of(figure):
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [axes.get_ylabel(), axes.get_xlabel()] + [text.get_text() for text in axes.texts]
        texts += [tick.get_text() for tick in list(axes.get_yticklabels()) + list(axes.get_xticklabels())]
        texts += [text.get_text() for text in axes.get_legend().get_texts()] if axes.get_legend() else []
    return "\n".join(texts)


def pixels_of(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].astype(int)


def patch(figure, pixels, panel, hour, share, size=6):
    """Mean colour about a point: of the panel, at this hour and at this share of its height."""
    axes = figure.axes[panel]
    x = axes.transData.transform((MIDNIGHT_S + HOUR_S * hour, axes.get_ylim()[0]))[0]
    box = axes.get_window_extent()
    y = box.y0 + share * box.height
    row, column = int(len(pixels) - y), int(x)
    return pixels[row - size : row + size, column - size : column + size].reshape(-1, 3).mean(axis=0)


def test_its_words_name_place_day_calibration_levels_and_events(holed_day):
    (figure,) = draw(holed_day)
    words = words_of(figure)
    assert "Main St   Thursday, 2026-10-01" in words and "made by a test" in words
    assert "dB re 20 µPa, calibrated with a calibrator on 2026-09-30 (+118.00 dB to full scale)" in words
    assert (
        "level, dB(A)" in words and "LAeq     76.5" in words and "LAFmax   83.0" in words and "valid   75.0 %" in words
    )
    assert "L10 of an hour" in words and "time, UTC   hatched: no recording" in words
    assert "siren" in words and "1 event, 60 min" in words and "2 events, 2 s" in words and "dog bark" not in words


@pytest.mark.parametrize("site", ["5$ to 10^$", "a$b", "\\$x$", "caf\udce9"])
def test_any_name_of_a_place_is_shown_as_it_is(holed_day, site):
    (figure,) = draw(holed_day, options=PictureOptions(site, "made by a test"))
    pixels_of(figure)  # matplotlib reads formulas as it draws
    shown, is_formula = figure.texts[0]._preprocess_math(figure.texts[0].get_text())
    assert shown.startswith(site.encode("utf-8", "backslashreplace").decode("utf-8") + "   ") and not is_formula


def test_without_a_calibration_it_says_so_in_capitals_and_names_the_reach(tmp_path):
    (figure,) = draw([hours(tmp_path / "a.gz", 0, 24, measured=Measured(8000.0, ()))], calibration=None)
    words = words_of(figure)
    assert "NOT CALIBRATED" in words and "reach to 8 kHz only and are not A-weighted to the standard" in words
    assert (
        "level, dB re full scale" in words and "dB(A)" not in words and "hatched" not in words and "no events" in words
    )


def test_holes_are_hatched_in_every_panel_sound_is_not_and_bars_lie_where_events_do(holed_day):
    (figure,) = draw(holed_day)
    pixels = pixels_of(figure)
    for panel, share in ((0, 0.5), (1, 0.9), (2, 0.5)):
        grey = patch(figure, pixels, panel, 9.0, share, size=20)
        assert grey.min() > 190 and grey.max() < 245 and grey.max() - grey.min() < 4
    assert patch(figure, pixels, 1, 3.0, 0.97).min() > 245
    loud, quiet = patch(figure, pixels, 0, 18.0, 0.55), patch(figure, pixels, 0, 3.0, 0.55)
    low = patch(figure, pixels, 0, 18.0, 0.05)
    assert loud.sum() > quiet.sum() + 30 and loud.sum() > low.sum() + 100  # a spectrum that is loudest at 1 kHz
    siren, before = (patch(figure, pixels, 2, hour, 0.27, size=3) for hour in (15.5, 13.5))
    assert before.min() > 240 and siren.max() - siren.min() > 80
    horn = patch(figure, pixels, 2, 100.0 / HOUR_S, 0.72, size=3)
    assert horn.min() < 200  # a second of a day is widened until it is seen


def test_the_curve_lies_at_its_level(holed_day):
    (figure,) = draw(holed_day)
    pixels = pixels_of(figure)
    axes = figure.axes[1]
    for hour, level_db in ((3.0, 68.0), (20.0, 78.0)):
        x, y = axes.transData.transform((MIDNIGHT_S + HOUR_S * hour, level_db))
        column = pixels[len(pixels) - int(y) - 4 : len(pixels) - int(y) + 4, int(x)]
        assert column.sum(axis=1).min() < 500
        above = pixels[len(pixels) - int(y) - 40 : len(pixels) - int(y) - 20, int(x) - 8 : int(x) + 8]
        assert above.reshape(-1, 3).sum(axis=1).min() > 600


def test_the_same_day_gives_the_same_picture(holed_day):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    files = []
    for _ in range(2):
        files.append(io.BytesIO())
        FigureCanvasAgg(draw(holed_day)[0]).print_png(files[-1], metadata={"Software": None})
    assert files[0].getvalue() == files[1].getvalue()


def test_days_are_those_of_the_places_clocks_also_when_these_are_set(tmp_path):
    # 25 October 2026: an hour twice in Berlin
    first_h = 24 * 24 - 2
    chronicle = chronicle_of([hours(tmp_path / "a.gz", first_h - 3, first_h + 30)])
    days = list(days_of(chronicle, "Europe/Berlin"))
    assert [day.date for day in days] == ["2026-10-24", "2026-10-25", "2026-10-26"]
    assert days[1].end_s - days[1].start_s == 25 * HOUR_S and days[1].heard_s == pytest.approx(25 * HOUR_S)
    (figure,) = draw(
        [hours(tmp_path / "b.gz", first_h, first_h + 25)], options=PictureOptions(time_zone="Europe/Berlin")
    )
    assert "time, Europe/Berlin" in words_of(figure)


def test_little_sound_is_shown_large(tmp_path):
    (figure,) = draw([hours(tmp_path / "a.gz", 10, 10.5)])
    low_s, high_s = figure.axes[0].get_xlim()
    assert (low_s, high_s) == (MIDNIGHT_S + 10 * HOUR_S, MIDNIGHT_S + 10.5 * HOUR_S)
    assert "10:05" in words_of(figure) and "L90 of 5 min" in words_of(figure)


def test_the_command_draws_each_day_and_says_what_it_needs(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    write_recordings(tmp_path / "site", 3, 20.0, first="2026-09-30T23:59:30")
    arguments = [tmp_path / "site", "--bundle", bundle, "--output", tmp_path / "out", "--picture", "--site", "Corner"]
    status, _, err = classify(*arguments)
    assert status == 2 and "give --start-time file" in err
    status, out, err = classify(*arguments, "--start-time", "file")
    assert status == 0 and "2 pictures in" in out, err
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == ["street-2026-09-30.png", "street-2026-10-01.png"]
    (tmp_path / "stand-in" / "matplotlib").mkdir(parents=True)
    (tmp_path / "stand-in" / "matplotlib" / "__init__.py").write_text("raise ImportError('kept away by the test')\n")
    done = subprocess.run(
        [sys.executable, "-m", "edge", "classify"] + [str(one) for one in arguments] + ["--start-time", "file"],
        cwd=str(ROOT), env=dict(os.environ, PYTHONPATH="%s:%s" % (tmp_path / "stand-in", ROOT)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=HANG_S,
    )  # fmt: skip
    assert done.returncode == 2 and "pip install 'soundclr-node[archive]'" in done.stderr
