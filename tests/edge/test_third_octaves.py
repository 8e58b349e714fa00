"""Third octaves against the standard's limits, with real tones through the whole bank, its halvings included."""

import math

import numpy as np
import pytest

from edge.levels.meter import LevelMeter
from edge.levels.third_octaves import NOMINAL_HZ, ThirdOctaves, band_name

G = 10.0**0.3  # octave ratio, IEC 61260-1:2014, 5.2
MIDDLES_HZ = [1000.0 * G ** (x / 3.0) for x in range(-16, 13)]  # 25 Hz to 16 kHz, 5.4

# IEC 61260-1:2014, table 1: class 1 limits of the relative attenuation of octave bands, at G^exponent and G^-exponent.
LIMITS = (
    (0.0, -0.4, 0.4),
    (1.0 / 8.0, -0.4, 0.5),
    (1.0 / 4.0, -0.4, 0.7),
    (3.0 / 8.0, -0.4, 1.4),
    (0.5 - 1e-9, -0.4, 5.3),
    (0.5, 1.2, math.inf),
    (1.0, 16.6, math.inf),
    (2.0, 40.5, math.inf),
    (3.0, 60.0, math.inf),
    (4.0, 70.0, math.inf),
)


def third_octave_ratio(octave_ratio):
    """Breakpoints of octave bands as those of third octaves, by the formula in 5.10."""
    return 1.0 + (G ** (1.0 / 6.0) - 1.0) / (G**0.5 - 1.0) * (octave_ratio - 1.0)


RATIOS = np.array([third_octave_ratio(G**exponent) for exponent, _, _ in LIMITS])
LEAST_DB, MOST_DB = (np.array([row[i] for row in LIMITS]) for i in (1, 2))


def limits_at(ratio):
    """Least and most attenuation at a frequency over the band's middle; between breakpoints by lg of the ratio."""
    ratio = max(ratio, 1.0 / ratio)
    at = np.searchsorted(RATIOS, ratio, side="right") - 1
    if at >= len(RATIOS) - 1:
        return LEAST_DB[-1], MOST_DB[-1]
    share = math.log(ratio / RATIOS[at]) / math.log(RATIOS[at + 1] / RATIOS[at])
    least = LEAST_DB[at] + share * (LEAST_DB[at + 1] - LEAST_DB[at])
    return least, (MOST_DB[at] + share * (MOST_DB[at + 1] - MOST_DB[at]) if MOST_DB[at + 1] < math.inf else math.inf)


def attenuations(frequency_hz, rate_hz, bank):
    """What each band takes from a steady tone, dB."""
    bank.reset()
    t = np.arange(3 * rate_hz) / float(rate_hz)
    tone = np.sin(2.0 * math.pi * frequency_hz * t)
    bank.push(tone[: 2 * rate_hz])
    bank.take()
    bank.push(tone[2 * rate_hz :])
    return -10.0 * np.log10(np.maximum(np.array(bank.take()) / (0.5 * rate_hz), 1e-20))


def check(frequency_hz, rate_hz, bank, references_db):
    for middle_hz, name, given_db, reference_db in zip(
        MIDDLES_HZ, bank.names, attenuations(frequency_hz, rate_hz, bank), references_db
    ):
        least_db, most_db = limits_at(frequency_hz / middle_hz)
        relative_db = given_db - reference_db
        assert least_db <= relative_db <= most_db, "%s at %.1f Hz: %.2f dB, limits %.2f and %.2f" % (
            name,
            frequency_hz,
            relative_db,
            least_db,
            most_db,
        )


@pytest.mark.parametrize("rate_hz", [44100, 48000, 88200, 96000, 192000])
def test_all_bands_meet_class_1_at_every_rate(rate_hz):
    bank = ThirdOctaves(rate_hz)
    assert bank.names == tuple(band_name(hz) for hz in NOMINAL_HZ) and len(bank.names) == 29
    references_db = np.zeros(29)  # the nominal attenuation is 0 dB
    # tones at all breakpoints of three bands that are far apart, and a sweep that meets every band everywhere
    exponents = [0.0, 1.0 / 8.0, 1.0 / 4.0, 3.0 / 8.0, 1.0, 2.0, 3.0, 4.0]
    ratios = [third_octave_ratio(G**e) for e in exponents]
    frequencies_hz = [MIDDLES_HZ[band] * ratio**sign for band in (3, 16, 28) for ratio in ratios for sign in (1, -1)]
    frequencies_hz += list(np.geomspace(21.3, 0.4999 * rate_hz, 25))
    for frequency_hz in frequencies_hz:
        if frequency_hz < 0.5 * rate_hz:
            check(frequency_hz, rate_hz, bank, references_db)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 32000])
def test_lower_rates_have_the_bands_that_they_hold(rate_hz):
    bank = ThirdOctaves(rate_hz)
    highest = NOMINAL_HZ[len(bank.names) - 1]
    assert 0.3 * rate_hz < highest < 0.41 * rate_hz and bank.names[0] == "25hz"
    for middle_hz in MIDDLES_HZ[: len(bank.names) : 4]:
        check(middle_hz, rate_hz, bank, np.zeros(29))


def test_pink_noise_is_as_loud_in_every_band_and_the_bands_together_as_loud_as_all():
    rate_hz, seconds = 48000, 40
    random = np.random.RandomState(11)
    spectrum = np.fft.rfft(random.randn(seconds * rate_hz))
    frequencies_hz = np.fft.rfftfreq(seconds * rate_hz, 1.0 / rate_hz)
    inside = (frequencies_hz >= MIDDLES_HZ[0] * G ** (-1 / 6.0)) & (frequencies_hz <= MIDDLES_HZ[-1] * G ** (1 / 6.0))
    spectrum[inside] /= np.sqrt(frequencies_hz[inside])
    spectrum[~inside] = 0.0
    pink = np.fft.irfft(spectrum)
    pink *= 0.1 / pink.std()
    meter = LevelMeter(rate_hz, third_octaves=True)
    frames = [frame for frame in meter.push(pink, 0)[16:] if frame.band_energies is not None]
    energies = np.array([frame.band_energies for frame in frames]).mean(axis=0) / rate_hz
    levels_db = 10.0 * np.log10(energies)
    assert len(frames) == seconds - 2
    assert np.abs(levels_db[8:] - levels_db[8:].mean()).max() < 0.5  # from 160 Hz on half a minute is enough noise
    assert np.abs(levels_db - levels_db.mean()).max() < 2.0
    assert 10.0 * math.log10(energies.sum()) == pytest.approx(-20.0, abs=0.3)


def test_bands_are_told_of_whole_seconds_alone():
    rate_hz = 16000
    noise = np.random.RandomState(4).randn(10 * rate_hz) * 0.1
    meter = LevelMeter(rate_hz, third_octaves=True)
    frames = meter.push(noise[: 4 * rate_hz], 0) + meter.push(noise[: 4 * rate_hz], 6 * rate_hz + 100)
    told = [frame.end_sample for frame in frames if frame.band_energies is not None]
    assert told == [2 * rate_hz, 3 * rate_hz, 4 * rate_hz, 9 * rate_hz, 10 * rate_hz]
    assert {len(frame.band_energies) for frame in frames if frame.band_energies} == {len(meter.band_names)}


def test_names_are_what_fields_are_called_by():
    assert [band_name(hz) for hz in (25, 31.5, 1000, 16000)] == ["25hz", "31_5hz", "1000hz", "16000hz"]
    assert LevelMeter(48000).band_names == ()
