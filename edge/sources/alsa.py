"""A sound card's controls, and what ALSA's configuration makes of a name: libasound, called through ctypes.

libasound is there wherever PortAudio is, so nothing is to be installed, compiled or parsed: `amixer` would be one more
package and a process for each look, whose text is meant for people; the bindings on PyPI want a compiler on the board.
The capture child alone calls it, beside PortAudio: what may crash or hang in here costs no more than that child.

Source: alsa-lib, include/control.h and conf.h; all of it since 1.1.2 (2016) at the latest; Ubuntu 18.04 has 1.1.3.
"""

import ctypes
import os
from ctypes import byref, c_char_p, c_int, c_long, c_longlong, c_uint, c_void_p
from typing import Any, Callable, Dict, List, Optional, Tuple

from edge.sources.hardware import AlsaError, Control, printable

_LIBRARY = "libasound.so.2"
_NONBLOCK = 1  # SND_CTL_NONBLOCK
_MIXER = 2  # SND_CTL_ELEM_IFACE_MIXER
_KINDS = {1: "boolean", 2: "integer", 3: "enumerated", 4: "bytes", 6: "integer64"}  # snd_ctl_elem_type_t
_ACCESSORS = {"boolean": "boolean", "integer": "integer", "integer64": "integer64", "enumerated": "enumerated"}
_VALUE_TYPES = {"boolean": c_long, "integer": c_long, "integer64": c_longlong, "enumerated": c_uint, "bytes": c_uint}
_MAX_BYTES = 512  # of a control of bytes; snd_ctl_elem_value holds no more
_MAX_ALIASES = 4


class CardControls:
    """The controls of one card. Opened, used and closed by one thread.

    Args:
        name: ALSA's, "hw:1".

    Raises:
        AlsaError: there is no libasound, or it does not open the card's controls.
    """

    def __init__(self, name: str) -> None:
        self._asound = _Asound()
        self._handle = c_void_p()
        self._asound.call("snd_ctl_open", byref(self._handle), name.encode("utf-8"), c_int(_NONBLOCK))
        self._places: Dict[Tuple[str, int, int, int], int] = {}  # numid of each

    def read(self) -> List[Control]:
        """All that are not for playback alone and keep their values, as they are now.  Raises AlsaError."""
        call = self._asound.call
        with self._asound.made("snd_ctl_elem_list") as elements:
            call("snd_ctl_elem_list", self._handle, elements)
            count = call("snd_ctl_elem_list_get_count", elements)
            call("snd_ctl_elem_list_alloc_space", elements, c_uint(count))
            try:
                call("snd_ctl_elem_list", self._handle, elements)
                used = call("snd_ctl_elem_list_get_used", elements)
                numids = [call("snd_ctl_elem_list_get_numid", elements, c_uint(place)) for place in range(used)]
            finally:
                self._asound.do("snd_ctl_elem_list_free_space", elements)
        found = [self._control_of(numid) for numid in numids]
        return [control for control in found if control is not None]

    def write(self, control: Control, values: Tuple[int, ...]) -> None:
        """Give one that `read` found other values.  Raises AlsaError."""
        call = self._asound.call
        with self._asound.made("snd_ctl_elem_id") as one, self._asound.made("snd_ctl_elem_value") as value:
            self._asound.do("snd_ctl_elem_id_set_numid", one, c_uint(self._places[control.key]))
            self._asound.do("snd_ctl_elem_value_set_id", value, one)
            if control.kind == "bytes":
                block = bytes(bytearray(values))
                self._asound.do("snd_ctl_elem_set_bytes", value, block, ctypes.c_size_t(len(block)))
            else:
                setter, kind = "snd_ctl_elem_value_set_" + _ACCESSORS[control.kind], _VALUE_TYPES[control.kind]
                for channel, number in enumerate(values):
                    self._asound.do(setter, value, c_uint(channel), kind(number))
            call("snd_ctl_elem_write", self._handle, value)

    def wait_for_change(self, timeout_s: float) -> bool:
        """Whether any of the card's controls changed in this time.  Raises AlsaError: the card has gone."""
        call = self._asound.call
        call("snd_ctl_subscribe_events", self._handle, c_int(1))
        if not call("snd_ctl_wait", self._handle, c_int(int(timeout_s * 1000))):
            return False
        with self._asound.made("snd_ctl_event") as event:
            while self._asound.number("snd_ctl_read", self._handle, event) > 0:
                pass
        return True

    def close(self) -> None:
        """Give the card back. Safe to call twice."""
        if self._handle:
            self._asound.number("snd_ctl_close", self._handle)
            self._handle = c_void_p()

    def _control_of(self, numid: int) -> Optional[Control]:
        call, do = self._asound.call, self._asound.do
        made = self._asound.made
        with made("snd_ctl_elem_id") as one, made("snd_ctl_elem_info") as info, made("snd_ctl_elem_value") as value:
            do("snd_ctl_elem_id_set_numid", one, c_uint(numid))
            do("snd_ctl_elem_info_set_id", info, one)
            call("snd_ctl_elem_info", self._handle, info)
            kind = _KINDS.get(call("snd_ctl_elem_info_get_type", info), "")
            name = self._asound.text("snd_ctl_elem_info_get_name", info)
            is_kept = call("snd_ctl_elem_info_is_readable", info) and not (
                call("snd_ctl_elem_info_is_volatile", info) or call("snd_ctl_elem_info_is_inactive", info)
            )
            is_mixer = call("snd_ctl_elem_info_get_interface", info) == _MIXER
            if not kind or not is_kept or not is_mixer or " Playback " in " %s " % name:
                return None
            do("snd_ctl_elem_value_set_id", value, one)
            call("snd_ctl_elem_read", self._handle, value)
            is_integer = kind == "integer"
            control = Control(
                name,
                call("snd_ctl_elem_info_get_index", info),
                call("snd_ctl_elem_info_get_device", info),
                call("snd_ctl_elem_info_get_subdevice", info),
                kind,
                self._asound.long("snd_ctl_elem_info_get_min", info) if is_integer else 0,
                self._asound.long("snd_ctl_elem_info_get_max", info) if is_integer else 0,
                self._items_of(info) if kind == "enumerated" else (),
                self._values_of(value, kind, call("snd_ctl_elem_info_get_count", info)),
                bool(call("snd_ctl_elem_info_is_writable", info)),
            )
        self._places[control.key] = numid
        return control

    def _items_of(self, info: c_void_p) -> Tuple[str, ...]:
        items = []
        for place in range(self._asound.call("snd_ctl_elem_info_get_items", info)):
            self._asound.do("snd_ctl_elem_info_set_item", info, c_uint(place))
            self._asound.call("snd_ctl_elem_info", self._handle, info)
            items.append(self._asound.text("snd_ctl_elem_info_get_item_name", info))
        return tuple(items)

    def _values_of(self, value: c_void_p, kind: str, count: int) -> Tuple[int, ...]:
        if kind == "bytes":
            get = self._asound.function("snd_ctl_elem_value_get_bytes", c_void_p)
            return tuple(bytearray(ctypes.string_at(get(value), min(count, _MAX_BYTES))))
        restype = c_int if kind == "boolean" else _VALUE_TYPES[kind]
        get = self._asound.function("snd_ctl_elem_value_get_" + _ACCESSORS[kind], restype)
        return tuple(int(get(value, c_uint(channel))) for channel in range(count))


def pcm_type_of(name: str) -> str:
    """The type that ALSA's configuration gives a name: "hw", "plug", "pulse", ...; "" where it does not know it.

    Raises:
        AlsaError: there is no libasound, or the configuration cannot be read.
    """
    asound, top = _Asound(), c_void_p()
    asound.call("snd_config_update_ref", byref(top))
    try:
        for _ in range(_MAX_ALIASES):
            found = c_void_p()
            if asound.number("snd_config_search_definition", top, b"pcm", name.encode("utf-8"), byref(found)) < 0:
                return ""
            try:
                text, kind = c_char_p(), c_void_p()
                if asound.number("snd_config_get_string", found, byref(text)) >= 0:
                    name = (text.value or b"").decode("utf-8", "replace")  # only another name
                    continue
                if asound.number("snd_config_search", found, b"type", byref(kind)) < 0:
                    return ""
                asound.call("snd_config_get_string", kind, byref(text))
                return (text.value or b"").decode("utf-8", "replace")
            finally:
                asound.number("snd_config_delete", found)
        return ""
    finally:
        asound.do("snd_config_unref", top)


class _Asound:
    """The library's functions, with errors as exceptions."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise AlsaError("%s does not load (%s); apt-get install libasound2" % (_LIBRARY, error)) from None
        self.text_of_error = self.function("snd_strerror", c_char_p)

    def function(self, name: str, restype: Any) -> Callable[..., Any]:
        """A function that returns this; None for nothing."""
        found = self._library[name]
        found.restype = restype
        return found

    def number(self, name: str, *arguments: Any) -> int:
        """What the function returns, errors too."""
        return int(self.function(name, c_int)(*arguments))

    def call(self, name: str, *arguments: Any) -> int:
        """What the function returns; a number below 0 is an error."""
        number = self.number(name, *arguments)
        if number < 0:
            words = self.text_of_error(c_int(number)) or os.strerror(-number).encode("utf-8")
            raise AlsaError("%s: %s" % (name, words.decode("utf-8", "replace")))
        return number

    def long(self, name: str, *arguments: Any) -> int:
        """What a function of a long returns."""
        return int(self.function(name, c_long)(*arguments))

    def do(self, name: str, *arguments: Any) -> None:
        """Call what returns nothing."""
        self.function(name, None)(*arguments)

    def text(self, name: str, *arguments: Any) -> str:
        """A text of the library's own."""
        return printable((self.function(name, c_char_p)(*arguments) or b"").decode("utf-8", "replace"))

    def made(self, kind: str) -> "_Made":
        """One of the library's objects, for as long as a `with` lasts."""
        return _Made(self, kind)


class _Made:
    def __init__(self, asound: _Asound, kind: str) -> None:
        self._asound, self._kind, self._object = asound, kind, c_void_p()

    def __enter__(self) -> c_void_p:
        self._asound.call(self._kind + "_malloc", byref(self._object))
        return self._object

    def __exit__(self, *_exception: Any) -> None:
        self._asound.do(self._kind + "_free", self._object)
