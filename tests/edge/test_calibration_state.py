"""A calibration holds for what was calibrated, and for nothing else; every difference is named."""

import json
import logging
import threading
import time
import wave

import numpy as np
import pytest

from edge.calibration import SourceCalibration, calibration_from_config, save_record
from edge.calibration.state import difference, indirectness
from edge.check import run_checks
from edge.cli import build_parser
from edge.config import Config, NodeConfig, SourceConfig
from edge.listener import Listener
from edge.messages import MessageFactory
from edge.records import Calibration
from edge.sources.devices import DeviceInfo
from engines.bundle import load_bundle
from tests.edge.calibrators import AGC, CARD, HARDWARE, RATE_HZ, RECORD, SOURCE, STREAM, SWITCH, VOLUME, tone
from tests.edge.microphones import make_microphone, next_block
from tests.engines.bundles import write_tiny_bundle

MIC = SourceConfig("mic", "microphone")


def _with(**card):
    return HARDWARE._replace(card=CARD._replace(**card))


DIFFERENT = [
    (_with(serial="B2"), STREAM, -1, "serial B2); calibrated was"),
    (_with(serial=""), STREAM, -1, "without a serial number, at USB port 1-2.1); calibrated was"),
    (_with(vendor_id="1234"), STREAM, -1, "USB 1234:0014"),
    (_with(pcm_device=1), STREAM, -1, "calibrated was"),
    (HARDWARE._replace(card=None), STREAM, -1, "the kernel does not say"),
    (HARDWARE._replace(pcm_type="plug"), STREAM, -1, "type 'plug'"),
    (HARDWARE._replace(pcm_type="pulse"), STREAM, -1, "apply volumes"),
    (HARDWARE._replace(pcm_type=""), STREAM, -1, "unknown to ALSA"),
    (HARDWARE._replace(sample_rate_hz=44100), STREAM, -1, "resamples"),
    (
        HARDWARE._replace(sample_rate_hz=44100),
        STREAM._replace(sample_rate_hz=44100),
        -1,
        "rate is 44100 Hz and was 48000 Hz",
    ),
    (HARDWARE, STREAM._replace(sample_format="s32le"), -1, "sample format is s32le and was s16le"),
    (HARDWARE, STREAM._replace(channels=2), -1, "number of channels is 2 and was 1"),
    (HARDWARE, STREAM, 0, "channel that is heard is 0 and was the mean of all"),
    (HARDWARE._replace(sample_format="S24_3LE"), STREAM, -1, "gives S24_3LE"),
    (HARDWARE._replace(problem="its controls cannot be read: x"), STREAM, -1, "cannot be read"),
    (HARDWARE._replace(controls=()), STREAM, -1, "lacks the control 'Mic Capture Volume'"),
    (
        HARDWARE._replace(controls=(VOLUME._replace(values=(8, 9)), SWITCH, AGC, SOURCE)),
        STREAM,
        -1,
        "'Mic Capture Volume' is 8, 9 and was 8",
    ),
    (
        HARDWARE._replace(controls=(VOLUME, SWITCH, AGC._replace(values=(1,)), SOURCE)),
        STREAM,
        -1,
        "'Auto Gain Control' is on and was off",
    ),
    (
        HARDWARE._replace(controls=(VOLUME, SWITCH, AGC, SOURCE._replace(values=(1,)))),
        STREAM,
        -1,
        "'Capture Source' is Line and was Mic",
    ),
    (
        HARDWARE._replace(controls=(VOLUME._replace(maximum=99), SWITCH, AGC, SOURCE)),
        STREAM,
        -1,
        "'Mic Capture Volume' has another range",
    ),
    (
        HARDWARE._replace(controls=HARDWARE.controls + (AGC._replace(name="Boost"),)),
        STREAM,
        -1,
        "a control 'Boost' (off) that it had not",
    ),
]


@pytest.mark.parametrize(("hardware", "stream", "channel", "said"), DIFFERENT)
def test_every_difference_ends_the_calibration_and_is_named(hardware, stream, channel, said):
    reason = difference(RECORD, hardware, stream, channel)
    assert said in reason and "\n" not in reason


def test_the_same_holds_whatever_the_port_where_there_is_a_serial_number():
    assert difference(RECORD, HARDWARE, STREAM, -1) == "" == indirectness(HARDWARE, STREAM)
    assert difference(RECORD, _with(port="1-3"), STREAM, -1) == ""
    assert difference(RECORD, HARDWARE._replace(restored=("x",)), STREAM, -1) == ""
    nameless = RECORD._replace(hardware=_with(serial=""))
    assert difference(nameless, _with(serial=""), STREAM, -1) == ""
    assert "USB port 1-3" in difference(nameless, _with(serial="", port="1-3"), STREAM, -1)


def test_a_source_that_was_never_calibrated_says_how_it_would_be(tmp_path):
    for folder in (tmp_path, None):
        state = SourceCalibration(MIC, folder).state
        assert state.calibration is None and "soundclr-edge calibrate --source mic" in state.describe()


def test_recordings_and_streams_have_what_the_configuration_says():
    tape = SourceConfig("tape", "file", path="x.wav")
    assert SourceCalibration(tape, None).state.describe().startswith("uncalibrated: ")
    known = tape._replace(calibration_offset_db=121.5, calibrated_on="2026-10-01", calibration_method="data_sheet")
    expected = Calibration(121.5, "2026-10-01", "data_sheet")
    assert calibration_from_config(known) == expected == SourceCalibration(known, None).state.calibration
    assert "data sheet, not measured" in SourceCalibration(known, None).state.describe()


def _kept(folder, **changes):
    stream = {"sample_rate_hz": 16000, "hardware": HARDWARE._replace(sample_rate_hz=16000)}
    return save_record(folder, RECORD._replace(**dict(stream, **changes)))


@pytest.fixture
def microphone(tmp_path):
    with make_microphone(tmp_path) as make:
        yield make


def test_it_holds_from_the_first_sound_on_and_is_handed_to_the_capture_child(microphone, tmp_path):
    path = _kept(tmp_path)
    calibration = SourceCalibration(MIC, tmp_path)
    assert calibration.state.calibration is None
    with microphone("hardware", settings_file=calibration.settings_file) as source:
        next_block(source)
        assert calibration.look(source) == Calibration(120.0, "2026-10-01", "calibrator")
    assert "--settings=%s" % path in (tmp_path / "starts").read_text()


def test_a_control_turned_while_it_listens_ends_it_until_it_is_turned_back(microphone, tmp_path, caplog):
    _kept(tmp_path)
    calibration = SourceCalibration(MIC, tmp_path)
    caplog.set_level(logging.INFO)
    with microphone("turned_back") as source:
        found = []
        while len(found) < 3:
            next_block(source)
            now = calibration.look(source) is not None
            if found[-1:] != [now]:
                found.append(now)
    assert found == [True, False, True]
    warnings = [record.getMessage() for record in caplog.records if record.name == "edge.calibration.state"][1:-1]
    assert warnings == ["source mic: uncalibrated: control 'Mic Capture Volume' is 3 and was 8 when it was calibrated"]


def test_a_child_that_tells_nothing_of_its_hardware_leaves_it_uncalibrated(microphone, tmp_path):
    _kept(tmp_path)
    calibration = SourceCalibration(MIC, tmp_path)
    with microphone("steady") as source:
        next_block(source)
        assert calibration.look(source) is None and "does not tell" in calibration.state.reason


def test_a_report_that_is_none_costs_the_calibration_and_no_sound(microphone, tmp_path):
    _kept(tmp_path)
    calibration = SourceCalibration(MIC, tmp_path)
    with microphone("bad_hardware") as source:
        assert next_block(source).first_sample == 0
        assert source.counters["restarts"] == 0 and calibration.look(source) is None


def test_check_says_how_to_mend_a_calibration_that_cannot_be_used(monkeypatch, tmp_path):
    monkeypatch.setattr("edge.check.list_devices", lambda: [DeviceInfo(0, "Mic (hw:1,0)", 1, 48000, "ALSA", True)])
    _kept(tmp_path).write_text("{")
    config = tmp_path / "node.toml"
    config.write_text('[node]\nname = "here"\n[mqtt]\nport = 1\n[[source]]\nname = "mic"\ntype = "microphone"\n')
    (result,) = [one for one in run_checks(config, None, tmp_path) if one.name == "calibration mic"]
    assert not result.ok and "damaged" in result.detail
    _, _, command = result.mend.partition("soundclr-edge ")
    arguments = build_parser().parse_args(command.split())
    assert arguments.source == "mic" and arguments.level_db == [94.0] and "stop the daemon" in result.mend


def test_a_damaged_record_is_told_and_hearing_goes_on(tmp_path, caplog):
    path = _kept(tmp_path)
    path.write_text("{")
    calibration = SourceCalibration(MIC, tmp_path)
    assert calibration.settings_file == "" and "damaged" in calibration.state.reason
    assert any("damaged" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("hardware", "calibrated 2026-10-01 with a calibrator"),
        ("turned", "uncalibrated: control 'Mic Capture Volume' is 3 and was 8 when it was calibrated"),
        ("steady", "uncalibrated: the card does not tell how its controls stand"),
    ],
)
def test_health_tells_whether_a_source_is_calibrated_and_why_not(tmp_path, monkeypatch, mode, said):
    bundle = load_bundle(write_tiny_bundle(tmp_path / "tiny"))
    config = Config(NodeConfig("corner"), (MIC,))
    factory = MessageFactory("soundclr", "corner", bundle.id, "b00f", bundle.labels, ["mic"])
    _kept(tmp_path)
    with make_microphone(tmp_path) as make:
        monkeypatch.setattr("edge.listener.source_from_config", lambda config, **options: make(mode, **options))
        stop = threading.Event()
        listener = Listener(config, MIC, bundle, factory, "b00f", lambda message: None, stop, None, tmp_path)
        assert listener.health()["calibration_mic"] == "uncalibrated: not heard yet"
        listener.start()
        deadline_s = time.monotonic() + 60.0
        while listener.health()["calibration_mic"] != said and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert listener.health()["calibration_mic"] == said
        stop.set()
        assert listener.join(30.0) and listener.failure is None


def test_a_calibrated_recording_has_levels_re_20_upa(tmp_path):
    path = tmp_path / "tone.wav"
    pcm = np.round(tone(-26.0, 4.0) * 32768).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm.tobytes())
    tape = SourceConfig(
        "tape",
        "file",
        path=str(path),
        realtime=False,
        calibration_offset_db=120.0,
        calibrated_on="2026-10-01",
        calibration_method="data_sheet",
    )
    bundle = load_bundle(write_tiny_bundle(tmp_path / "tiny"))
    factory = MessageFactory("soundclr", "corner", bundle.id, "b00f", bundle.labels, ["tape"])
    config = Config(NodeConfig("corner"), (tape,))
    messages = []
    listener = Listener(config, tape, bundle, factory, "b00f", messages.append, threading.Event())
    listener.start()
    assert listener.join(60.0) and listener.failure is None
    levels = [json.loads(one.payload.decode()) for one in messages if one.topic.endswith("/level")]
    heard = [level for level in levels if level["laeq_db"] is not None]
    assert heard and heard[-1]["laeq_db"] == pytest.approx(94.0, abs=0.05)
    assert (heard[-1]["calibrated_on"], heard[-1]["calibration_method"]) == ("2026-10-01", "data_sheet")
    assert listener.health()["calibration_tape"] == "calibrated 2026-10-01 from a data sheet, not measured"
