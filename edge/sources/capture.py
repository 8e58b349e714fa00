"""The capture child: PortAudio in a process of its own, which its parent can kill.

On a lost device PortAudio can spin, flood stderr and hang on close while it calls the stream active. So nothing here
is ever closed: the process ends by os._exit(), or is killed. It imports no NumPy: its memory is budgeted.
"""

import argparse
import fcntl
import json
import os
import queue
import select
import stat
import sys
import time
from typing import Any, List, NoReturn, Optional, Tuple

from edge.sources import framing
from edge.sources.devices import INSTALL_HINT, DeviceAmbiguousError, DeviceInfo, DeviceMissingError, choose_device

_BLOCK_S = 0.1
_QUEUE_S = 4.0  # of sound held for a parent that is late; after that it is dropped and counted
_INPUT_OVERFLOW = 2  # paInputOverflow
_LOOK_S = 1.0  # how often a stream without sound is asked whether it still runs
_FORMATS = (("s16le", "paInt16"), ("s32le", "paInt32"))  # the second for devices that refuse the first


class CaptureQueue:
    """Between PortAudio's thread, which must never wait, and the pipe, which may."""

    def __init__(self, sample_rate_hz: int, frame_bytes: int) -> None:
        self._rate_hz = sample_rate_hz
        self._frame_bytes = frame_bytes
        self._queue: "queue.Queue[framing.Record]" = queue.Queue(int(_QUEUE_S / _BLOCK_S))
        self._first_frame = 0
        self._dropped_frames = 0
        self._overflow = False

    def put(self, data: bytes, status: int) -> None:
        """Take one buffer from the device."""
        now_ns = int(time.monotonic() * 1e9)
        frames = len(data) // self._frame_bytes
        self._overflow = self._overflow or bool(status & _INPUT_OVERFLOW)
        record = framing.Record(
            framing.AUDIO,
            data,
            self._first_frame,
            now_ns - frames * 1000000000 // self._rate_hz,
            frames,
            self._dropped_frames,
            self._overflow,
        )
        self._first_frame += frames
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._dropped_frames += frames
        else:
            self._dropped_frames = 0
            self._overflow = False

    def get(self, timeout_s: float) -> Optional[framing.Record]:
        """The oldest buffer; None where there was none in time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


def build_parser() -> argparse.ArgumentParser:
    """Arguments of the capture child; MicrophoneSource writes them."""
    parser = argparse.ArgumentParser(description="capture from PortAudio to framed records on stdout")
    parser.add_argument("--list", action="store_true", help="print the devices as JSON and end")
    parser.add_argument("--device", default="", help="part of the device's name (default: the default device)")
    parser.add_argument("--rate", type=int, default=0, help="sample rate in Hz (default: the device's own)")
    parser.add_argument("--prefer-rate", type=int, default=0, help="rate to try before the device's own")
    parser.add_argument("--channels", type=int, default=1, help="0: all that the device has (default: %(default)s)")
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
        return _fail(out, framing.REASON_NO_PORTAUDIO, str(error))
    except DeviceMissingError as error:
        return _fail(out, framing.REASON_MISSING, str(error))
    except DeviceAmbiguousError as error:
        return _fail(out, framing.REASON_AMBIGUOUS, str(error))
    except _RefusedError as error:
        return _fail(out, framing.REASON_REFUSED, str(error))
    _write(out, framing.bytes_from_record(hello))
    while True:
        record = captured.get(_LOOK_S)
        if record is not None:
            _write(out, framing.bytes_from_record(record))
        elif not stream.is_active():  # True proves nothing, False does
            return _fail(out, framing.REASON_ENDED, "the microphone %r stopped by itself" % device.name)


class _NoPortAudioError(Exception):
    pass


class _RefusedError(Exception):
    pass


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
    """Open the first of the ways to listen that the device accepts."""
    import pyaudio

    rates = [arguments.rate] if arguments.rate else [arguments.prefer_rate, device.sample_rate_hz]
    refusal = ""
    for rate_hz in [rate for rate in rates if rate]:
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
                        frames_per_buffer=int(rate_hz * _BLOCK_S),
                        stream_callback=_callback_into(captured, pyaudio.paContinue),
                    )
                except (OSError, ValueError) as error:
                    refusal = refusal or "%d Hz, %d channel(s): %s" % (rate_hz, channels, error)
                    continue
                return (
                    stream,
                    framing.json_record(
                        framing.HELLO,
                        device=device.name,
                        sample_rate_hz=rate_hz,
                        channels=channels,
                        sample_format=sample_format,
                    ),
                    captured,
                )
    raise _RefusedError(
        "the microphone %r refuses %s; it has %d Hz, %d channel(s); does another program use it?"
        % (device.name, refusal, device.sample_rate_hz, device.channels)
    )


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
