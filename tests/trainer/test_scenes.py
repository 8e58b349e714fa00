"""Scenes: their timeline is the truth, their levels are what was asked for, and they are the same every time."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trainer import scenes
from trainer.composition import (
    BED_LEVEL_DBFS,
    MERGE_GAP_S,
    Sound,
    compose_scene,
    find_stretches,
    loop_bed,
    read_sound,
)
from trainer.errors import TrainerError

RATE_HZ = 16000
EDGE_TOLERANCE_S = 0.07  # half of the envelope's 125 ms frame, rounded up
DEMONSTRATION = Path(__file__).resolve().parents[2] / "edge" / "demonstration"


def clip(*parts_s):
    """Noise and near-silence in turn, beginning with near-silence; durations in seconds."""
    rng = np.random.default_rng(0)
    levels = [(1e-4, 0.3)[i % 2] for i in range(len(parts_s))]
    return np.concatenate(
        [level * rng.standard_normal(int(duration * RATE_HZ)) for level, duration in zip(levels, parts_s, strict=True)]
    )


def sound(category, seconds=1.5, level=0.3, file=None):
    samples = level * np.random.default_rng(len(category)).standard_normal(int(seconds * RATE_HZ))
    return Sound(file or category + ".ogg", category, samples, ((800, len(samples) - 800),))


BED = Sound("rain.ogg", "rain", np.random.default_rng(9).standard_normal(5 * RATE_HZ) * 0.01, ())
SOUNDS = [sound("siren"), sound("dog", 0.5), sound("train", 2.0, 0.01), sound("car_horn", 1.0)]


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize(
    ("parts_s", "expected_s"),
    [
        ((0.5, 1.0, 0.5), [(0.5, 1.5)]),
        ((0.0, 1.0), [(0.0, 1.0)]),
        ((0.5, 0.3, 0.6, 0.3, 0.8), [(0.5, 1.7)]),  # a pause under the merge gap
        ((0.3, 0.5, MERGE_GAP_S + 0.5, 0.4, 0.3), [(0.3, 0.8), (3.3, 3.7)]),
    ],
)
def test_stretches_are_where_the_source_sounds(parts_s, expected_s):
    found_s = np.array(find_stretches(clip(*parts_s), RATE_HZ)) / RATE_HZ
    np.testing.assert_allclose(found_s, expected_s, atol=EDGE_TOLERANCE_S)


def test_a_read_sound_is_cut_to_its_stretches_with_silent_ends(tmp_path):
    soundfile.write(str(tmp_path / "clip.wav"), np.r_[clip(1.0, 0.8, 1.0), np.zeros(RATE_HZ)], RATE_HZ, subtype="FLOAT")
    cut = read_sound(tmp_path / "clip.wav", "dog", RATE_HZ)
    assert len(cut.samples) / RATE_HZ == pytest.approx(0.8 + 0.05 + 0.3, abs=2 * EDGE_TOLERANCE_S)
    assert cut.samples[0] == 0.0
    assert cut.samples[-1] == 0.0
    ((start, end),) = cut.stretches
    assert 0 < start < end < len(cut.samples)


def test_a_real_bark_is_found_before_its_digital_silence(fixtures):
    cut = read_sound(fixtures / "dog-182395.ogg", "dog", 44100)
    ((start, end),) = cut.stretches
    assert 0.2 < (end - start) / 44100 < 1.0
    assert len(cut.samples) < 1.6 * 44100


def test_a_looped_bed_has_one_level_and_no_seam():
    bed = loop_bed(BED.samples, 60 * RATE_HZ, np.random.default_rng(1), RATE_HZ)
    assert len(bed) == 60 * RATE_HZ
    assert level_db(bed) == pytest.approx(0.0, abs=1e-6)
    levels_db = [level_db(part) for part in bed.reshape(240, -1)]
    assert max(levels_db) - min(levels_db) < 1.5
    assert np.abs(np.diff(bed)).max() < 1.3 * np.abs(np.diff(BED.samples)).max() / np.sqrt(np.mean(BED.samples**2))


def test_a_bed_too_short_to_loop_is_refused():
    with pytest.raises(TrainerError, match="bed"):
        loop_bed(BED.samples[:RATE_HZ], 60 * RATE_HZ, np.random.default_rng(1), RATE_HZ)


def compose(seed=1, snr_db=(6.0, 6.0), duration_s=60.0, sounds=SOUNDS):
    return compose_scene(sounds, BED, seed=seed, snr_db=snr_db, duration_s=duration_s, sample_rate_hz=RATE_HZ)


def test_the_same_seed_composes_the_same_samples():
    first, second, other = compose(), compose(), compose(seed=2)
    assert first.samples.tobytes() == second.samples.tobytes()
    assert first.events == second.events
    assert first.samples.tobytes() != other.samples.tobytes()


def test_every_sound_comes_once_in_order_with_pauses_and_its_label():
    scene = compose()
    assert len(scene.samples) == 60 * RATE_HZ
    assert scene.samples.dtype == np.float32
    assert {event.category: event.label for event in scene.events} == {
        "siren": "siren",
        "dog": "dog_bark",
        "train": None,
        "car_horn": "car_horn",
    }
    ends_s = [0.0] + [event.end_s for event in scene.events]
    pauses_s = [event.start_s - end_s for event, end_s in zip(scene.events, ends_s, strict=False)]
    assert min(pauses_s) >= 4.0 > MERGE_GAP_S
    assert 60.0 - ends_s[-1] >= 4.0


@pytest.mark.parametrize("snr_db", [0.0, 6.0, 12.0, 18.0])
def test_levels_over_the_bed_are_what_was_asked_for(snr_db):
    scene = compose(snr_db=(snr_db, snr_db))
    bed_db = level_db(scene.samples[: 5 * RATE_HZ])
    assert bed_db == pytest.approx(BED_LEVEL_DBFS, abs=0.5)
    for event in scene.events:
        heard = scene.samples[round(event.start_s * RATE_HZ) : round(event.end_s * RATE_HZ)]
        above_bed = 10 * np.log10(10 ** (level_db(heard) / 10) - 10 ** (bed_db / 10)) - bed_db
        assert event.snr_db == snr_db
        assert above_bed == pytest.approx(snr_db, abs=1.0)


def test_a_scene_at_another_snr_has_the_same_timeline():
    quiet, loud = compose(snr_db=(0.0, 0.0)), compose(snr_db=(12.0, 12.0))
    assert [event[:5] for event in quiet.events] == [event[:5] for event in loud.events]


def test_the_timeline_finds_the_sounds_that_were_mixed():
    """Onsets read back from a loud mixture agree with the timeline."""
    scene = compose(snr_db=(30.0, 30.0))
    for event in scene.events:
        at = round(event.start_s * RATE_HZ)
        before, after = scene.samples[at - RATE_HZ : at - RATE_HZ // 10], scene.samples[at : at + RATE_HZ // 4]
        assert level_db(after) - level_db(before) > 20.0


def test_sounds_that_do_not_fit_are_refused_with_what_is_missing():
    with pytest.raises(TrainerError, match="too short"):
        compose(duration_s=20.0)


@pytest.fixture
def street(tmp_path, fixtures):
    """A folder as `--street` takes it: the excerpts under the names that ESC-50 has for them."""
    folder, rows = tmp_path / "street", ["file\tclass\tlicence\tsource"]
    folder.mkdir()
    targets = {"siren": 42, "car_horn": 43, "dog": 0, "engine": 44, "church_bells": 46}
    for path in sorted(fixtures.glob("*.ogg")):
        category, source = path.stem.split("-")
        if category in targets:
            name = "4-%s-A-%d.ogg" % (source, targets[category])
            shutil.copyfile(path, folder / name)
            rows.append("%s\t%s\tCC0\tclip derived from %s" % (name, category, source))
    shutil.copyfile(fixtures / "rain-181766.ogg", folder / "4-1-A-45.ogg")
    rows.append("4-1-A-45.ogg\ttrain\tCC0\tclip")
    (folder / "ATTRIBUTION.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def rain(esc10):
    """ESC-10 with rain of fold 5 that is long enough to loop, a dog, and its attribution."""
    source = next(esc10.glob("audio/5-*-10.ogg"))
    samples, rate = soundfile.read(str(source))
    soundfile.write(str(source), np.tile(samples, 2), rate)
    second = source.with_name("5-202898-A-10.ogg")
    shutil.copyfile(source, second)
    with open(esc10 / "meta" / "esc50.csv", "a") as file:
        file.write("%s,5,10,rain,True,202898,A\n" % second.name)
    rows = ["%s\tx\tCC0\tclip" % path.name for path in sorted(esc10.glob("audio/*.ogg"))]
    (esc10 / "ATTRIBUTION.tsv").write_text("\n".join(["file\tclass\tlicence\tsource", *rows]) + "\n")
    return esc10


def test_scenes_are_written_with_timelines_and_attribution(street, rain, urbansound8k, tmp_path, capsys):
    for path in urbansound8k.glob("metadata/*.csv"):  # trained on one source alone, so that clips are left
        path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    out = tmp_path / "scenes"
    arguments = [
        "scenes",
        "--street",
        str(street),
        "--esc10",
        str(rain),
        "--urbansound8k",
        str(urbansound8k),
        "--out",
        str(out),
        "--seeds",
        "2",
    ]
    assert scenes.main(arguments) == 0
    assert "6 scenes" in capsys.readouterr().out
    paths = sorted(out.glob("*.flac"))
    assert [path.name[:8] for path in paths] == ["scene-01"] * 3 + ["scene-02"] * 3
    timelines = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    attributed = {line.split("\t")[0] for line in (out / "ATTRIBUTION.tsv").read_text().splitlines()[1:]}
    for path, timeline in zip(paths, timelines, strict=True):
        samples, rate = soundfile.read(str(path))
        assert timeline["file"] == path.name
        assert timeline["duration_s"] == len(samples) / rate
        files = {event["file"] for event in timeline["events"]}
        assert files | {timeline["bed"]} <= attributed
        assert not any("90014" in name for name in files)  # the source that was trained on
        assert timeline["bed"] == "5-202898-A-10.ogg"  # not the demonstration's
    assert {event["snr_db"] for event in timelines[0]["events"]} == {0.0}
    before = [soundfile.read(str(path))[0] for path in paths]
    assert scenes.main(arguments) == 0
    assert all(
        np.array_equal(samples, soundfile.read(str(path))[0]) for samples, path in zip(before, paths, strict=True)
    )


def test_folders_that_cannot_be_used_give_one_line_and_status_2(street, rain, tmp_path, capsys):
    for wrong in (
        ["--street", str(tmp_path), "--esc10", str(rain)],
        ["--street", str(street), "--esc10", str(tmp_path)],
        ["--street", str(street), "--esc10", str(rain)],
    ):  # the last lacks clips of the demonstration
        assert scenes.main(["demonstration", *wrong, "--out", str(tmp_path / "out")]) == 2
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1
        assert printed.err.startswith("error: ")
        assert not printed.out


def test_the_shipped_demonstration_agrees_with_its_timeline():
    timeline = json.loads((DEMONSTRATION / "timeline.json").read_text())
    samples, rate = soundfile.read(str(DEMONSTRATION / timeline["file"]))
    assert samples.ndim == 1
    assert len(samples) / rate == timeline["duration_s"] == 120.0
    assert (DEMONSTRATION / "street.ogg").stat().st_size < 1200000
    labels = [event["label"] for event in timeline["events"]]
    assert {label: labels.count(label) for label in set(labels)} == {
        "siren": 3,
        "car_horn": 3,
        "dog_bark": 3,
        "engine_idling": 2,
        None: 2,
    }
    bed_db = level_db(samples[: int(timeline["events"][0]["start_s"] * rate) - rate])
    for event in timeline["events"]:
        heard = samples[int(event["start_s"] * rate) : int(event["end_s"] * rate)]
        loudest_db = max(level_db(heard[i : i + rate // 8]) for i in range(0, len(heard) - rate // 8, rate // 8))
        assert loudest_db > bed_db + 9.0
        just_before = samples[int((event["start_s"] - 0.5) * rate) : int((event["start_s"] - 0.1) * rate)]
        assert level_db(just_before) < bed_db + 3.0
    attributed = (DEMONSTRATION / "ATTRIBUTION.tsv").read_text()
    assert all(event["file"] in attributed for event in timeline["events"])
    assert timeline["bed"] in attributed
    assert {line.split("\t")[2] for line in attributed.splitlines()[1:]} <= {"CC0", "CC-BY"}
