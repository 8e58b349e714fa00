"""`soundclr-edge check`: what works here, what does not, and how to mend it; `devices`: the microphones there are."""

import json
import platform
from pathlib import Path
from typing import Callable, List, Optional, TextIO

import numpy as np

from edge import __version__
from edge.broker_check import CheckResult, check_announcement, check_broker, check_name
from edge.calibration import SourceCalibration, has_records
from edge.clips.opening import prove_clips
from edge.config import Config, SourceConfig
from edge.config_file import load_config
from edge.errors import ConfigError, EdgeError, SourceError, complaint, one_line
from edge.levels.cost import share_of_core
from edge.scorer_choice import choose_scorer
from edge.sources import source_from_config
from edge.sources.devices import DeviceMissingError, choose_device, list_devices
from edge.sources.holders import find_obstacle
from engines.bundle import load_bundle
from engines.errors import EngineError

_SOUND_S = 10.0  # until an open microphone gives its first sound


def run_checks(
    config_path: Optional[Path], installation_id: Optional[str] = None, state_directory: Optional[Path] = None
) -> List[CheckResult]:
    """Try everything a node needs, in the order of a start.  A part that fails does not hide the later ones.

    Args:
        installation_id: tells this node from another under the same name; None where it is not known here.
        state_directory: where engines are kept; None: nobody looks for any.
    """
    results = [_software()]
    if config_path is None:
        results.append(
            CheckResult(
                "configuration",
                False,
                "none given and none in /etc/soundclr-edge",
                "copy systemd/soundclr-edge.example.toml there, or give --config",
            )
        )
        return results
    try:
        config = load_config(config_path)
    except ConfigError as error:
        return results + [CheckResult("configuration", False, str(error), "correct that in the file")]
    results.append(CheckResult("configuration", True, str(config_path), ""))
    results += _try("model", lambda: _check_model(config, state_directory))
    if config.clips.enabled:
        results += _try("clips", lambda: _check_clips(config))
    results += _try("sound levels", lambda: _check_levels(config))
    for source in config.source:
        results += _try("source " + source.name, lambda source=source: _check_source(source, state_directory))  # type: ignore
    results.append(check_broker(config.mqtt, config.node.name))
    if results[-1].ok:
        results.append(check_name(config.mqtt, config.node.name, installation_id))
        if config.home_assistant.discovery:
            results.append(check_announcement(config))
    return results


def write_checks(results: List[CheckResult], output: TextIO, *, as_json: bool) -> None:
    """A table a person can act on, or one JSON object."""
    if as_json:
        output.write(json.dumps({"ok": all(r.ok for r in results), "checks": [r._asdict() for r in results]}) + "\n")
        return
    width = max(len(result.name) for result in results)
    for result in results:
        output.write("%-4s  %-*s  %s\n" % ("ok" if result.ok else "FAIL", width, result.name, one_line(result.detail)))
        if not result.ok and result.mend:
            output.write("%s  to mend: %s\n" % (" " * (width + 6), one_line(result.mend)))
    failed = sum(not result.ok for result in results)
    output.write(
        "all %d checks passed\n" % len(results) if not failed else "%d of %d checks failed\n" % (failed, len(results))
    )


def write_devices(output: TextIO, complaints: TextIO, *, as_json: bool) -> bool:
    """List what can record.  Returns whether there is any."""
    try:
        devices = list_devices()
    except SourceError as error:
        complaints.write(complaint(error))
        return False
    for device in devices:
        if as_json:
            output.write(json.dumps(device._asdict()) + "\n")
        else:
            output.write(
                "%s %-40s  %d channel%s  %6d Hz  %s\n"
                % (
                    "*" if device.is_default else " ",
                    device.name,
                    device.channels,
                    "s" * (device.channels > 1),
                    device.sample_rate_hz,
                    device.host_api,
                )
            )
    if not devices:
        complaints.write("soundclr-edge: no device that can record; plug a microphone in, and see arecord -l\n")
    elif not as_json:
        output.write('* is the default; any part of a name that only one device has will do as device = "..."\n')
    return bool(devices)


def _software() -> CheckResult:
    return CheckResult(
        "software",
        True,
        "soundclr-edge %s, Python %s, NumPy %s, %s"
        % (__version__, platform.python_version(), np.__version__, platform.machine()),
        "",
    )


def _try(name: str, check: Callable[[], List[CheckResult]]) -> List[CheckResult]:
    try:
        return check()
    except (EdgeError, EngineError) as error:
        return [CheckResult(name, False, str(error), "")]


def _check_model(config: Config, state_directory: Optional[Path]) -> List[CheckResult]:
    bundle = load_bundle(Path(config.model.bundle))
    results = [
        CheckResult("bundle", True, "%s, %d labels: %s" % (bundle.id, len(bundle.labels), ", ".join(bundle.labels)), "")
    ]
    chosen = choose_scorer(bundle, config.model, state_directory)
    with chosen.scorer as scorer:
        result = scorer.run_selftest()
        why = "; not TensorRT: %s" % chosen.why_not_tensorrt if chosen.why_not_tensorrt else ""
        results.append(
            CheckResult("runtime", True, "%s (runtime = %r)%s" % (scorer.describe(), config.model.runtime, why), "")
        )
        results.append(
            CheckResult(
                "self-test",
                True,
                "log-mel within %.1g dB, logits within %.1g of the trainer's"
                % (result.logmel_error_db, result.logit_error),
                "",
            )
        )
    return results


def _check_clips(config: Config) -> List[CheckResult]:
    key, _ = prove_clips(config.clips, load_bundle(Path(config.model.bundle)).labels)
    about = "of %s, encrypted to key %s; the speech detector works" % (
        ", ".join(config.clips.labels),
        key.fingerprint.hex(),
    )
    return [CheckResult("clips", True, about, "")]


def _check_calibration(source: SourceConfig, state_directory: Optional[Path]) -> CheckResult:
    """Whether the microphone's levels are true.  That it was never calibrated is no failure; one that is void is."""
    name, calibration = "calibration " + source.name, SourceCalibration(source, state_directory)
    if not calibration.settings_file:
        is_void = state_directory is not None and has_records(state_directory, source.name)
        mend = "stop the daemon, put the calibrator on: soundclr-edge calibrate --source %s --level-db 94" % source.name
        return CheckResult(name, not is_void, calibration.state.describe(), mend)
    microphone = source_from_config(source, settings_file=calibration.settings_file)  # as the daemon opens it
    with microphone:
        if microphone.read(_SOUND_S) is None:
            return CheckResult(name, True, "there is one; the microphone cannot be opened now to see if it holds", "")
        calibration.look(microphone)
    state = calibration.state
    return CheckResult(
        name,
        state.calibration is not None,
        state.describe(),
        "undo what has changed, or calibrate anew",
    )


def _told_calibration(source: SourceConfig) -> CheckResult:
    return CheckResult("calibration " + source.name, True, SourceCalibration(source, None).state.describe(), "")


def _check_levels(config: Config) -> List[CheckResult]:
    if not config.levels.enabled:
        return [CheckResult("sound levels", True, "not wanted (enabled = false under [levels])", "")]
    percent = 100.0 * share_of_core(config.levels.third_octaves)
    what = "A, C and Z, Fast and Slow%s" % (", third octaves" if config.levels.third_octaves else "")
    return [CheckResult("sound levels", True, "%s: %.1f %% of a core for each 48000 Hz" % (what, percent), "")]


def _find_microphone(name: str) -> str:
    """What a configured microphone is, in words; one that the running node holds is missing from PortAudio's list."""
    try:
        device = choose_device(list_devices(), name)
        return "microphone %r, %d channel(s)" % (device.name, device.channels)
    except DeviceMissingError:
        obstacle = find_obstacle(name)
        if obstacle is None:
            raise
        if not obstacle.is_ours:
            raise SourceError(obstacle.describe()) from None
        return "microphone %r, open in the running node: %s" % (obstacle.device, obstacle.holder)


def _check_source(source: SourceConfig, state_directory: Optional[Path]) -> List[CheckResult]:
    name = "source " + source.name
    if source.type == "stdin":
        return [
            CheckResult(
                name,
                True,
                "standard input, %s, %d Hz, %d channel(s): not read now"
                % (source.sample_format, source.sample_rate_hz, source.channels),
                "",
            ),
            _told_calibration(source),
        ]
    if source.type == "microphone":
        calibration = _check_calibration(source, state_directory)
        return [calibration, CheckResult(name, True, _find_microphone(source.device), "")]
    with source_from_config(source._replace(realtime=False)) as opened:
        block = opened.read(10.0)
        if block is None:
            raise SourceError("%s gave no sound within 10 s" % source.path)
        return [CheckResult(name, True, opened.describe(), ""), _told_calibration(source)]
