"""Keeps a card's controls as they were when its microphone was calibrated. Standard library only.

Works in the capture child, in a thread of its own: controls that hang keep nobody from hearing. They are restored and
compared when the stream opens, whenever the card says that one has changed, and once a minute, as not every driver
says so. What is put right after a change is put right at most once a minute: a war with another program that sets
volumes, PulseAudio for one, shows as levels without calibration, instead of as levels that jump.
"""

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Sequence, Tuple

from edge.sources.hardware import AlsaError, Control, Hardware, HardwareError, hardware_from_mapping, is_same_card
from edge.sources.sound_card import HeldStream, find_held_stream, is_direct_name

if TYPE_CHECKING:
    from edge.sources.alsa import CardControls

_LOOK_S = 60.0
_WAIT_S = 1.0  # how soon the thread notices that it shall end
_REST_S = 0.25  # from one look to the next: cards with a meter among their controls tell of changes without end
_RESTORE_S = 60.0  # from one restoration to the next, after the first
_MAX_SETTINGS_BYTES = 1 << 21


class SettingsKeeper:
    """What one open stream's hardware is, and how its controls stand, from the opening on.

    Args:
        device: the name under which PortAudio opened it.
        settings: what shall be restored where the card is the same; None: the controls are only read.
    """

    def __init__(self, device: str, settings: Optional[Hardware], *, proc: str = "/proc", sys: str = "/sys") -> None:
        self._device, self._settings, self._proc, self._sys = device, settings, proc, sys
        self._reports: List[Hardware] = []  # the latest alone
        self._changed = threading.Condition()
        self._restored_s = self._looked_s = -float("inf")
        self._latest: Optional[Hardware] = None
        threading.Thread(target=self._run, name="settings", daemon=True).start()

    def take_report(self, timeout_s: float = 0.0) -> Optional[Hardware]:
        """What has changed since the last call; None where nothing has, or nothing came in time."""
        with self._changed:
            if not self._reports and timeout_s:
                self._changed.wait(timeout_s)
            return self._reports.pop() if self._reports else None

    def _run(self) -> None:
        found = Hardware(None, "", "", 0, 0, ())
        try:
            from edge.sources.alsa import CardControls  # with ctypes: where that does not load, hearing goes on

            found, held = _hardware_of(self._device, self._proc, self._sys)
            if held is None:
                self._report(found)
                return
            if self._settings is not None and not is_same_card(self._settings.card, found.card):
                self._settings = None  # another microphone's
            controls = CardControls("hw:%d" % held.card_number)
            try:
                while True:
                    self._look(controls, found)
                    self._wait(controls)
            finally:
                controls.close()
        except AlsaError as error:
            self._report(found._replace(problem="its controls cannot be read: %s" % error))
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whoever relies on it must learn of its end
            self._report(found._replace(problem="its controls cannot be read: %s: %s" % (type(error).__name__, error)))

    def _wait(self, controls: "CardControls") -> None:
        until_s = time.monotonic() + _LOOK_S
        while time.monotonic() < until_s:
            if controls.wait_for_change(_WAIT_S):
                time.sleep(max(0.0, self._looked_s + _REST_S - time.monotonic()))
                return
            is_due = time.monotonic() >= self._restored_s + _RESTORE_S
            if is_due and self._latest is not None and self._wrong(self._latest.controls):
                return

    def _look(self, controls: "CardControls", found: Hardware) -> None:
        now = controls.read()
        wrong = self._wrong(now)
        if wrong and (self._latest is None or time.monotonic() >= self._restored_s + _RESTORE_S):
            done = restore(controls.write, wrong)
            if self._latest is not None:
                self._restored_s = time.monotonic()
            now = controls.read()
            left = {one.key for one, _ in self._wrong(now)}
            restored = tuple(text for key, text in done if key not in left)
            self._report(found._replace(controls=tuple(now), restored=restored))
        else:
            self._report(found._replace(controls=tuple(now)))
        self._looked_s = time.monotonic()

    def _wrong(self, controls: Sequence[Control]) -> List[Tuple[Control, Control]]:
        return [] if self._settings is None else differing(controls, self._settings.controls)

    def _report(self, hardware: Hardware) -> None:
        if self._latest is not None and hardware == self._latest._replace(restored=()):
            return
        self._latest = hardware
        with self._changed:
            self._reports[:] = [hardware]
            self._changed.notify()


def differing(now: Sequence[Control], wanted: Sequence[Control]) -> List[Tuple[Control, Control]]:
    """(as it is, as it should be) of the controls whose values differ."""
    by_key = {control.key: control for control in wanted}
    pairs = [(control, by_key[control.key]) for control in now if control.key in by_key]
    return [(is_now, shall_be) for is_now, shall_be in pairs if is_now.values != shall_be.values]


Write = Callable[[Control, Tuple[int, ...]], None]


def restore(write: Write, wrong: Sequence[Tuple[Control, Control]]) -> List[Tuple[Tuple[str, int, int, int], str]]:
    """Write the values that should be.  Returns (key, what was done in words) of those that took it."""
    done = []
    for is_now, shall_be in wrong:
        if not is_now.is_writable or (is_now.kind, len(is_now.values)) != (shall_be.kind, len(shall_be.values)):
            continue  # libasound aborts the process over a value too many
        try:
            write(is_now, shall_be.values)
        except AlsaError:
            continue  # the next look shows it as it is, and the comparison names it
        done.append((is_now.key, "%s from %s to %s" % (is_now.label, is_now.shown(), shall_be.shown())))
    return done


def read_settings(path: str) -> Optional[Hardware]:
    """The `hardware` of a JSON file, to be restored; None where the file gives none."""
    try:
        with open(path, "rb") as file:
            values = json.loads(file.read(_MAX_SETTINGS_BYTES).decode("utf-8"))
        return hardware_from_mapping(values["hardware"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, HardwareError):
        return None  # the parent has looked at the same file, and says what is wrong with it


class _Found(NamedTuple):
    hardware: Hardware
    held: Optional[HeldStream]


def _hardware_of(device: str, proc: str, sys: str) -> _Found:
    from edge.sources.alsa import pcm_type_of

    pcm_type = "hw" if is_direct_name(device) else pcm_type_of(device)
    held = find_held_stream(os.getpid(), proc=proc, sys=sys)
    if held is None:
        return _Found(Hardware(None, pcm_type, "", 0, 0, ()), None)
    return _Found(Hardware(held.card, pcm_type, held.sample_format, held.sample_rate_hz, held.channels, ()), held)
