"""The meter as a whole: reference signals of the standard, gaps, silence, overload, and blocks of any size."""

import math
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.levels.meter import LevelMeter
from edge.levels.weighting import magnitude_of_weighting
from edge.sources.pcm import mono_from_frames, overloaded_frames
from edge.sources.recording import open_recording

RECORDINGS = Path(__file__).resolve().parents[1] / "fixtures"
RATES_HZ = (44100, 48000, 96000)
FULL_SCALE_SINE_DBFS = -3.0103


def sine(frequency_hz, duration_s, rate_hz, amplitude=1.0, phase=0.0):
    t = np.arange(int(round(duration_s * rate_hz))) / float(rate_hz)
    return amplitude * np.sin(2.0 * math.pi * frequency_hz * t + phase)


def silence(duration_s, rate_hz):
    return np.zeros(int(round(duration_s * rate_hz)))


def measured(samples, rate_hz, block_samples=None, **options):
    """All frames of a whole signal, the last one too."""
    meter, frames = LevelMeter(rate_hz, **options), []
    block_samples = block_samples or len(samples)
    for first in range(0, len(samples), block_samples):
        frames += meter.push(samples[first : first + block_samples], first)
    return frames + meter.finish()


def leq(frames, name):
    heard = sum(frame.heard_samples for frame in frames)
    return 10.0 * math.log10(sum(getattr(frame, "energy_" + name) for frame in frames) / heard)


def highest(frames, name):
    return max(value for value in (getattr(frame, name) for frame in frames) if value is not None)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("level_db", [94.0, 114.0])
def test_a_calibrators_tone_reads_what_it_is_under_all_weightings(rate_hz, level_db):
    offset_db = 120.0  # dB re 20 uPa of a sound whose RMS is full scale
    amplitude = math.sqrt(2.0) * 10.0 ** ((level_db - offset_db) / 20.0)
    frames = measured(sine(1000.0, 12.0, rate_hz, amplitude), rate_hz)
    steady = [frame for frame in frames if frame.lasmax_dbfs is not None]
    assert len(steady) == 4 * 8
    for name in "acz":
        assert leq(steady, name) + offset_db == pytest.approx(level_db, abs=0.005)
    for frame in steady:
        assert frame.laf_dbfs + offset_db == pytest.approx(level_db, abs=0.01)
        assert frame.lafmax_dbfs + offset_db == pytest.approx(level_db, abs=0.02)
        assert frame.lafmin_dbfs + offset_db == pytest.approx(level_db, abs=0.02)
        assert frame.lasmax_dbfs + offset_db == pytest.approx(level_db, abs=0.01)
        assert frame.lcpeak_dbfs + offset_db == pytest.approx(level_db + 3.01, abs=0.02)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_tones_read_what_the_weightings_say(rate_hz):
    # IEC 61672-1:2013, table 3
    for frequency_hz, a_db, c_db in (
        (31.62, -39.4, -3.0),
        (125.9, -16.1, -0.2),
        (3981.1, 1.0, -0.8),
        (12589, -4.3, -6.2),
    ):
        frames = measured(sine(frequency_hz, 4.0, rate_hz, 0.5), rate_hz)[8:]
        level_dbfs = FULL_SCALE_SINE_DBFS - 6.0206
        assert leq(frames, "a") == pytest.approx(level_dbfs + a_db, abs=0.15)
        assert leq(frames, "c") == pytest.approx(level_dbfs + c_db, abs=0.15)
        assert leq(frames, "z") == pytest.approx(level_dbfs, abs=0.1)


# IEC 61672-1:2013, table 4: duration of a 4 kHz toneburst in ms, its response re the steady level (LAFmax or LASmax
# less LA), and the acceptance limits of class 1.
BURSTS_FAST = (
    (1000, 0.0, 0.5, -0.5),
    (500, -0.1, 0.5, -0.5),
    (200, -1.0, 0.5, -0.5),
    (100, -2.6, 1.0, -1.0),
    (50, -4.8, 1.0, -1.0),
    (20, -8.3, 1.0, -1.0),
    (10, -11.1, 1.0, -1.0),
    (5, -14.1, 1.0, -1.0),
    (2, -18.0, 1.0, -1.5),
    (1, -21.0, 1.0, -2.0),
    (0.5, -24.0, 1.0, -2.5),
    (0.25, -27.0, 1.0, -3.0),
)
BURSTS_SLOW = (
    (1000, -2.0, 0.5, -0.5),
    (500, -4.1, 0.5, -0.5),
    (200, -7.4, 0.5, -0.5),
    (100, -10.2, 1.0, -1.0),
    (50, -13.1, 1.0, -1.0),
    (20, -17.0, 1.0, -1.5),
    (10, -20.0, 1.0, -2.0),
    (5, -23.0, 1.0, -2.5),
    (2, -27.0, 1.0, -3.0),
)
BURST_SEL = ((1000, 0.0), (500, -3.0), (200, -7.0), (100, -10.0), (50, -13.0), (20, -17.0), (10, -20.0), (5, -23.0))
BURST_SEL += ((2, -27.0), (1, -30.0), (0.5, -33.0), (0.25, -36.0))


def burst(duration_ms, rate_hz, after_s):
    """Whole cycles of 4 kHz that begin at a zero crossing, long after the start."""
    quiet = silence(9.0, rate_hz)
    return np.concatenate([quiet, sine(4000.0, duration_ms * 1e-3, rate_hz, 0.9), silence(after_s, rate_hz)])


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_tonebursts_read_as_the_standard_wants(rate_hz):
    steady = measured(sine(4000.0, 12.0, rate_hz, 0.9), rate_hz)[72:]
    fast_dbfs, slow_dbfs, mean_dbfs = (
        highest(steady, "lafmax_dbfs"),
        highest(steady, "lasmax_dbfs"),
        leq(steady, "a"),
    )
    limits = {duration_ms: (upper, lower) for duration_ms, _, upper, lower in BURSTS_FAST}
    slow = {duration_ms: rest for duration_ms, *rest in BURSTS_SLOW}
    exposures = dict(BURST_SEL)
    for duration_ms, response_db, upper_db, lower_db in BURSTS_FAST:
        frames = measured(burst(duration_ms, rate_hz, 1.0), rate_hz)
        fast_error_db = highest(frames, "lafmax_dbfs") - fast_dbfs - response_db
        assert lower_db <= fast_error_db <= upper_db, "Fast, %g ms: %.2f dB" % (duration_ms, fast_error_db)
        if duration_ms >= 2:
            wanted_db, slow_upper_db, slow_lower_db = slow[duration_ms]
            slow_error_db = highest(frames, "lasmax_dbfs") - slow_dbfs - wanted_db
            assert slow_lower_db <= slow_error_db <= slow_upper_db, "Slow, %g ms: %.2f dB" % (
                duration_ms,
                slow_error_db,
            )
        exposure_db = 10.0 * math.log10(sum(frame.energy_a for frame in frames) / rate_hz) - mean_dbfs
        upper_db, lower_db = limits[duration_ms]
        assert lower_db <= exposure_db - exposures[duration_ms] <= upper_db


# IEC 61672-1:2013, table 5: LCpeak less LC of the steady signal, and the acceptance limits of class 1.
@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize(
    "frequency_hz, cycles, sign, wanted_db, limit_db",
    [
        (31.5, 1.0, 1, 2.5, 2.0),
        (500.0, 1.0, 1, 3.5, 1.0),
        (8000.0, 1.0, 1, 3.4, 2.0),
        (500.0, 0.5, 1, 2.4, 1.0),
        (500.0, 0.5, -1, 2.4, 1.0),
    ],
)
def test_c_weighted_peaks_of_short_signals_read_as_the_standard_wants(
    rate_hz, frequency_hz, cycles, sign, wanted_db, limit_db
):
    steady_dbfs = leq(measured(sine(frequency_hz, 4.0, rate_hz, 0.5), rate_hz)[8:], "c")
    quiet = silence(1.03, rate_hz)
    short = np.concatenate([quiet, sign * sine(frequency_hz, cycles / frequency_hz, rate_hz, 0.5), quiet])
    peak_dbfs = highest(measured(short, rate_hz), "lcpeak_dbfs")
    assert peak_dbfs - steady_dbfs == pytest.approx(wanted_db, abs=limit_db)


@pytest.mark.parametrize("frequency_hz", [8000.0, 12000.0, 15900.0])
def test_peaks_between_the_samples_are_found_whatever_the_phase(frequency_hz):
    rate_hz = 48000
    for phase in np.linspace(0.0, math.pi, 7):
        frames = measured(sine(frequency_hz, 2.0, rate_hz, 0.5, phase), rate_hz)[4:]
        for frame in frames:
            crest_db = frame.lcpeak_dbfs - leq([frame], "c")
            assert crest_db == pytest.approx(3.01, abs=0.1)


def test_the_meter_is_linear_over_ninety_decibels():
    rate_hz, reference = 48000, None
    for level_db in range(0, -91, -10):
        frames = measured(sine(1000.0, 10.0, rate_hz, 10.0 ** (level_db / 20.0)), rate_hz)[-8:]
        readings = [leq(frames, "a"), highest(frames, "lafmax_dbfs"), highest(frames, "lasmax_dbfs"), leq(frames, "z")]
        reference = reference or readings
        for reading, at_full_scale in zip(readings, reference):
            assert reading - at_full_scale == pytest.approx(level_db, abs=0.01)


def test_white_noise_reads_its_power_through_the_weightings():
    rate_hz = 48000
    noise = np.random.RandomState(3).randn(30 * rate_hz) * 0.05
    frames = measured(noise, rate_hz)[8:]
    frequencies_hz = np.arange(1, rate_hz // 2)
    for name in "ac":  # the mean of the squared curve over the band is the share of white noise that comes through
        share_db = 10.0 * math.log10(np.mean(np.square(magnitude_of_weighting(name.upper(), frequencies_hz))))
        assert leq(frames, name) == pytest.approx(20.0 * math.log10(0.05) + share_db, abs=0.1)
    assert leq(frames, "z") == pytest.approx(20.0 * math.log10(0.05), abs=0.1)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 9000), min_size=1, max_size=12),
    st.sampled_from([8000, 11025, 44100]),
    st.booleans(),
)
def test_blocks_of_any_size_give_the_same_frames(seed, sizes, rate_hz, has_gap):
    random = np.random.RandomState(seed)
    total = sum(sizes) + 2 * rate_hz
    samples = (random.randn(total) * 0.1).astype(np.float32)
    gap_at = total // 2 if has_gap else total
    lost = int(random.randint(1, rate_hz)) if has_gap else 0

    def frames_of(blocks):
        meter, frames, at = LevelMeter(rate_hz, third_octaves=True), [], 0
        for size in blocks:
            end = min(total, at + size)
            for begin, until in ((at, min(end, gap_at)), (max(at, gap_at), end)):
                if until > begin:
                    frames += meter.push(samples[begin:until], begin + (lost if begin >= gap_at else 0))
            at = end
        return frames + meter.finish()

    whole, cut = frames_of([total]), frames_of(sizes + [total])
    assert [frame[:4] for frame in whole] == [frame[:4] for frame in cut]
    for one, other in zip(whole, cut):
        for name, a, b in zip(one._fields, one, other):
            if name == "band_energies":
                assert (a is None) == (b is None)
                assert a is None or a == pytest.approx(b, rel=1e-9)
            else:
                assert (a is None) == (b is None)
                assert a is None or a == pytest.approx(b, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 48000, 192000])
def test_eight_frames_are_a_second_at_every_rate(rate_hz):
    frames = measured(np.random.RandomState(1).randn(3 * rate_hz) * 0.01, rate_hz, block_samples=rate_hz // 20)
    assert len(frames) == 24
    assert [frame.end_sample for frame in frames[7::8]] == [rate_hz, 2 * rate_hz, 3 * rate_hz]
    assert all(a.end_sample == b.first_sample for a, b in zip(frames, frames[1:]))
    assert all(abs(frame.end_sample - frame.first_sample - rate_hz / 8.0) < 1.0 for frame in frames)


def test_after_a_start_levels_wait_until_they_are_valid():
    frames = measured(sine(1000.0, 10.0, 48000, 0.1), 48000)
    assert [frame.heard_samples > 0 for frame in frames] == [False] * 2 + [True] * 78
    assert [frame.laf_dbfs is not None for frame in frames] == [False] * 8 + [True] * 72
    assert [frame.lafmax_dbfs is not None for frame in frames] == [False] * 8 + [True] * 72
    assert [frame.lasmax_dbfs is not None for frame in frames] == [False] * 64 + [True] * 16
    assert all(frame.energy_a == 0.0 and frame.lcpeak_dbfs is None for frame in frames[:2])


def test_after_a_gap_everything_begins_anew_and_nothing_is_glued():
    rate_hz, tone = 48000, sine(1000.0, 10.0, 48000, 0.1)
    meter = LevelMeter(rate_hz)
    before = meter.push(tone[: rate_hz * 9 + 1000], 0)
    lost_until = 20 * rate_hz + 500
    after = meter.push(tone, lost_until)
    assert before[-1].end_sample == 9 * rate_hz
    cut, after = after[0], after[1:]
    assert (cut.first_sample, cut.end_sample, cut.heard_samples) == (9 * rate_hz, 9 * rate_hz + 1000, 1000)
    assert cut.laf_dbfs is None and cut.lafmax_dbfs is not None  # no eighth of a second ended there
    assert after[0].first_sample == lost_until and after[0].end_sample == 20 * rate_hz + 6000
    assert [frame.heard_samples > 0 for frame in after[:4]] == [False, False, False, True]
    assert all(frame.lafmax_dbfs is None for frame in after[:9]) and after[9].lafmax_dbfs is not None
    assert all(frame.lasmax_dbfs is None for frame in after[:65]) and after[65].lasmax_dbfs is not None
    assert after[9].laf_dbfs == pytest.approx(before[-1].laf_dbfs, abs=0.02)


def test_an_offset_of_the_converter_is_no_sound():
    noise = np.random.RandomState(5).randn(20 * 48000) * 1e-4
    plain, shifted = measured(noise, 48000), measured(noise + 0.05, 48000)
    for name in "acz":
        assert leq(shifted[:16], name) == pytest.approx(leq(plain[:16], name), abs=0.1)
    assert highest(shifted, "lafmax_dbfs") == pytest.approx(highest(plain, "lafmax_dbfs"), abs=0.1)
    assert highest(shifted, "lcpeak_dbfs") == pytest.approx(highest(plain, "lcpeak_dbfs"), abs=0.2)


@pytest.mark.parametrize("third_octaves", [False, True])
def test_digital_silence_has_no_level_and_no_minus_infinity(third_octaves):
    signal = np.concatenate([sine(1000.0, 10.0, 16000, 0.1), silence(400.0, 16000)])
    frames = measured(signal, 16000, block_samples=1600, third_octaves=third_octaves)
    for frame in frames[-8 * 120 :]:
        levels = (frame.laf_dbfs, frame.lafmax_dbfs, frame.lafmin_dbfs, frame.lasmax_dbfs, frame.lcpeak_dbfs)
        assert levels == (None,) * 5 and frame.energy_z == 0.0 and frame.heard_samples == 2000
    for frame in frames:
        assert all(level is None or math.isfinite(level) for level in frame[7:12])
    fading = [frame.laf_dbfs for frame in frames[80:] if frame.laf_dbfs is not None]
    assert fading == sorted(fading, reverse=True)


def quantised(samples):
    return (np.round(np.clip(samples, -1.0, 1.0) * 32767.0) / 32768.0).astype(np.float32)


def test_full_scale_is_overload_even_for_a_single_sample():
    signal = quantised(sine(1000.0, 2.0, 48000, 0.5))
    signal[60000] = -1.0
    signal[80000] = 32767.0 / 32768.0
    frames = measured(signal, 48000)
    assert [i for i, frame in enumerate(frames) if frame.overload_samples] == [10, 13]
    assert frames[10].overload_samples == frames[13].overload_samples == 1


@pytest.mark.parametrize("frequency_hz", [50.0, 440.0, 3000.0])
def test_clipped_sound_that_was_turned_down_afterwards_is_overload_too(frequency_hz):
    clipped = quantised(0.5 * np.clip(sine(frequency_hz, 2.0, 48000, 1.5), -1.0, 1.0))
    assert all(frame.overload_samples for frame in measured(clipped, 48000)[2:])


@pytest.mark.parametrize("rate_hz", [44100, 192000])
@pytest.mark.parametrize("frequency_hz", [16.0, 50.0, 1000.0, 10999.0])
@pytest.mark.parametrize("amplitude", [0.11, 0.9])
def test_crests_of_undistorted_sound_are_no_plateaus(rate_hz, frequency_hz, amplitude):
    noise = np.random.RandomState(2).randn(2 * rate_hz) * 1e-5
    assert not any(
        f.overload_samples for f in measured(quantised(sine(frequency_hz, 2.0, rate_hz, amplitude)), rate_hz)
    )
    noisy = quantised(sine(frequency_hz, 2.0, rate_hz, amplitude) + noise)
    assert not any(frame.overload_samples for frame in measured(noisy, rate_hz))


def in_codes_of(bits, samples):
    """As a recording of so many bits gives them back."""
    half = 2.0 ** (bits - 1)
    return (np.clip(np.round(samples * half), -half, half - 1) / half).astype(np.float32)


def in_mu_law(samples):
    """G.711: 14 bits as a sign, a segment and sixteen steps in each."""
    magnitudes = np.minimum(np.abs(samples) * 8192.0, 8158.0) + 33.0
    steps = 2.0 ** (np.floor(np.log2(magnitudes)) - 4.0)
    return (np.sign(samples) * ((np.floor(magnitudes / steps) + 0.5) * steps - 33.0) / 8192.0).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 48000])
@pytest.mark.parametrize("frequency_hz", [16.0, 50.0, 440.0, 3000.0])
@pytest.mark.parametrize("amplitude", [0.11, 0.5, 0.98])
def test_steps_of_coarse_codes_are_no_overload(rate_hz, frequency_hz, amplitude):
    sound = sine(frequency_hz, 2.0, rate_hz, amplitude)
    for coarse in (in_codes_of(8, sound), in_codes_of(12, sound), in_mu_law(sound)):
        assert not any(frame.overload_samples for frame in measured(coarse, rate_hz))
    in_two_channels = mono_from_frames(np.stack([in_codes_of(8, sound), in_codes_of(8, 0.7 * sound)], axis=1), -1)
    assert not any(frame.overload_samples for frame in measured(in_two_channels, rate_hz))


@pytest.mark.parametrize("name", ["siren-111671", "dog-191687", "engine-186935", "rain-181766"])
@pytest.mark.parametrize("peak", [0.3, 0.98])
def test_a_street_in_8_bits_is_overloaded_where_it_was_clipped_and_nowhere_else(name, peak):
    with closing(open_recording(RECORDINGS / (name + ".ogg"))) as recording:
        sound, rate_hz = recording.read(recording.frames)[:, 0], recording.sample_rate_hz
    sound = sound * (peak / np.max(np.abs(sound)))
    assert not any(frame.overload_samples for frame in measured(in_codes_of(8, sound), rate_hz))
    loud = 2.0 / peak * sound
    clipped = [frame.overload_samples > 0 for frame in measured(in_codes_of(8, loud), rate_hz)]
    beyond = [bool(np.max(np.abs(part)) >= 126.5 / 128.0) for part in in_eighths(loud, rate_hz)]
    assert clipped[3:] == beyond[3:] and any(clipped)  # nothing counts before the filters have settled


@pytest.mark.parametrize("bits", [8, 12, 16, 24])
def test_the_highest_code_of_any_format_is_full_scale_on_either_side(bits):
    for code in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1):
        signal = in_codes_of(bits, sine(1000.0, 2.0, 48000, 0.5))
        signal[60000] = np.float32(code / 2.0 ** (bits - 1))
        frames = measured(signal, 48000)
        assert [(i, frame.overload_samples) for i, frame in enumerate(frames) if frame.overload_samples] == [(10, 1)]
        both = np.stack([signal, np.zeros_like(signal)], axis=1)
        assert list(overloaded_frames(both, -1)) == [60000]


def test_sound_of_8_bits_that_was_turned_down_after_it_was_clipped_is_overload():
    clipped = in_codes_of(8, 0.5 * np.clip(sine(1000.0, 2.0, 22050, 1.5), -1.0, 1.0))
    assert all(frame.overload_samples for frame in measured(clipped, 22050)[3:])


def in_eighths(samples, rate_hz):
    ends = [(number + 1) * rate_hz // 8 for number in range(len(samples) * 8 // rate_hz)]
    parts = np.split(samples, ends)
    return parts if len(parts[-1]) else parts[:-1]


def test_noise_and_silence_are_no_overload():
    noise = quantised(np.random.RandomState(2).randn(96000) * 0.1)
    assert not any(frame.overload_samples for frame in measured(noise, 48000))
    assert not any(frame.overload_samples for frame in measured(quantised(silence(2.0, 48000)), 48000))
    assert not any(frame.overload_samples for frame in measured(quantised(silence(2.0, 48000) + 0.2), 48000))


def test_overload_that_the_mean_of_channels_hides_is_told_all_the_same():
    frames = np.zeros((48000 * 2, 2), np.float32)
    frames[:, 0] = quantised(sine(1000.0, 2.0, 48000, 0.5))
    frames[60000:60003, 1] = 1.0
    meter, told = LevelMeter(48000), []
    for first in range(0, len(frames), 2399):
        block = frames[first : first + 2399]
        told += meter.push(mono_from_frames(block, -1), first, overloaded_frames(block, -1))
    assert [(i, frame.overload_samples) for i, frame in enumerate(told) if frame.overload_samples] == [(10, 3)]
    assert overloaded_frames(frames, 1) is None and overloaded_frames(frames[:50000], -1) is None
    assert list(overloaded_frames(frames, -1)) == [60000, 60001, 60002]
