"""The datagrams that systemd gets."""

import os
import uuid

import pytest

from edge.systemd_notify import Notifier
from tests.edge.socket_broker import wait_until
from tests.edge.systemd_stand_in import SystemdStandIn


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    address = tmp_path / "notify" if request.param == "path" else "@soundclr-test-" + uuid.uuid4().hex
    with SystemdStandIn(address) as stand_in:
        yield stand_in


def test_each_word_is_one_datagram(systemd, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    notifier = Notifier()
    assert all([notifier.ready(), notifier.alive(), notifier.stopping(), notifier.extend_start_timeout(90.0)])
    assert wait_until(lambda: len(systemd.texts()) == 4)
    assert systemd.texts() == ["READY=1", "WATCHDOG=1", "STOPPING=1", "EXTEND_TIMEOUT_USEC=90000000"]


def test_a_status_is_one_line_and_said_only_when_it_changes(systemd):
    notifier = Notifier(systemd.address)
    for text in ("hears 1 of 1 sources", "hears 1 of 1 sources", "two\nlines " + "x" * 1000):
        assert notifier.status(text)
    first, second = systemd.statuses()
    assert first == "hears 1 of 1 sources" and second.startswith("two lines x") and len(second) <= 300


def test_a_socket_that_nobody_empties_costs_a_moment_and_no_more(tmp_path):
    with SystemdStandIn(tmp_path / "notify", reads=False) as systemd:
        notifier = Notifier(systemd.address)
        assert any(not notifier.alive() for _ in range(600))  # a queue of any length is full by now
        systemd.texts()
        assert notifier.alive()


def test_nobody_listens(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert Notifier().ready() is False
    assert Notifier(str(tmp_path / "none")).ready() is False


@pytest.mark.parametrize(
    "microseconds, process, expected_s",
    [("30000000", None, 30.0), ("30000000", "own", 30.0), ("30000000", "1", 0.0), ("soon", None, 0.0), (None, None, 0)],
)
def test_the_watchdog_is_that_of_this_process(monkeypatch, microseconds, process, expected_s):
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", process)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert Notifier().watchdog_s == expected_s
