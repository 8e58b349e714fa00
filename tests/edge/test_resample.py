"""Resampling: what a tone may and may not do, and that the sizes of the blocks do not matter."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.resample import StreamResampler

RATES_HZ = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)
TARGET_HZ = 22050
STOP_BAND_DB = -80.0


def _tone(frequency_hz, rate_hz, duration_s=1.0):
    return np.sin(2 * np.pi * frequency_hz * np.arange(int(rate_hz * duration_s)) / rate_hz).astype(np.float32)


def _resample(samples, from_hz, to_hz, block_samples=None):
    resampler = StreamResampler(from_hz, to_hz)
    step = block_samples or max(1, len(samples))
    parts = [resampler.push(samples[i : i + step]) for i in range(0, len(samples), step)]
    return np.concatenate(parts + [resampler.flush()])


def _rms(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_tone_comes_out_as_the_same_tone_at_the_same_time(rate_hz):
    resampled = _resample(_tone(1000, rate_hz), rate_hz, TARGET_HZ, block_samples=rate_hz // 10)
    assert resampled.dtype == np.float32
    middle = slice(TARGET_HZ // 10, -TARGET_HZ // 10)  # the ends ring
    np.testing.assert_allclose(resampled[middle], _tone(1000, TARGET_HZ)[: len(resampled)][middle], atol=1e-3)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("to_hz", [16000, 22050, 32000])
def test_no_sample_is_gained_or_lost(rate_hz, to_hz):
    assert abs(len(_resample(_tone(440, rate_hz), rate_hz, to_hz, block_samples=997)) - to_hz) <= 1


@pytest.mark.parametrize("rate_hz", [32000, 44100, 48000, 96000])
def test_a_tone_above_the_new_nyquist_dies(rate_hz):
    resampled = _resample(_tone(14000, rate_hz), rate_hz, TARGET_HZ, block_samples=rate_hz // 10)
    middle = resampled[TARGET_HZ // 10 : -TARGET_HZ // 10]
    assert 20 * np.log10(_rms(middle) / np.sqrt(0.5)) < STOP_BAND_DB


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_stream_is_what_resampling_the_whole_gives(rate_hz):
    samples = np.random.RandomState(rate_hz).uniform(-1, 1, rate_hz // 2).astype(np.float32)
    whole = soxr.resample(samples, rate_hz, TARGET_HZ, quality="HQ")
    stream = _resample(samples, rate_hz, TARGET_HZ, block_samples=rate_hz // 10)
    assert abs(len(whole) - len(stream)) <= 1
    shared = min(len(whole), len(stream))
    np.testing.assert_allclose(stream[:shared], whole[:shared], atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    rate_hz=st.sampled_from(RATES_HZ),
    sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=12),
    seed=st.integers(0, 2**31),
)
def test_chunked_equals_whole(rate_hz, sizes, seed):
    samples = np.random.RandomState(seed).uniform(-1, 1, sum(sizes)).astype(np.float32)
    resampler = StreamResampler(rate_hz, TARGET_HZ)
    parts, start = [], 0
    for size in sizes:
        parts.append(resampler.push(samples[start : start + size]))
        start += size
    chunked = np.concatenate(parts + [resampler.flush()])
    np.testing.assert_array_equal(chunked, _resample(samples, rate_hz, TARGET_HZ))


def test_equal_rates_pass_through_untouched():
    samples = np.random.RandomState(0).uniform(-1, 1, 2205).astype(np.float32)
    resampler = StreamResampler(TARGET_HZ, TARGET_HZ)
    np.testing.assert_array_equal(resampler.push(samples), samples)
    assert len(resampler.flush()) == 0


@pytest.mark.parametrize("end", ["reset", "flush"])
def test_after_an_end_nothing_of_the_past_is_heard(end):
    resampler = StreamResampler(44100, TARGET_HZ)
    resampler.push(_tone(1000, 44100))
    getattr(resampler, end)()
    silence = np.concatenate([resampler.push(np.zeros(44100, np.float32)), resampler.flush()])
    assert not silence.any()
    assert abs(len(silence) - TARGET_HZ) <= 1


@pytest.mark.parametrize("rates", [(0, 22050), (44100, 0), (-1, 22050)])
def test_a_rate_that_is_none_is_refused(rates):
    with pytest.raises(ValueError, match="positive"):
        StreamResampler(*rates)
