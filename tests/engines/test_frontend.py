"""The front end's definition: against librosa on real and synthetic sound, against physics, and against bad input."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import FrontendError
from engines.frontend import (
    FrontendSpec,
    apply_reference,
    compute_logmel,
    compute_mel_power_db,
    frontend_spec_from_mapping,
    hz_from_mel,
    mel_filterbank,
    mel_from_hz,
)
from tests.engines.frontends import STREET as SPEC

TOLERANCE_DB = 5e-3
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
CLIPS = ("siren-67358.ogg", "car_horn-178402.ogg", "dog-182395.ogg")

FIXED = SPEC._replace(reference="fixed", reference_db=20.0)
SHORT_WINDOW = SPEC._replace(win_length=800, hop_length=220, window_frames=100, fmin_hz=50.0, fmax_hz=8000.0)
SPECS = {"max": SPEC, "fixed": FIXED, "short window": SHORT_WINDOW}


def tone(frequency_hz, spec=SPEC, amplitude=0.5):
    """A sine of one window."""
    at_s = np.arange(spec.window_samples) / float(spec.sample_rate_hz)
    return amplitude * np.sin(2 * np.pi * frequency_hz * at_s)


SYNTHETIC = {
    "low tone": tone(60.0),
    "tone": tone(1000.0),
    "quiet tone": tone(5000.0, amplitude=1e-4),
    "silence": np.zeros(SPEC.window_samples),
    "full-scale square": np.sign(tone(440.0)),
    "full-scale noise": np.random.RandomState(0).uniform(-1.0, 1.0, SPEC.window_samples),
    "one click": np.eye(1, SPEC.window_samples, 40000)[0],
}


def librosa_logmel(samples, spec):
    """The same front end in librosa's words."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=samples,
        sr=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        win_length=spec.win_length,
        hop_length=spec.hop_length,
        window="hann",
        center=False,
        power=2.0,
        n_mels=spec.n_mels,
        fmin=spec.fmin_hz,
        fmax=spec.fmax_hz,
        htk=False,
        norm="slaney",
        dtype=np.float64,
    )
    if spec.reference == "max":
        decibels = librosa.power_to_db(power, ref=np.max, amin=spec.amin, top_db=spec.top_db)
    else:
        decibels = librosa.power_to_db(power, ref=1.0, amin=spec.amin, top_db=None) - spec.reference_db
        decibels = np.maximum(decibels, -spec.top_db)
    return decibels * spec.scale + spec.offset


needs_librosa = pytest.mark.skipif(sys.version_info < (3, 7), reason="librosa has no build for Python 3.6")


@needs_librosa
@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
@pytest.mark.parametrize("name", sorted(SYNTHETIC))
def test_definition_equals_librosa_on_synthetic_sound(name, spec):
    samples = SYNTHETIC[name][: spec.window_samples]
    difference = np.abs(compute_logmel(samples, spec) - librosa_logmel(samples, spec)).max()
    assert difference <= TOLERANCE_DB * spec.scale


@needs_librosa
@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
@pytest.mark.parametrize("clip", CLIPS)
def test_definition_equals_librosa_on_real_clips(clip, spec):
    import librosa
    import soundfile

    samples, rate = soundfile.read(str(FIXTURES / clip))
    samples = librosa.resample(samples, orig_sr=rate, target_sr=spec.sample_rate_hz)[: spec.window_samples]
    difference = np.abs(compute_logmel(samples, spec) - librosa_logmel(samples, spec)).max()
    assert difference <= TOLERANCE_DB * spec.scale


@pytest.mark.parametrize("band", range(12, 64, 5))
def test_a_tone_at_a_bands_centre_is_loudest_in_that_band(band):
    edges_mel = np.linspace(mel_from_hz(SPEC.fmin_hz), mel_from_hz(SPEC.fmax_hz), SPEC.n_mels + 2)
    centre_hz = float(hz_from_mel(edges_mel[band + 1]))
    power_db = compute_mel_power_db(tone(centre_hz), SPEC)
    assert (power_db.argmax(axis=0) == band).all()


@given(st.floats(100.0, 10500.0))
@settings(max_examples=30, deadline=None)
def test_a_tone_is_loudest_next_to_where_the_mel_scale_puts_it(frequency_hz):
    edges_mel = np.linspace(mel_from_hz(SPEC.fmin_hz), mel_from_hz(SPEC.fmax_hz), SPEC.n_mels + 2)
    nearest = np.abs(edges_mel[1:-1] - mel_from_hz(frequency_hz)).argmin()
    power_db = compute_mel_power_db(tone(frequency_hz)[: 8 * SPEC.n_fft], SPEC)
    assert np.abs(power_db.mean(axis=1).argmax() - nearest) <= 1


def test_silence_lies_on_the_floor():
    silence = np.zeros(SPEC.window_samples)
    np.testing.assert_allclose(compute_mel_power_db(silence, SPEC), 10 * np.log10(SPEC.amin), atol=1e-12)
    np.testing.assert_allclose(compute_logmel(silence, FIXED), -FIXED.top_db * FIXED.scale + FIXED.offset)
    # Under a maximum's reference silence is its own loudest cell: why a level gate stands before the network.
    np.testing.assert_allclose(compute_logmel(silence, SPEC), SPEC.offset)


def test_full_scale_stays_within_the_range_of_the_network():
    for name in ("full-scale square", "full-scale noise", "one click"):
        network_input = compute_logmel(SYNTHETIC[name], SPEC)
        assert network_input.max() == SPEC.offset
        assert network_input.min() >= -SPEC.top_db * SPEC.scale + SPEC.offset - 1e-12


@given(st.floats(-40.0, 0.0))
@settings(max_examples=15, deadline=None)
def test_level_is_lost_under_a_maximums_reference_and_kept_under_a_fixed_one(gain_db):
    samples = SYNTHETIC["full-scale noise"]
    quieter = samples * 10 ** (gain_db / 20)
    np.testing.assert_allclose(compute_logmel(quieter, SPEC), compute_logmel(samples, SPEC), atol=1e-9)
    np.testing.assert_allclose(
        compute_mel_power_db(quieter, FIXED), compute_mel_power_db(samples, FIXED) + gain_db, atol=1e-6
    )


def test_a_delay_of_one_hop_is_a_shift_of_one_frame():
    samples = SYNTHETIC["full-scale noise"]
    whole = compute_mel_power_db(samples, SPEC)
    later = compute_mel_power_db(samples[SPEC.hop_length :], SPEC)
    np.testing.assert_array_equal(later, whole[:, 1:])


@given(st.integers(1024, 5000))
@settings(max_examples=30, deadline=None)
def test_frames_are_those_that_fit_whole(length):
    power_db = compute_mel_power_db(np.zeros(length), SPEC)
    assert power_db.shape == (SPEC.n_mels, 1 + (length - SPEC.n_fft) // SPEC.hop_length)


def test_window_spans_exactly_its_frames():
    assert SPEC.window_samples == 170 * 512 + 1024
    assert SPEC.window_s == pytest.approx(88064 / 22050.0)
    assert SPEC.frames_per_s == pytest.approx(22050 / 512.0)
    assert compute_logmel(np.ones(SPEC.window_samples), SPEC).shape == (64, 171)


@given(st.floats(0.0, 20000.0))
def test_mel_scale_and_its_inverse_cancel(frequency_hz):
    assert float(hz_from_mel(mel_from_hz(frequency_hz))) == pytest.approx(frequency_hz, abs=1e-6)


def test_triangles_have_equal_area():
    bank = mel_filterbank(SPEC._replace(n_fft=4096, win_length=4096))
    bin_hz = SPEC.sample_rate_hz / 4096.0
    # Sampled at 5 Hz a triangle's area is 1 within a few percent from the tenth band up, all wider than 90 Hz.
    np.testing.assert_allclose(bank[10:].sum(axis=1) * bin_hz, 1.0, rtol=0.03)


def test_reference_raises_what_is_too_quiet_to_the_floor():
    power_db = np.array([[0.0, -10.0], [-79.0, -200.0]])
    expected_db = np.array([[0.0, -10.0], [-79.0, -80.0]])
    np.testing.assert_allclose(apply_reference(power_db, SPEC), expected_db * SPEC.scale + SPEC.offset)


def test_a_spec_survives_its_mapping():
    assert frontend_spec_from_mapping(dict(SPEC._asdict())) == SPEC


def test_whole_numbers_serve_where_real_ones_are_expected():
    spec = frontend_spec_from_mapping(dict(SPEC._asdict(), fmin_hz=0, top_db=80, n_mels=64.0))
    assert spec == SPEC
    assert isinstance(spec.top_db, float)
    assert isinstance(spec.n_mels, int)


@pytest.mark.parametrize("field", FrontendSpec._fields)
def test_a_missing_field_is_named(field):
    values = dict(SPEC._asdict())
    del values[field]
    with pytest.raises(FrontendError, match=field):
        frontend_spec_from_mapping(values)


def test_an_unknown_field_is_named():
    with pytest.raises(FrontendError, match="n_mel_bands"):
        frontend_spec_from_mapping(dict(SPEC._asdict(), n_mel_bands=64))
    with pytest.raises(FrontendError, match=r"'n\\nmels\\x1b'") as caught:
        frontend_spec_from_mapping(dict(SPEC._asdict(), **{"n\nmels\x1b": 64}))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("field", FrontendSpec._fields)
@pytest.mark.parametrize("value", [None, [1], {"a": 1}, "no such value"])
def test_a_value_of_another_type_is_refused_by_name(field, value):
    with pytest.raises(FrontendError, match=field):
        frontend_spec_from_mapping(dict(SPEC._asdict(), **{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_rate_hz", 4000),
        ("sample_rate_hz", 400000),
        ("sample_rate_hz", 22050.5),
        ("sample_rate_hz", True),
        ("n_fft", 1000),
        ("n_fft", 128),
        ("n_fft", 8192),
        ("n_fft", 0),
        ("n_fft", -1024),
        ("win_length", 0),
        ("win_length", 1025),
        ("hop_length", 0),
        ("hop_length", 2048),
        ("hop_length", -1),
        ("n_mels", 0),
        ("n_mels", 1000),
        ("fmin_hz", -1.0),
        ("fmin_hz", 12000.0),
        ("fmin_hz", float("nan")),
        ("fmax_hz", 0.0),
        ("fmax_hz", 20000.0),
        ("fmax_hz", float("nan")),
        ("fmax_hz", float("inf")),
        ("window", "hamming"),
        ("mel_scale", "htk"),
        ("mel_norm", "none"),
        ("power", 1.0),
        ("center", True),
        ("amin", 0.0),
        ("amin", -1e-10),
        ("amin", float("nan")),
        ("reference", "median"),
        ("reference_db", float("inf")),
        ("top_db", 0.0),
        ("top_db", float("nan")),
        ("window_frames", 0),
        ("window_frames", 10000),
        ("scale", float("nan")),
        ("offset", float("inf")),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(FrontendError, match=field):
        frontend_spec_from_mapping(dict(SPEC._asdict(), **{field: value}))


@pytest.mark.parametrize("field", FrontendSpec._fields)
@pytest.mark.parametrize(
    "value",
    [float("inf"), float("-inf"), float("nan"), 1e308, 10**400, -1],
    ids=["inf", "-inf", "nan", "1e308", "1e400", "-1"],
)
def test_an_extreme_number_is_never_a_fault_inside(field, value):
    values = dict(SPEC._asdict(), **{field: value})
    try:
        spec = frontend_spec_from_mapping(values)
    except FrontendError as error:
        refused_by = str(error)
    else:
        refused_by = ""
        assert getattr(spec, field) == value
    assert not refused_by or field in refused_by


@pytest.mark.parametrize("shape", [(0,), (100,), (88063,), (88065,), (2, 88064)])
def test_anything_but_one_window_is_refused_with_both_lengths(shape):
    with pytest.raises(FrontendError, match="88064"):
        compute_logmel(np.zeros(shape), SPEC)


@pytest.mark.parametrize("shape", [(0,), (1023,), (2, 4096)])
def test_too_little_sound_for_one_frame_is_refused(shape):
    with pytest.raises(FrontendError, match="1024"):
        compute_mel_power_db(np.zeros(shape), SPEC)
