"""Foreign against known sound: who may judge, and that neither silence nor bandwidth does."""

import numpy as np
import pytest
import soundfile

from engines.frontend import compute_logmel, mel_filterbank
from tests.trainer.test_robustness import RATE, SPEC, WINDOW, pitch_judge
from trainer.data.clips import Clip, Dataset, digest_dataset
from trainer.effects import low_pass
from trainer.errors import TrainerError
from trainer.foreign_judgement import (
    Judged,
    choose_alike,
    choose_foreign,
    describe_judged,
    fill_with_noise,
    judge_foreign,
)
from trainer.run import RunRecord

RECORD = RunRecord("US", ["low", "high"], [2], "ESC", ["canine"], ["bell", "rain"], [], [])
NARROW_HZ = 16000


def make_sets(tmp_path, known_rate_hz):
    """Known noise at a rate, and foreign sound at 44 kHz; both are plain noise."""
    rng = np.random.default_rng(0)

    def clip(name, category, fold, source, rate_hz, tail_s=0.0):
        samples = np.pad(0.1 * rng.standard_normal(2 * rate_hz), (0, int(tail_s * rate_hz)))
        soundfile.write(str(tmp_path / name), samples, rate_hz)
        return Clip(tmp_path / name, category, fold, source)

    known = [clip("k%d.wav" % i, ("low", "high")[i % 2], 1 + i % 4 // 2, "k%d" % i, known_rate_hz) for i in range(24)]
    foreign = [clip("f%d.wav" % i, ("bell", "rain")[i % 2], 1, "f%d" % i, 44100, tail_s=1.0) for i in range(12)]
    foreign += [clip("x0.wav", "bell", 1, "k0", 44100), clip("x1.wav", "low", 1, "x1", 44100)]
    foreign += [clip("x2.wav", "canine", 1, "x2", 44100), clip("x3.wav", "saw", 1, "x3", 44100)]
    return Dataset("US", known), Dataset("ESC", foreign)


@pytest.fixture
def sets(tmp_path):
    """Known noise below 11 kHz at 22 kHz, and foreign noise at 44 kHz."""
    return make_sets(tmp_path, RATE)


@pytest.fixture
def narrow(tmp_path):
    """Known noise that ends at 8 kHz, and foreign noise that does not."""
    return make_sets(tmp_path, NARROW_HZ)


def test_only_what_no_training_role_has_seen_judges(sets):
    test = choose_foreign(pitch_judge(RECORD), *sets, folds=[], skip=["canine"])
    assert {clip.path.name[0] for clip in test.foreign} == {"f"} and len(test.foreign) == 12
    assert {clip.fold for clip in test.known} == {2}
    assert test.left_out == {
        "a known class": 2,
        "category trained on as foreign": 1,
        "source shared with the known classes": 1,
    }
    assert test.band_limit_hz == pytest.approx(0.45 * RATE)


@pytest.mark.parametrize(
    ("trained_on", "judge", "expected"),
    [
        ("ESC-10", "ESC-50", {"bell"}),  # rain is of ESC-10: the very clips were trained on
        ("ESC-50", "ESC-10", {"bell"}),  # held out
        ("own", "ESC-50", {"bell", "rain"}),
    ],
)
def test_esc_10_is_a_part_of_esc_50_whatever_it_is_called(sets, trained_on, judge, expected):
    known, foreign = sets
    held = ["bell"] if trained_on == "ESC-50" else []
    record = RECORD._replace(foreign_data=trained_on, foreign_hold_out=held, foreign_skip=["canine", "saw"])
    test = choose_foreign(pitch_judge(record), known, foreign._replace(name=judge), folds=[], skip=["canine"])
    assert {clip.category for clip in test.foreign} == expected


def test_clips_that_were_heard_under_the_other_name_of_esc_do_not_judge(sets):
    data = sets[0]._replace(name="ESC-50")
    listener = pitch_judge(RECORD._replace(data="ESC-10"))
    assert {clip.fold for clip in listener.unheard(data, [])} == {2}
    with pytest.raises(TrainerError, match="was trained on folds"):
        listener.unheard(data, [1])


def test_nothing_left_to_judge_is_said(sets):
    record = RECORD._replace(foreign_hold_out=[])
    with pytest.raises(TrainerError, match="foreign-hold-out"):
        choose_foreign(pitch_judge(record), *sets, folds=[], skip=[])


def cheat(telling):
    """Calls foreign what has much of something that is not the sound."""

    def listen(clips, progress):
        return np.array([[-telling(clip), -telling(clip)] for clip in clips])  # the less energy, the more foreign

    return pitch_judge(RECORD)._replace(listen=listen)


def figures_of(*parts):
    return describe_judged(parts, fill_silence=True)


def silence(clip):
    return float(np.mean(clip == 0.0))


def top_band_db(clip):
    """Mean log-mel of the bands that lie wholly above the common limit; 0 dB is the loudest cell.

    Of the middle third: what lies around a clip is noise that fills the window, alike in both sets.
    """
    logmel_db = (compute_logmel(clip[:WINDOW], SPEC) - SPEC.offset) / SPEC.scale
    lowest_bin = (mel_filterbank(SPEC) > 0).argmax(axis=1)
    above = lowest_bin * RATE / SPEC.n_fft > 0.45 * NARROW_HZ
    assert above.any()
    third = SPEC.window_frames // 3
    return float(logmel_db[above, third:-third].mean())


def judge_by_top_band(sets):
    """Figures of a network that hears the end of the band alone, and how far its means of both sets lie apart."""
    heard = []
    listener = cheat(lambda clip: heard.append(top_band_db(clip)) or heard[-1])
    figures = figures_of(judge_foreign(listener, choose_foreign(listener, *sets, folds=[], skip=["canine"])))
    n_known = figures["known_clips"]
    return figures, abs(np.mean(heard[:n_known]) - np.mean(heard[n_known:]))


def test_above_the_common_band_both_sets_sound_alike(narrow):
    figures, apart_db = judge_by_top_band(narrow)
    assert figures["band_limit_hz"] == pytest.approx(0.45 * NARROW_HZ)
    assert apart_db < 0.1 and figures["foreign_clips"] == 12
    assert figures["auroc"]["by_source"][0] <= 0.5 <= figures["auroc"]["by_source"][1]


@pytest.mark.parametrize(
    "leaky", [lambda samples, rate_hz, limit_hz: samples, lambda *given: low_pass(low_pass(*given), *given[1:])]
)
def test_no_filter_or_one_that_leaves_a_trace_would_be_noticed(narrow, monkeypatch, leaky):
    monkeypatch.setattr("trainer.foreign_judgement.band_limit", leaky)
    figures, apart_db = judge_by_top_band(narrow)
    assert apart_db > 1.0 and max(figures["auroc"]["value"], 1 - figures["auroc"]["value"]) > 0.9


def test_a_network_that_only_hears_silence_hears_nothing(sets):
    known, foreign = sets
    short = [clip for clip in foreign.clips if clip.category == "bell" and clip.path.name[0] == "f"]
    for clip in short:  # a hole of digital silence in the middle
        samples, rate_hz = soundfile.read(str(clip.path))
        samples[rate_hz : rate_hz + rate_hz // 2] = 0.0
        soundfile.write(str(clip.path), samples, rate_hz)
    listener = cheat(silence)
    test = choose_foreign(listener, known, foreign, folds=[], skip=["canine"])
    honest = figures_of(judge_foreign(listener, test))
    assert honest["auroc"]["value"] == 0.5
    assert honest == figures_of(judge_foreign(listener, test))  # the noise is the seed's


def test_noise_fills_silence_at_the_clips_own_floor():
    rng = np.random.default_rng(0)
    sound = np.concatenate([0.01 * rng.standard_normal(RATE), np.zeros(RATE), 0.3 * rng.standard_normal(RATE)])
    filled = fill_with_noise(sound, WINDOW, RATE, rng)
    assert len(filled) == WINDOW and not (filled == 0).any()
    start = (WINDOW - len(sound)) // 2
    np.testing.assert_array_equal(filled[start : start + RATE], sound[:RATE])
    hole = filled[start + RATE : start + 2 * RATE]
    assert np.sqrt(np.mean(hole**2)) == pytest.approx(0.01, rel=0.1)
    quiet = fill_with_noise(np.full(100, 1e-9), WINDOW, RATE, rng)
    assert np.sqrt(np.mean(quiet**2)) == pytest.approx(1e-4, rel=0.1)


def scored(sets, values, **others):
    test = choose_foreign(pitch_judge(RECORD), *sets, folds=[], skip=["canine"])
    return Judged(test, {"energy": values, **others})


def test_networks_are_judged_each_by_its_own_scale(sets):
    """Both tell perfectly; pooled, the second's known clips would lie above the first's foreign ones."""
    known, foreign = np.linspace(0, 1, 12), np.linspace(2, 3, 12)
    parts = [scored(sets, np.concatenate([known, foreign]) + shift) for shift in (0.0, 10.0)]
    figures = figures_of(*parts)
    assert figures["auroc"]["value"] == 1.0 and figures["runs"] == 2
    assert (figures["known_clips"], figures["foreign_clips"]) == (12, 12)  # not twice
    assert set(figures["auroc_by_category"].values()) == {1.0}
    deaf = scored(sets, np.zeros(24))
    assert figures_of(parts[0], deaf)["auroc"]["value"] == pytest.approx(0.75)


def test_other_scores_stand_beside_the_nodes_own(sets):
    values = np.concatenate([np.zeros(12), np.ones(12)])
    figures = figures_of(scored(sets, values, neighbours=-values))
    assert figures["score"] == "energy" and figures["auroc"]["value"] == 1.0
    assert figures["other_scores"]["neighbours"]["auroc"]["value"] == 0.0


def test_a_run_is_asked_for_its_neighbours_and_a_bundle_cannot_be(sets):
    """Known clips lie in the plane of what was trained on, foreign ones far above it."""
    bank = [clip for clip in sets[0].clips if clip.fold == 1]
    listener = cheat(silence)._replace(
        listen_within=lambda clips: (
            np.zeros((len(clips), 3)),
            np.array([[1.0, i % 3, 10.0 * (i >= 12)] for i in range(len(clips))]),
        )
    )
    assert listener.trained_on(sets[0]) == bank
    test = choose_foreign(listener, *sets, folds=[], skip=["canine"])
    judged = judge_foreign(listener, test, bank=bank)
    others = figures_of(judged)["other_scores"]
    assert others["neighbours"]["auroc"]["value"] == 1.0
    assert others["distance"]["auroc"]["value"] == 1.0
    opened = listener._replace(measures_distance=True, listen=lambda clips, progress: np.zeros((len(clips), 3)))
    measures = judge_foreign(opened, test)
    assert list(measures.scores) == ["distance", "energy"]  # its extra output, by its name
    with pytest.raises(TrainerError, match="no run on"):
        listener._replace(record=None).trained_on(sets[0])
    with pytest.raises(TrainerError, match="gives no embeddings"):
        cheat(silence).embed([])


def test_a_data_set_whose_folds_have_moved_since_judges_nobody(sets):
    data, foreign = sets
    whole = RECORD._replace(data_digest=digest_dataset(data))
    listener = pitch_judge(whole)
    assert choose_foreign(listener, data, foreign, folds=[], skip=["canine"]).known
    moved = data._replace(clips=[data.clips[0]._replace(fold=2), *data.clips[1:]])
    for refused in (lambda: listener.unheard(moved, []), lambda: listener.trained_on(moved)):
        with pytest.raises(TrainerError, match="lists other clips, folds or sources"):
            refused()


def test_several_networks_hear_the_same_band(sets):
    """The second one's own rate is lower: neither may hear what the other cannot."""
    slow = pitch_judge(RECORD)
    slow = slow._replace(spec=slow.spec._replace(sample_rate_hz=16000, fmax_hz=8000.0))
    tests = choose_alike([pitch_judge(RECORD), slow], *sets, folds=[], skip=["canine"])
    assert [test.band_limit_hz for test in tests] == [7200.0, 7200.0]
