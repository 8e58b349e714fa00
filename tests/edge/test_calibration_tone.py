"""What is a calibrator's tone and what is none; its level to a hundredth of a decibel, whatever surrounds it."""

import numpy as np
import pytest

from edge.calibration import CalibrationError
from edge.calibration.listening import Wanted, measure_tones
from edge.calibration.tone import complaint_about, listen
from tests.edge.calibrators import HARDWARE, RATE_HZ, Tape, tone

SILENCE = np.random.RandomState(5).normal(0, 1e-4, 2 * RATE_HZ)


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000])
@pytest.mark.parametrize("frequency_hz", [1000.0, 1003.37])
def test_level_and_frequency_of_a_good_tone(rate_hz, frequency_hz):
    heard = listen(tone(-26.0, 2.0, rate_hz=rate_hz, frequency_hz=frequency_hz), rate_hz)
    assert complaint_about(heard) is None
    assert heard.level_dbfs == pytest.approx(-26.0, abs=0.003)
    assert heard.frequency_hz == pytest.approx(frequency_hz, abs=0.01)
    assert heard.fluctuation_db < 0.01 and heard.harmonics_percent < 0.1 and heard.noise_percent < 0.1


def test_what_surrounds_the_tone_is_told_apart_from_it():
    samples = tone(-26.0, 3.0)
    times_s = np.arange(len(samples)) / float(RATE_HZ)
    amplitude = 10 ** (-26.0 / 20) * np.sqrt(2)
    bent = samples + 0.015 * amplitude * np.sin(2 * np.pi * 3000.0 * times_s)
    heard = listen(bent, RATE_HZ)
    assert heard.harmonics_percent == pytest.approx(1.5, rel=0.02)
    assert heard.level_dbfs == pytest.approx(-26.0, abs=0.003) and complaint_about(heard) is None
    hum = samples + 0.03 * amplitude * np.sin(2 * np.pi * 50.0 * times_s)
    assert listen(hum, RATE_HZ).noise_percent == pytest.approx(3.0, rel=0.05)
    offset = samples + 0.2 + 0.05 * np.sin(2 * np.pi * 4.0 * times_s)  # below what anybody hears
    assert complaint_about(listen(offset, RATE_HZ)) is None
    assert listen(offset, RATE_HZ).level_dbfs == pytest.approx(-26.0, abs=0.01)


def _wobbling(depth, rate_hz):
    samples = tone(-26.0, 4.0)
    return samples * (1 + depth * np.sin(2 * np.pi * rate_hz * np.arange(len(samples)) / RATE_HZ))


REFUSED = {
    "zeros": (np.zeros(2 * RATE_HZ), "nothing but zeros"),
    "noise": (np.random.RandomState(2).normal(0, 0.05, 2 * RATE_HZ), "without a steady tone"),
    "tone in noise": (tone(noise_db=3.0), "without a steady tone"),
    "250 Hz": (tone(frequency_hz=250.0), "250.0 Hz"),
    "1021 Hz": (tone(frequency_hz=1021.0), "1021.0 Hz"),
    "clipped": (np.clip(tone(1.0), -1.0, 32767 / 32768.0), "full scale"),
    "compressed": (np.tanh(tone(-8.0)), "harmonics"),
    "noisy": (tone(noise_db=-25.0), "of noise"),
    "drift": (tone() * np.linspace(1.0, 1.02, 4 * RATE_HZ), "drift by"),
    "fluctuation": (_wobbling(0.03, 0.4), "fluctuate by"),
    "flutter": (_wobbling(0.1, 7.0), "of noise"),
    "too soft for its bits": (np.round(tone(-85.0) * 32768) / 32768, "noise"),
    "on and off": (np.where(np.arange(4 * RATE_HZ) // RATE_HZ % 2, tone(), tone() * 0.3), "fluctuate by"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_no_calibrator_is_refused_with_what_was_heard_and_expected(name):
    samples, said = REFUSED[name]
    complaint = complaint_about(listen(samples, RATE_HZ))
    if name == "too soft for its bits":
        said = "harmonics" if complaint is not None and "harmonics" in complaint else said
    assert complaint is not None and said in complaint and "expected" in complaint and "\n" not in complaint


def test_too_short_a_stretch_is_the_callers_mistake():
    with pytest.raises(ValueError, match="a second at least"):
        listen(tone(seconds=0.6), RATE_HZ)


def _wanted(*levels_db):
    return Wanted(levels_db, None, 0.0, "2026-10-01", "me", "", 3.0, 8.0)


def _measure(tape, *levels_db):
    lines = []
    return measure_tones(tape, HARDWARE, _wanted(*levels_db), lines.append), lines


def test_a_tone_is_waited_for_given_time_and_measured():
    found, lines = _measure(Tape(np.concatenate([SILENCE, tone(seconds=12.0)])), 94.0)
    assert found[0].level_dbfs == pytest.approx(-26.0, abs=0.005) and found[0].duration_s == 3.0
    assert "94 dB" in lines[0] and "keep still" in lines[1]


def test_both_levels_are_measured_in_turn():
    tape = np.concatenate([SILENCE, tone(-46.0, 9.0), SILENCE, tone(-26.3, 12.0)])
    found, lines = _measure(Tape(tape), 94.0, 114.0)
    assert [one.level_dbfs for one in found] == pytest.approx([-46.0, -26.3], abs=0.01)
    assert any("114 dB" in line for line in lines)


@pytest.mark.parametrize(
    ("second_dbfs", "said"),
    [(-38.0, "automatic gain"), (-26.6, "automatic gain"), (-25.4, "automatic"), (-46.0, "not switched")],
)
def test_two_levels_that_do_not_differ_as_the_calibrators_do_are_refused(second_dbfs, said):
    tape = np.concatenate([SILENCE, tone(-46.0, 9.0), tone(second_dbfs, 30.0)])
    with pytest.raises(CalibrationError, match="expected 20 within 0.5 dB") as caught:
        _measure(Tape(tape), 94.0, 114.0)
    assert said in str(caught.value)


def test_a_gain_that_regulates_slowly_is_seen_as_drift():
    regulated = tone(-20.0, 20.0)
    regulated = regulated * 10 ** (-8.0 * (1 - np.exp(-np.arange(len(regulated)) / (4.0 * RATE_HZ))) / 20)
    with pytest.raises(CalibrationError, match="regulates the gain"):
        _measure(Tape(regulated), 94.0)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ({"gap_at_s": 6.0}, "overflow"),
        ({"turned_at_s": 6.0}, "changed the card's controls"),
        ({"dies_at_s": 6.0}, "died"),
    ],
)
def test_trouble_while_it_measures_is_no_calibration(trouble, said):
    with pytest.raises(CalibrationError, match=said):
        _measure(Tape(tone(seconds=20.0), **trouble), 94.0)


def test_no_tone_in_time_is_told_with_what_was_heard_instead():
    loud = np.random.RandomState(6).normal(0, 0.1, 60 * RATE_HZ)
    began = Wanted((94.0,), None, 0.0, "2026-10-01", "me", "", 3.0, 0.01)
    with pytest.raises(CalibrationError, match="noise of -20.. dBFS without a steady tone"):
        measure_tones(Tape(loud), HARDWARE, began, lambda _line: None)
