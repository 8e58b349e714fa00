"""`soundclr-edge classify`: what it prints of recordings of every kind, and of what is none."""

import io
import json
import struct

import numpy as np
import pytest
import soundfile

from edge.classify import classify_files
from edge.config import SHIPPED_BUNDLE, Config, NodeConfig, SourceConfig
from edge.resample import StreamResampler
from edge.scorer import open_scorer
from engines.bundle import load_bundle
from tests.engines.bundles import LABELS, SPEC, write_tiny_bundle

HOP_S = 0.5
CONFIG = Config(NodeConfig("node"), (SourceConfig("none", "stdin"),))
CONFIG = CONFIG._replace(model=CONFIG.model._replace(hop_s=HOP_S))
WINDOW_S = SPEC.window_samples / float(SPEC.sample_rate_hz)


class Tool:
    """The tiny bundle, opened once."""

    def __init__(self, folder):
        self.bundle = load_bundle(write_tiny_bundle(folder))
        self.scorer = open_scorer(self.bundle, "auto", 1, HOP_S)

    def run(self, *paths, as_json=True, start_time=""):
        results, complaints = io.StringIO(), io.StringIO()
        failed = classify_files(
            [str(path) for path in paths],
            self.bundle,
            self.scorer,
            CONFIG,
            as_json=as_json,
            results=results,
            complaints=complaints,
            start_time=start_time,
        )
        return failed, results.getvalue().splitlines(), complaints.getvalue().splitlines()

    def answers(self, *paths):
        failed, lines, complaints = self.run(*paths)
        assert (failed, complaints) == (0, [])
        return [json.loads(line) for line in lines]

    def answer(self, path):
        return self.answers(path)[-1]


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    tool = Tool(tmp_path_factory.mktemp("bundle") / "tiny")
    with tool.scorer:
        yield tool


def chord(duration_s, rate_hz):
    """What every rate from 8 kHz on can hold, swelling and ebbing."""
    at_s = np.arange(int(round(duration_s * rate_hz))) / float(rate_hz)
    voices = sum(np.sin(2 * np.pi * frequency_hz * at_s) for frequency_hz in (310.0, 440.0, 770.0, 1200.0))
    return 0.05 * voices * (1.2 + np.sin(2 * np.pi * 1.7 * at_s))


def write(path, samples, rate_hz=44100, **options):
    soundfile.write(str(path), samples, rate_hz, **options)
    return path


def test_each_hop_each_event_and_last_the_file_as_the_contract_says(tool, tmp_path):
    path = write(tmp_path / "a.wav", chord(3.2, 44100))
    objects = tool.answers(path)
    assert [o["type"] for o in objects[-2:]] == ["event", "file"]
    assert all(o["file"] == str(path) for o in objects)
    hops = [o for o in objects if o["type"] == "classification"]
    assert [o["start_s"] for o in hops] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.02)
    for hop in hops:
        assert hop["end_s"] - hop["start_s"] == pytest.approx(WINDOW_S, abs=2e-3)
        assert list(hop["scores"]) == LABELS and sum(hop["scores"].values()) == pytest.approx(1.0, abs=1e-4)
        assert all(isinstance(p, float) and 0 <= p <= 1 for p in list(hop["scores"].values()) + [hop["foreign"]])
    (event,) = [o for o in objects if o["type"] == "event"]
    assert event["label"] == "low" and 0 <= event["start_s"] < event["end_s"] <= 3.2
    answer = objects[-1]
    assert answer["label"] == "low" == max(answer["scores"], key=answer["scores"].get)
    assert set(answer["scores"]) == set(LABELS) and 0 <= answer["foreign"] <= 1
    assert answer["accepted"] is True and answer["reason"] is None and answer["windows"] == len(hops)


def test_several_files_come_in_their_order_and_do_not_touch_each_other(tool, tmp_path):
    low = write(tmp_path / "low.wav", chord(1.7, 44100))
    high = write(tmp_path / "high.wav", 0.1 * np.sin(2 * np.pi * 5000.0 * np.arange(30000) / 16000.0), 16000)
    alone = tool.answers(low) + tool.answers(high)
    assert tool.answers(low, high) == alone and tool.answers(high, low)[-1]["label"] == "low"
    assert [o["label"] for o in alone if o["type"] == "file"] == ["low", "high"]
    assert tool.answers(low, low)[-1] == tool.answer(low)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_file_that_fails_does_not_stop_the_others(tool, tmp_path, as_json):
    good = write(tmp_path / "good.wav", chord(1.5, 44100))
    broken = chord(2.0, 44100)
    broken[70000] = np.nan
    bad = write(tmp_path / "bad.wav", broken, subtype="FLOAT")
    failed, lines, complaints = tool.run(tmp_path / "none.wav", good, bad, good, as_json=as_json)
    assert failed == 2 and len(complaints) == 2
    assert "none.wav" in complaints[0] and "bad.wav" in complaints[1]
    if as_json:
        answers = [o for o in map(json.loads, lines) if o["type"] == "file"]
        assert [o["file"] for o in answers] == [str(good), str(good)] and answers[0] == answers[1]
    else:
        assert sum(line.startswith("%s: low" % good) for line in lines) == 2


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_rates_and_formats_give_the_same_answer(tool, tmp_path, rate_hz, subtype):
    original = tool.answer(write(tmp_path / "original.wav", chord(2.0, 16000), 16000, subtype="FLOAT"))
    answer = tool.answer(write(tmp_path / "a.wav", chord(2.0, rate_hz), rate_hz, subtype=subtype))
    assert (answer["label"], answer["accepted"], answer["windows"]) == ("low", True, original["windows"])
    assert answer["scores"] == pytest.approx(original["scores"], abs=0.03)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_more_channels_give_the_same_answer(tool, tmp_path, channels):
    mono = chord(2.0, 44100)
    gains = np.linspace(1.0, 0.2, channels)
    answer = tool.answer(write(tmp_path / "a.wav", mono[:, None] * gains))
    original = tool.answer(write(tmp_path / "original.wav", mono))
    assert answer["label"] == "low" and answer["scores"] == pytest.approx(original["scores"], abs=0.03)


@pytest.mark.parametrize(
    "container, subtype",
    [
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("AIFF", "PCM_16"),
        ("WAVEX", "PCM_24"),
        ("WAV", "PCM_U8"),
        ("WAV", "DOUBLE"),
    ],
)
def test_other_containers_give_the_same_label(tool, tmp_path, container, subtype):
    path = write(tmp_path / "a.sound", chord(2.0, 44100), format=container, subtype=subtype)
    assert tool.answer(path)["label"] == "low"


@pytest.mark.parametrize("name", ["siren-67358.ogg", "dog-191687.ogg", "car_horn-178402.ogg"])
def test_the_shipped_model_hears_the_same_in_every_format(fixture_folder, tmp_path, name):
    samples, rate_hz = soundfile.read(str(fixture_folder / name))
    bundle = load_bundle(SHIPPED_BUNDLE)
    original = answer_of(bundle, write(tmp_path / "original.wav", samples, rate_hz, subtype="FLOAT"))
    for new_hz in (32000, 48000, 96000):
        resampler = StreamResampler(rate_hz, new_hz)
        sound = np.concatenate([resampler.push(samples.astype(np.float32)), resampler.flush()])
        for channels, subtype in ((1, "PCM_16"), (2, "PCM_24"), (6, "PCM_32"), (1, "FLOAT")):
            path = write(tmp_path / "a.wav", np.repeat(sound[:, None], channels, axis=1), new_hz, subtype=subtype)
            answer = answer_of(bundle, path)
            assert answer["label"] == original["label"]
            assert answer["scores"] == pytest.approx(original["scores"], abs=0.1)


@pytest.fixture
def fixture_folder(request):
    return request.config.rootpath / "tests" / "fixtures"


def answer_of(bundle, path):
    results = io.StringIO()
    with open_scorer(bundle, "auto", 1, 1.0) as scorer:
        classify_files([str(path)], bundle, scorer, CONFIG, as_json=True, results=results, complaints=io.StringIO())
    return json.loads(results.getvalue().splitlines()[-1])


@pytest.mark.parametrize("duration_s", [0.3, 3.0])
def test_digital_silence_has_no_label_and_says_so(tool, tmp_path, duration_s):
    path = write(tmp_path / "a.wav", np.zeros(int(44100 * duration_s)))
    answer = tool.answer(path)
    assert (answer["label"], answer["reason"], answer["accepted"]) == (None, "silence", False)
    assert set(answer["scores"]) == set(LABELS)
    assert tool.run(path, as_json=False)[1] == ["%s: nothing but digital silence" % path]


def test_the_faintest_sound_is_no_silence(tool, tmp_path):
    samples = np.zeros(44100 * 3, np.int16)
    samples[60000:60050] = 1
    answer = tool.answer(write(tmp_path / "a.wav", samples))
    assert answer["label"] in LABELS and (answer["accepted"], answer["reason"]) == (False, "below_gate")


@pytest.mark.parametrize("duration_s", [0.05, 0.1, 0.5, 0.99])
def test_a_clip_shorter_than_the_window_is_named(tool, tmp_path, duration_s):
    objects = tool.answers(write(tmp_path / "a.wav", chord(duration_s, 44100)))
    assert objects[0]["type"] == "classification" and objects[0]["end_s"] == pytest.approx(duration_s, abs=2e-3)
    assert objects[-1]["label"] == "low" and objects[-1]["windows"] == 1


def test_forty_milliseconds_are_too_little(tool, tmp_path):
    refusal(tool, write(tmp_path / "a.wav", chord(0.04, 44100)), "50 ms")


def refusal(tool, path, word):
    failed, lines, complaints = tool.run(path)
    assert (failed, lines, len(complaints)) == (1, [], 1)
    assert complaints[0].startswith("soundclr-edge: ") and str(path) in complaints[0] and word in complaints[0]


def wav_header(channels=1, data_bytes=8000):
    return (
        b"RIFF"
        + struct.pack("<I", 36 + data_bytes)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, channels, 16000, 32000 * channels, 2 * channels, 16)
        + b"data"
        + struct.pack("<I", data_bytes)
    )


@pytest.mark.parametrize(
    "content, word",
    [
        (b"", "empty"),
        (wav_header()[:30], ""),
        (wav_header(data_bytes=0), "not one sample"),
        (wav_header(channels=0) + bytes(8000), "0 channels"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 20, "not a sound file"),
        (b"fLaC" + bytes(100), "FLAC"),
        (b"OggS" + bytes(100), "Ogg"),
        (b"hello", "not a sound file"),
    ],
)
def test_a_file_without_sound_gives_one_line(tool, tmp_path, content, word):
    (tmp_path / "a.wav").write_bytes(content)
    refusal(tool, tmp_path / "a.wav", word)


def test_a_missing_file_a_folder_and_a_device_give_one_line(tool, tmp_path):
    refusal(tool, tmp_path / "none.wav", "No such file")
    refusal(tool, tmp_path, "folder")
    refusal(tool, "/dev/null", "not a regular file")


def test_a_file_full_of_nan_gives_one_line(tool, tmp_path):
    refusal(tool, write(tmp_path / "a.wav", np.full(44100, np.nan), subtype="FLOAT"), "sample 0")


def test_a_truncated_file_is_heard_as_far_as_it_goes(tool, tmp_path):
    path = write(tmp_path / "a.wav", chord(4.0, 44100))
    path.write_bytes(path.read_bytes()[: 44 + 2 * 44100 * 2 + 1])
    assert tool.answer(path)["windows"] == 3


def test_a_name_with_a_line_break_still_gives_one_line(tool, tmp_path):
    failed, _, complaints = tool.run(str(tmp_path / "two\nlines.wav"))
    assert failed == 1 and len(complaints) == 1 and "two\\nlines" in complaints[0]


def test_with_a_beginning_every_hop_and_event_says_its_utc(tool, tmp_path):
    path = tmp_path / "20261001_235958.wav"  # two seconds before midnight
    soundfile.write(str(path), chord(6.0, 16000), 16000)
    _, lines, complaints = tool.run(path, start_time="file")
    assert complaints == []
    hops = [values for values in map(json.loads, lines) if values["type"] == "classification"]
    assert hops[0]["start"] == "2026-10-01T23:59:58.000Z"
    assert all(hop["end"].startswith("2026-10-02T00:00:0") for hop in hops if hop["end_s"] > 2.001)
    assert "start" not in json.loads(lines[-1])


def test_a_file_that_does_not_tell_its_beginning_is_a_complaint(tool, tmp_path):
    path = tmp_path / "street.wav"
    soundfile.write(str(path), chord(1.0, 16000), 16000)
    failed, lines, complaints = tool.run(path, start_time="file")
    assert failed == 1 and not lines
    assert "say it, as 2026-10-01T12:34:56Z" in complaints[0]
