"""The robustness table: each effect by its physics, and the table on a judge whose answers are known."""

from pathlib import Path

import numpy as np
import pytest

from engines.frontend import compute_logmel
from trainer.cli import main
from trainer.commands.robustness import choose_evenly
from trainer.data.clips import Clip, Dataset
from trainer.data.datasets import read_dataset
from trainer.data.waveforms import Waveforms
from trainer.effects import (
    add_click,
    add_noise,
    band_limit,
    cut_off,
    draw_street,
    heard_rms,
    keep_loudest,
    low_pass,
    reverberate,
    tilt,
)
from trainer.errors import TrainerError
from trainer.listener import Listener, open_listener
from trainer.metrics import wilson_interval
from trainer.recipe import URBAN_FRONTEND
from trainer.robustness import MICROPHONE_NOISE_DBFS, build_conditions, measure_robustness
from trainer.robustness_figures import Answers, compare_answers, describe_answers, join_answers
from trainer.run import RunRecord

SPEC = URBAN_FRONTEND
RATE, WINDOW = SPEC.sample_rate_hz, SPEC.window_samples
LOW_HZ, HIGH_HZ = 500.0, 3000.0


def tone(frequency_hz, seconds=2.0, amplitude=0.1):
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def gain_db(effect, frequency_hz):
    before = tone(frequency_hz)
    after = effect(before)
    middle = slice(len(before) // 4, -len(before) // 4)
    return 20 * np.log10(heard_rms(after[middle]) / heard_rms(before[middle]))


def pitch_judge(record=None):
    """Hears whether there is more power at 500 Hz (class 0) or at 3 kHz (class 1)."""

    def listen(clips, progress):
        logits = []
        for clip in clips:
            power = np.abs(np.fft.rfft(clip)) ** 2
            bins = np.round(np.array([LOW_HZ, HIGH_HZ]) * len(clip) / RATE).astype(int)
            logits.append([*(np.log(power[one - 30 : one + 31].sum() + 1e-9) for one in bins), -50.0])
        return np.array(logits)

    return Listener("judge", ["low", "high"], SPEC, "centre_silence", "by hand", record, None, listen)


def tones(n=12):
    samples = [tone(LOW_HZ if i % 2 == 0 else HIGH_HZ, 1.0 + 0.3 * i) for i in range(n)]
    clips = [Clip(Path("%d.wav" % i), ("low", "high")[i % 2], 1, "s%d" % (i // 4)) for i in range(n)]
    return Waveforms(samples, np.arange(n) % 2, np.ones(n, int), clips)


def test_tilt_turns_about_1_khz_by_so_much_a_decade():
    for frequency_hz, expected in ((100.0, -6.0), (1000.0, 0.0), (10000.0, 6.0)):
        assert gain_db(lambda x: tilt(x, RATE, 6.0), frequency_hz) == pytest.approx(expected, abs=0.1)
        assert gain_db(lambda x: tilt(x, RATE, -6.0), frequency_hz) == pytest.approx(-expected, abs=0.1)


def test_low_pass_passes_below_and_stops_above():
    assert gain_db(lambda x: low_pass(x, RATE, 8000.0), 4000.0) == pytest.approx(0.0, abs=0.2)
    assert gain_db(lambda x: low_pass(x, RATE, 8000.0), 10500.0) < -25.0
    noise = np.random.default_rng(0).standard_normal(1000)
    np.testing.assert_array_equal(low_pass(noise, 16000, 8000.0), noise)  # a rate without anything above is left alone


def test_a_band_limit_leaves_nothing_above_and_all_below():
    limited = band_limit(tone(2000.0), RATE, 8000.0)
    np.testing.assert_allclose(limited[1000:-1000], tone(2000.0)[1000:-1000], atol=1e-6)  # no delay
    assert gain_db(lambda x: band_limit(x, RATE, 8000.0), 7590.0) == pytest.approx(0.0, abs=0.001)
    for frequency_hz in (8010.0, 9000.0, 10900.0):
        left = band_limit(tone(frequency_hz).astype(np.float64), RATE, 8000.0)[1000:-1000]
        assert 20 * np.log10(np.abs(left).max() / 0.1) < -115.0


def test_an_echo_decays_by_60_db_in_its_time():
    impulse = np.zeros(2 * RATE)
    impulse[0] = 1.0
    echo = reverberate(impulse, RATE, 0.6, np.random.default_rng(0))
    levels = [20 * np.log10(heard_rms(echo[int(t * RATE) : int((t + 0.05) * RATE)])) for t in (0.05, 0.35)]
    assert levels[0] - levels[1] == pytest.approx(30.0, abs=2.0) and np.abs(echo[int(0.6 * RATE) :]).max() < 1e-12
    assert np.sum(echo[1:] ** 2) == pytest.approx(1.0, rel=0.05)


def test_clipping_and_noise_have_their_levels():
    assert np.abs(cut_off(tone(440.0), 12.0)).max() == pytest.approx(0.1 * 10 ** (-12 / 20), rel=1e-3)
    sound = np.pad(tone(440.0), (0, RATE))  # silence does not count
    noise = add_noise(sound, draw_street([], len(sound), np.random.default_rng(0), RATE), 6.0) - sound
    assert 20 * np.log10(heard_rms(sound) / heard_rms(noise)) == pytest.approx(6.0, abs=0.01)


def test_street_noise_comes_from_recordings_where_there_are_any_and_falls_with_frequency_where_not():
    rng = np.random.default_rng(1)
    assert set(draw_street([np.full(100, 0.25)], 250, rng, RATE)) == {0.25}
    made_up = np.abs(np.fft.rfft(draw_street([], 10 * RATE, rng, RATE))) ** 2
    low, high = made_up[1000:5000].mean(), made_up[40000:80000].mean()  # 100 to 500 Hz, 4 to 8 kHz
    assert 10 * np.log10(low / high) > 25


@pytest.mark.parametrize("seconds", [1.0, 5.0])
def test_a_click_lies_in_every_window(seconds):
    filled = np.zeros(max(WINDOW, int(seconds * RATE)), np.float32)
    clicked = add_click(filled, RATE, WINDOW, np.random.default_rng(0), 0.010)
    at = np.flatnonzero(clicked)
    assert len(at) == int(0.010 * RATE) == at[-1] - at[0] + 1 and set(np.abs(clicked[at])) == {1.0}
    assert at[0] >= len(filled) - WINDOW and at[-1] < WINDOW


def test_the_loudest_quarter_is_kept_in_the_middle():
    sound = 0.01 * np.ones(WINDOW, np.float32)
    sound[WINDOW // 2 : WINDOW // 2 + 100] = 0.9
    kept = keep_loudest(sound, WINDOW, "centre_silence", 0.25)
    assert len(kept) == WINDOW and (kept == np.float32(0.9)).sum() == 100
    assert np.count_nonzero(kept) == int(0.25 * WINDOW)


def test_conditions_keep_the_length_and_give_finite_sound_of_any_clip():
    rng = np.random.default_rng(0)
    for samples in (np.zeros(WINDOW, np.float32), rng.standard_normal(WINDOW + 999).astype(np.float32)):
        for condition in build_conditions(pitch_judge(), []):
            changed = condition.apply(samples, rng)
            assert np.isfinite(changed).all() and len(changed) in (WINDOW, len(samples)), condition.name
            assert compute_logmel(changed[:WINDOW].astype(np.float32), SPEC).shape == (64, 171)


@pytest.mark.parametrize("name, down_db", [("quieter", 20.0), ("much_quieter", 30.0)])
def test_the_microphones_noise_stays_when_the_sound_gets_quieter(name, down_db):
    quieter = next(one for one in build_conditions(pitch_judge(), []) if one.name == name)
    left = quieter.apply(np.zeros(WINDOW), np.random.default_rng(0))
    assert 20 * np.log10(heard_rms(left)) == pytest.approx(MICROPHONE_NOISE_DBFS, abs=0.1)
    sound = quieter.apply(tone(440.0, WINDOW / RATE, 1.0), np.random.default_rng(0)) - left
    assert np.abs(sound).max() == pytest.approx(10 ** (-down_db / 20), rel=1e-2)


def test_the_table_has_every_row_that_a_street_asks_for():
    names = [one.name for one in build_conditions(pitch_judge(), [])]
    assert names == [
        "clean", "quieter", "much_quieter", "louder", "tilt_up", "tilt_down", "click", "part_filled", "low_pass",
        "reverberation", "clipping", "street_6_db", "street_0_db",
    ]  # fmt: skip


def test_louder_is_cut_off_at_full_scale():
    louder = next(one for one in build_conditions(pitch_judge(), []) if one.name == "louder")
    loud = louder.apply(tone(440.0, 1.0, 0.9), np.random.default_rng(0))
    soft = louder.apply(tone(440.0, 1.0, 0.1), np.random.default_rng(0))
    assert np.abs(loud).max() == 1.0 and np.abs(soft).max() == pytest.approx(0.1 * 10**0.5, rel=1e-3)


def test_the_table_of_a_judge_that_hears_pitch():
    result = describe_answers(measure_robustness(pitch_judge(), tones()))
    by_name = {row["condition"]: row for row in result["conditions"]}
    assert by_name["clean"]["accuracy"] == 1.0 and by_name["clean"]["lost_by_source"] == [0.0, 0.0]
    assert by_name["tilt_up"]["accuracy"] == 1.0 and by_name["low_pass"]["accuracy"] == 1.0
    assert result["mixed"]["both_in_top_two"] == 1.0 and result["mixed"]["pairs"] == 12
    assert result == describe_answers(measure_robustness(pitch_judge(), tones()))


def test_loss_is_counted_against_the_same_clips_clean():
    deaf = pitch_judge()._replace(
        listen=lambda clips, progress: np.array([[heard_rms(c) - 0.02, 0.0, -9.0] for c in clips])
    )  # says class 0 to what is loud
    result = describe_answers(measure_robustness(deaf, tones()))
    by_name = {row["condition"]: row for row in result["conditions"]}
    assert by_name["quieter"]["lost"] == by_name["clean"]["accuracy"] - by_name["quieter"]["accuracy"]


CONDITIONS = [("clean", "as recorded"), ("click", "a click")]


def answers(clips, right, pairs=((), ())):
    """Each clip is a recording of its own."""
    return Answers(CONDITIONS, list(clips), list(clips), np.array(right, float), list(clips)[: len(pairs[0])],
                   list(clips)[: len(pairs[0])], np.array(pairs, float))  # fmt: skip


def test_runs_of_other_folds_stand_side_by_side_and_seeds_count_once():
    joined = join_answers(
        [answers("ab", [[1, 1], [1, 0]]), answers("ba", [[0, 1], [0, 0]]), answers("c", [[1], [1]], ([1], [1]))]
    )
    assert joined.clips == ["a", "b", "c"] and joined.pair_clips == ["c"]
    np.testing.assert_array_equal(joined.right, [[1, 0.5, 1], [0.5, 0, 1]])
    figures = describe_answers(joined)
    assert figures["clips"] == 3 and figures["mixed"]["both_in_top_two"] == 1.0
    assert figures["conditions"][0]["accuracy"] == pytest.approx(2.5 / 3)
    assert figures["conditions"][1]["lost"] == pytest.approx(1.0 / 3)
    assert figures["conditions"][0]["by_clip"] == list(wilson_interval(2, 3))  # clips, not clips times seeds


def test_two_recipes_are_paired_clip_by_clip_in_whatever_order():
    own = answers("abcd", [[1, 1, 1, 0], [1, 1, 0, 0]], ([1, 1, 0, 0], [1] * 4))
    other = answers("dcba", [[0, 1, 1, 0], [0, 0, 0, 0]], ([0, 0, 0, 1], [1] * 4))
    clean, click, mixed = compare_answers(own, other)
    assert clean["accuracy_more"] == pytest.approx(0.25) and clean["lost_less"] == 0.0
    assert click["accuracy_more"] == pytest.approx(0.5) and click["lost_less"] == pytest.approx(0.25)
    assert mixed["condition"] == "mixed" and mixed["accuracy_more"] == pytest.approx(0.25)
    low, high = click["accuracy_more_by_source"]
    assert low <= 0.5 <= high and low < high


def test_other_mixtures_of_the_same_clips_are_not_paired():
    """Whom a clip is mixed with depends on who else is judged: two networks heard different mixtures."""
    whole, part = tones(), tones()
    half, rest = (
        Waveforms(part.samples[rows], part.labels[rows], part.folds[rows], part.clips[rows])
        for rows in (slice(6), slice(6, None))
    )
    apart = join_answers([measure_robustness(pitch_judge(), half), measure_robustness(pitch_judge(), rest)])
    at_once = measure_robustness(pitch_judge(), whole)
    assert set(apart.clips) == set(at_once.clips) and set(apart.pair_clips) != set(at_once.pair_clips)
    assert "mixed" not in [row["condition"] for row in compare_answers(apart, at_once)]
    assert "mixed" in [row["condition"] for row in compare_answers(at_once, at_once)]


def test_other_clips_or_conditions_are_not_paired():
    own = answers("ab", [[1, 1], [1, 0]])
    with pytest.raises(TrainerError, match="held out the same folds"):
        compare_answers(own, answers("bc", [[1, 1], [1, 0]]))
    with pytest.raises(TrainerError, match="different conditions"):
        join_answers([own, own._replace(conditions=CONDITIONS[:1], right=own.right[:1])])


def test_what_a_model_was_trained_on_does_not_judge_it():
    clips = [Clip(Path("a"), "low", fold, "s%d" % fold) for fold in (1, 2)]
    data = Dataset("US", clips)
    judge = pitch_judge(RunRecord("US", ["low", "high"], [2], "", [], [], [], []))
    assert judge.unheard(data, []) == [clips[1]]
    with pytest.raises(TrainerError, match=r"trained on folds \[1\]"):
        judge.unheard(data, [1])
    assert len(judge.unheard(data._replace(name="another"), [])) == 2


def test_clips_are_chosen_evenly_over_sources():
    clips = [Clip(Path("%d" % i), "low", 1, "big" if i < 50 else "s%d" % i) for i in range(54)]
    chosen = choose_evenly(clips, 6, seed=0)
    assert [clip.source_id for clip in chosen].count("big") == 2 and chosen == choose_evenly(clips, 6, seed=0)


def test_a_bundle_through_onnx_runtime(urbansound8k, tmp_path, capsys):
    """The shipped model, as a node runs it; these clips are no fold of its training data."""
    shipped = "engines/urban"
    assert main(["robustness", shipped, "--data", str(urbansound8k)]) == 2
    assert "has not heard" in capsys.readouterr().err
    listener = open_listener(Path(shipped))
    data = read_dataset(urbansound8k)
    moved = data._replace(clips=[clip._replace(fold=9) for clip in data.clips])
    assert len(listener.unheard(moved, [9])) == 6
    logits = listener.listen([np.zeros(WINDOW, np.float32), tone(900.0, 5.1)], lambda done: None)
    assert logits.shape == (2, 11) and np.isfinite(logits).all()


def test_a_folder_that_is_no_model_is_one_line(tmp_path, urbansound8k, capsys):
    assert main(["robustness", str(tmp_path), "--data", str(urbansound8k)]) == 2
    assert "neither a run" in capsys.readouterr().err
