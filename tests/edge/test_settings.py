"""A card's controls kept as calibrated: put right at the opening and after a change, without a war over them."""

import os
import time

import pytest

import edge.sources.alsa
from edge.sources import settings
from edge.sources.hardware import AlsaError
from edge.sources.settings import SettingsKeeper, restore
from tests.edge.calibrators import AGC, CARD, HARDWARE, SWITCH, VOLUME

NAME = "Card: Mic (hw:3,0)"
_GUARD_S = 30.0  # hang guard


class FakeCard:
    """A card's controls, of a class for each test: keepers of earlier tests end when they notice."""

    volume, writes, fault, is_closed, is_restless, reads, waits = 8, 0, None, False, False, 0, 0

    def __init__(self, _name):
        self._seen = type(self).volume

    def read(self):
        """As they stand."""
        if type(self).fault is not None:
            raise type(self).fault
        type(self).reads += 1
        self._seen = type(self).volume
        return [VOLUME._replace(values=(self._seen, self._seen)), SWITCH, AGC]

    def write(self, control, values):
        """Take a value."""
        assert control.name == VOLUME.name
        type(self).writes += 1
        type(self).volume = values[0]

    def wait_for_change(self, _timeout_s):
        """Whether the test has turned it."""
        time.sleep(0.005)
        type(self).waits += 1
        if type(self).fault is not None:
            raise type(self).fault
        return type(self).is_restless or type(self).volume != self._seen

    def close(self):
        """Remember it."""
        type(self).is_closed = True


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """Makes keepers of a fake card that this process holds."""
    stream = tmp_path / "asound" / "card3" / "pcm0c"
    (stream / "sub0").mkdir(parents=True)
    (tmp_path / "asound" / "cards").write_text(" 3 [mic            ]: USB-Audio - Card\n")
    (stream / "info").write_text("card: 3\ndevice: 0\nname: Mic\n")
    (stream / "sub0" / "status").write_text("state: RUNNING\nowner_pid   : %d\n" % os.getpid())
    (stream / "sub0" / "hw_params").write_text("format: S16_LE\nchannels: 1\nrate: 48000 (48000/1)\n")
    card = type("Card", (FakeCard,), {})
    monkeypatch.setattr(edge.sources.alsa, "CardControls", card)
    monkeypatch.setattr(edge.sources.alsa, "pcm_type_of", lambda name: "plug")
    here = CARD._replace(name="Card", vendor_id="", product_id="", serial="", port="")
    calibrated = HARDWARE._replace(card=here, controls=(VOLUME, SWITCH, AGC))

    def make(given=calibrated, device=NAME):
        return SettingsKeeper(device, given, proc=str(tmp_path), sys="/none")

    make.settings, make.card = calibrated, card
    yield make
    card.fault = AlsaError("the test is over")


def _report(keeper):
    report = keeper.take_report(_GUARD_S)
    assert report is not None
    return report


def _wait_until(condition):
    deadline_s = time.monotonic() + _GUARD_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_what_is_right_is_told_and_left_alone(keep):
    report = _report(keep())
    assert (report.card.name, report.pcm_type, report.sample_rate_hz, report.problem) == ("Card", "hw", 48000, "")
    assert report.controls == (VOLUME, SWITCH, AGC) and report.restored == () and keep.card.writes == 0


def test_what_is_wrong_at_the_opening_is_put_right_and_said(keep):
    keep.card.volume = 2
    report = _report(keep())
    assert report.controls[0].values == (8, 8) and report.restored == ("'Mic Capture Volume' from 2 to 8",)


def test_a_change_is_put_right_once_and_a_war_is_not_fought(keep):
    keeper = keep()
    _report(keeper)
    keep.card.volume = 3
    assert _report(keeper).restored == ("'Mic Capture Volume' from 3 to 8",) and keep.card.volume == 8
    keep.card.volume = 4  # the other program insists
    report = _report(keeper)
    while report.controls[0].values == (8, 8):  # of the first restoration
        report = _report(keeper)
    assert report.controls[0].values == (4, 4) and report.restored == () and keep.card.writes == 1
    keep.card.volume = 8  # and gives in
    assert _report(keeper).controls == (VOLUME, SWITCH, AGC)


def test_without_settings_nothing_is_written(keep):
    keep.card.volume = 2
    report = _report(keep(None))
    assert report.controls[0].values == (2, 2) and keep.card.writes == 0


def test_another_microphones_settings_are_not_written(keep):
    keep.card.volume = 2
    other = keep.settings._replace(card=CARD)
    report = _report(keep(other))
    assert report.controls[0].values == (2, 2) and keep.card.writes == 0


def test_a_device_that_no_card_stands_behind_is_told_with_its_type(keep):
    report = _report(keep(device="streetmic"))
    assert report.pcm_type == "plug" and report.card is not None
    keeper = SettingsKeeper("pulse", None, proc="/none", sys="/none")
    report = _report(keeper)
    assert report.card is None and report.pcm_type == "plug"


@pytest.mark.parametrize("fault", [AlsaError("no such device"), RuntimeError("a mistake of ours")])
def test_controls_that_cannot_be_read_are_a_problem_and_no_end_of_hearing(keep, fault):
    keep.card.fault = fault
    assert str(fault) in _report(keep()).problem
    _wait_until(lambda: keep.card.is_closed)


def test_a_card_that_goes_while_it_is_watched_is_told(keep):
    keeper = keep()
    assert _report(keeper).problem == ""
    keep.card.fault = AlsaError("gone")
    assert "gone" in _report(keeper).problem


def test_a_card_that_tells_of_changes_without_end_is_not_read_without_end(keep, monkeypatch):
    monkeypatch.setattr(settings, "_REST_S", _GUARD_S)
    keep.card.is_restless = True
    assert _report(keep()).problem == ""
    _wait_until(lambda: keep.card.waits == 1)
    assert keep.card.reads == 1


def test_values_that_a_control_has_no_room_for_are_not_written():
    written = []
    other_kind = SWITCH._replace(name=VOLUME.name)
    for shall_be in (VOLUME._replace(values=tuple(range(200))), other_kind):
        assert restore(lambda *given: written.append(given), [(VOLUME, shall_be)]) == []
    assert written == []
