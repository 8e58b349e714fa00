"""The capture child: PortAudio in a process of its own, which its parent can kill.

On a lost device PortAudio can spin, flood stderr and hang on close while it calls the stream active. So nothing here
is ever closed: the process ends by os._exit(), or is killed. It imports no NumPy: its memory is budgeted.
"""

import argparse
import fcntl
import json
import os
import select
import stat
import sys
from typing import Any, List, NoReturn, Optional, Tuple

from edge.sources import faults, framing
from edge.sources.capture_queue import CaptureQueue
from edge.sources.devices import (
    INSTALL_HINT,
    DeviceAmbiguousError,
    DeviceInfo,
    DeviceMissingError,
    choose_device,
    rates_to_try,
)
from edge.sources.framing import BLOCK_S
from edge.sources.hardware import bytes_from_hardware
from edge.sources.holders import find_obstacle
from edge.sources.settings import SettingsKeeper, read_settings

_DEVICE_UNAVAILABLE = -9985  # paDeviceUnavailable
_SETTINGS_WAIT_S = 3.0  # for a card's controls; a card that does not answer is heard all the same
_LOOK_S = 1.0  # how often a stream without sound is asked whether it still runs
_FORMATS = (("s16le", "paInt16"), ("s32le", "paInt32"))  # the second for devices that refuse the first


def build_parser() -> argparse.ArgumentParser:
    """Arguments of the capture child; MicrophoneSource writes them."""
    parser = argparse.ArgumentParser(description="capture from PortAudio to framed records on stdout")
    parser.add_argument("--list", action="store_true", help="print the devices as JSON and end")
    parser.add_argument("--device", default="", help="part of the device's name (default: the default device)")
    parser.add_argument("--rate", type=int, default=0, help="rate in Hz to try first (default: the device's own)")
    parser.add_argument("--prefer-rate", type=int, default=0, help="like --rate, and no matter if it is refused")
    parser.add_argument("--channels", type=int, default=1, help="0: all that the device has (default: %(default)s)")
    parser.add_argument("--settings", default="", help="JSON file whose hardware's controls are restored and kept")
    parser.add_argument("--sys", default="/sys", help="where to look what a card is (default: %(default)s)")
    parser.add_argument("--proc", default="/proc", help="where to look who has a device (default: %(default)s)")
    return parser


def main(argv: Optional[List[str]] = None) -> NoReturn:
    """Capture until the parent goes away. Never returns: PortAudio's own end may hang."""
    arguments = build_parser().parse_args(argv)
    out = os.dup(1)  # libraries below PortAudio print to stdout too, and would break the records
    os.dup2(2, 1)
    status = 0
    try:
        if arguments.list:
            _write(out, json.dumps(_listing()).encode("utf-8"))
        else:
            _die_with_parent()
            status = _capture(arguments, out)
    except BrokenPipeError:
        status = 0  # the parent has gone
    except Exception as error:  # noqa: BLE001 - the process's boundary: the parent learns of it and starts anew
        sys.stderr.write("capture: %s: %s\n" % (type(error).__name__, error))
        status = 70
    sys.stderr.flush()
    os._exit(status)


def _listing() -> Any:
    try:
        return {"devices": [device._asdict() for device in _devices_of(_open_portaudio())]}
    except _NoPortAudioError as error:
        return {"message": str(error)}


def _capture(arguments: argparse.Namespace, out: int) -> int:
    try:
        audio = _open_portaudio()
        device = choose_device(_devices_of(audio), arguments.device)
        stream, hello, captured = _open_stream(audio, device, arguments)
    except _NoPortAudioError as error:
        return _fail(out, faults.NO_PORTAUDIO, str(error))
    except DeviceAmbiguousError as error:
        return _fail(out, faults.AMBIGUOUS, str(error))
    except (DeviceMissingError, _RefusedError) as error:
        return _fail(out, *_reason_for(error, arguments))
    settings = read_settings(arguments.settings) if arguments.settings else None
    keeper = SettingsKeeper(device.name, settings, proc=arguments.proc, sys=arguments.sys)
    hardware = keeper.take_report(_SETTINGS_WAIT_S)
    if hardware is not None and hardware.restored:
        captured.begin_anew()  # what came before was heard with other settings
    _write(out, framing.bytes_from_record(hello))  # not before: from here on the parent counts silence as a stall
    while True:
        if hardware is not None:
            _write(out, framing.bytes_from_record(framing.Record(framing.HARDWARE, bytes_from_hardware(hardware))))
        record = captured.get(_LOOK_S)
        if record is not None:
            _write(out, framing.bytes_from_record(record))
        elif not stream.is_active():  # True proves nothing, False does
            return _fail(out, faults.DIED, "the microphone %r stopped by itself" % device.name)
        hardware = keeper.take_report()


class _NoPortAudioError(Exception):
    pass


class _RefusedError(Exception):
    is_busy = False
    device = ""


def _reason_for(error: Exception, arguments: argparse.Namespace) -> Tuple[str, str]:
    """The fault's code and its line: PortAudio calls a device missing that it cannot open, the kernel may know why."""
    wanted = error.device if isinstance(error, _RefusedError) else arguments.device
    obstacle = find_obstacle(wanted, proc=arguments.proc)
    if obstacle is not None:
        return (faults.BUSY if obstacle.holder else faults.DENIED), obstacle.describe()
    if isinstance(error, DeviceMissingError):
        return faults.MISSING, str(error)
    return (faults.BUSY if isinstance(error, _RefusedError) and error.is_busy else faults.REFUSED), str(error)


def _open_portaudio() -> Any:
    try:
        import pyaudio
    except ImportError as error:
        raise _NoPortAudioError("PyAudio is not there (%s); %s" % (error, INSTALL_HINT)) from None
    try:
        return pyaudio.PyAudio()
    except OSError as error:
        raise _NoPortAudioError("PortAudio does not start (%s); see what arecord -l says" % error) from None


def _devices_of(audio: Any) -> List[DeviceInfo]:
    try:
        default = audio.get_default_input_device_info()["index"]
    except OSError:
        default = -1
    devices = []
    for index in range(audio.get_device_count()):
        info = audio.get_device_info_by_index(index)
        if info["maxInputChannels"] > 0:
            api = audio.get_host_api_info_by_index(info["hostApi"])["name"]
            devices.append(
                DeviceInfo(
                    index,
                    _text(info["name"]),
                    int(info["maxInputChannels"]),
                    int(info["defaultSampleRate"]),
                    api,
                    index == default,
                )
            )
    return devices


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _open_stream(
    audio: Any, device: DeviceInfo, arguments: argparse.Namespace
) -> Tuple[Any, framing.Record, CaptureQueue]:
    """Open the first of the ways to listen that the device accepts.

    A rate that it does not offer is no reason to stay deaf: the next rate is taken, and the node resamples it anyway.
    """
    import pyaudio

    refusal = ""
    for rate_hz in rates_to_try(device, arguments.rate, arguments.prefer_rate):
        for channels in sorted({arguments.channels or device.channels, device.channels}):
            for sample_format, constant in _FORMATS:
                pa_format = getattr(pyaudio, constant)
                captured = CaptureQueue(rate_hz, channels * pyaudio.get_sample_size(pa_format))
                try:
                    stream = audio.open(
                        rate=rate_hz,
                        channels=channels,
                        format=pa_format,
                        input=True,
                        input_device_index=device.index,
                        frames_per_buffer=int(rate_hz * BLOCK_S),
                        stream_callback=_callback_into(captured, pyaudio.paContinue),
                    )
                except (OSError, ValueError) as error:
                    refusal = refusal or "%d Hz, %d channel(s): %s" % (rate_hz, channels, error)
                    if _is_unavailable(error):
                        raise _refused(device, refusal, is_busy=True) from None
                    continue
                hello = framing.json_record(
                    framing.HELLO,
                    device=device.name,
                    sample_rate_hz=rate_hz,
                    channels=channels,
                    sample_format=sample_format,
                    refused_rate_hz=arguments.rate if arguments.rate != rate_hz else 0,
                )
                return stream, hello, captured
    raise _refused(device, refusal, is_busy=False)


def _is_unavailable(error: Exception) -> bool:
    return _DEVICE_UNAVAILABLE in error.args  # a busy device refuses every rate alike


def _refused(device: DeviceInfo, refusal: str, *, is_busy: bool) -> _RefusedError:
    error = _RefusedError(
        "the microphone %r refuses %s; it has %d Hz, %d channel(s); does another program use it?"
        % (device.name, refusal, device.sample_rate_hz, device.channels)
    )
    error.is_busy, error.device = is_busy, device.name
    return error


def _callback_into(captured: CaptureQueue, go_on: int) -> Any:
    def callback(data: bytes, _frames: int, _times: Any, status: int) -> Tuple[None, int]:
        captured.put(data, status)
        return None, go_on

    return callback


def _fail(out: int, reason: str, message: str) -> int:
    _write(out, framing.bytes_from_record(framing.json_record(framing.FAILURE, reason=reason, message=message)))
    return 1


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while len(view):
        view = view[os.write(out, view) :]


def _die_with_parent() -> None:
    """Let the kernel end this process when the parent's end of our stdin closes.

    SIGIO's default is death, and needs neither a thread nor Python's lock, which PortAudio may be holding.
    """
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return  # started by hand
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | fcntl.FASYNC)
    poll = select.poll()
    poll.register(0, 0)
    if poll.poll(0):  # it had closed before
        os._exit(0)


if __name__ == "__main__":
    main()
