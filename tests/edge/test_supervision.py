"""When the watchdog is fed, and when not."""

import pytest

from edge.supervision import Supervision
from edge.systemd_notify import Notifier
from tests.edge.systemd_stand_in import SystemdStandIn


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def systemd(tmp_path):
    with SystemdStandIn(tmp_path / "notify") as stand_in:
        yield stand_in


@pytest.fixture
def supervision(systemd, clock):
    return Supervision(Notifier(systemd.address, watchdog_s=30.0), clock)


def let_pass(supervision, clock, seconds, each_second=lambda: None):
    """Watch five times a second, as the daemon does; returns whether all was well all the time."""
    well = True
    for step in range(int(seconds * 5)):
        clock.now_s += 0.2
        if step % 5 == 0:
            each_second()
        well = supervision.watch() and well
    return well


def test_progress_feeds_three_times_in_a_watchdog_and_no_oftener(supervision, systemd, clock):
    stage = supervision.stage("source mic")
    assert let_pass(supervision, clock, 300, stage.progress)
    assert 28 <= systemd.count("WATCHDOG=1") <= 31 and stage.steps == 300


def test_one_stage_that_hangs_starves_the_watchdog_whatever_the_others_do(supervision, systemd, clock):
    well, wedged = supervision.stage("source mic"), supervision.stage("source yard")
    let_pass(supervision, clock, 15, lambda: (well.progress(), wedged.progress()))
    assert not let_pass(supervision, clock, 30, well.progress)
    fed = systemd.count("WATCHDOG=1")
    let_pass(supervision, clock, 300, well.progress)
    assert systemd.count("WATCHDOG=1") == fed
    assert [stage.name for stage in supervision.overdue()] == ["source yard"]


def test_a_stage_that_never_reports_is_overdue_from_the_start(supervision, clock):
    supervision.stage("source mic", limit_s=5.0)
    assert let_pass(supervision, clock, 4) and not let_pass(supervision, clock, 4)


def test_a_declared_waiting_feeds_until_its_end_and_not_beyond(supervision, systemd, clock):
    stage = supervision.stage("source mic")
    stage.wait("the engine to be built", 600.0)
    assert let_pass(supervision, clock, 599) and stage.waits_for == "the engine to be built"
    assert not let_pass(supervision, clock, 2)
    stage.progress()
    assert supervision.watch() and stage.waits_for == ""


def test_a_waiting_that_is_declared_again_may_last_for_a_week(supervision, clock):
    stage = supervision.stage("source mic")
    for _ in range(7 * 24 * 60 * 3):
        stage.wait("sound", 30.0)
        clock.now_s += 20.0
        assert supervision.watch()


def test_a_stage_that_ended_in_order_owes_nothing(supervision, clock):
    stage = supervision.stage("source tape")
    supervision.dismiss(stage)
    assert let_pass(supervision, clock, 100)


def test_a_hang_is_named_with_where_every_thread_stands(supervision, clock, caplog, capfd):
    supervision.stage("source mic")
    let_pass(supervision, clock, 60)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "source mic" in record.getMessage()
    assert "test_supervision.py" in capfd.readouterr().err


def test_without_a_watchdog_nothing_is_sent_and_hangs_are_still_seen(systemd, clock):
    supervision = Supervision(Notifier(systemd.address, watchdog_s=0.0), clock)
    supervision.stage("source mic")
    assert not let_pass(supervision, clock, 60)
    assert systemd.texts() == []
