"""The daemon as systemd runs it: what it notifies, SIGHUP, and the wait after failed starts."""

import os
import signal
import stat
import threading
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from edge.daemon import Daemon
from edge.start_history import StartHistory
from edge.store import MemoryStore
from edge.systemd_notify import Notifier
from tests.edge import test_daemon
from tests.edge.socket_broker import SocketBroker, wait_until
from tests.edge.systemd_stand_in import SystemdStandIn
from tests.edge.test_daemon import HANG_S, config_text, start_edge, values_of
from tests.edge.test_prometheus import free_port

HARD = 10 * HANG_S
bundle, street = test_daemon.bundle, test_daemon.street  # fixtures


@pytest.fixture
def systemd(tmp_path):
    with SystemdStandIn(tmp_path / "notify") as stand_in:
        yield stand_in


@pytest.fixture
def broker():
    with SocketBroker() as broker:
        yield broker


class Service:
    """A daemon with the environment that systemd gives it."""

    def __init__(self, tmp_path, systemd, text, **environment):
        self.config, self.runtime = tmp_path / "node.toml", tmp_path / "run"
        self.runtime.mkdir(exist_ok=True)
        self._systemd, self._log = systemd, tmp_path / "log"
        given = dict(
            os.environ, NOTIFY_SOCKET=systemd.address, RUNTIME_DIRECTORY=str(self.runtime), WATCHDOG_USEC="3000000"
        )
        given.pop("WATCHDOG_PID", None)
        given.update(environment)
        self.process = start_edge(tmp_path, text, env=given)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if not self.process.stdout.closed:  # else `stop` has read to the end, and 3.6 does not do that twice
            self.process.kill()
            self.process.communicate()

    def reload(self, text):
        """SIGHUP, and what followed: READY=1 again."""
        ready = self._systemd.count("READY=1")
        self.config.write_text(text, encoding="utf-8")
        self.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: self._systemd.count("READY=1") > ready, HARD)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=HARD)
        assert self.process.returncode == 0 and "Traceback" not in log, log
        return log


def has_classified(broker, more_than=0):
    return wait_until(lambda: len(values_of(broker, "classification")) > more_than, HARD)


def boot_ids(broker):
    return [value["boot_id"] for value in values_of(broker, "classification")]


def test_ready_alive_and_stopping_and_a_line_for_people(tmp_path, bundle, street, broker, systemd):
    with Service(tmp_path, systemd, config_text(bundle, street, broker.port, loop=True)) as service:
        assert wait_until(lambda: systemd.count("WATCHDOG=1") >= 3, HARD)
        assert wait_until(lambda: any("broker connected" in text for text in systemd.statuses()), HARD)
        service.stop()
    said = systemd.texts()
    assert said.index("READY=1") < said.index("WATCHDOG=1") < said.index("STOPPING=1")
    assert any(text.startswith("tape online") for text in systemd.statuses())


def test_without_a_broker_it_is_ready_and_alive(tmp_path, bundle, street, systemd):
    with Service(tmp_path, systemd, config_text(bundle, street, free_port(), loop=True)):
        assert wait_until(lambda: systemd.count("READY=1") == 1 and systemd.count("WATCHDOG=1") >= 3, HARD)


def test_a_reload_changes_a_source_and_keeps_count(tmp_path, bundle, street, broker, systemd):
    text = config_text(bundle, street, broker.port, loop=True)
    with Service(tmp_path, systemd, text) as service:
        assert has_classified(broker)
        before = len(values_of(broker, "classification"))
        service.reload(text.replace("hop_s = 0.25", "hop_s = 0.5"))
        assert has_classified(broker, before + 3)
        log = service.stop()
    assert "sources tape begin anew" in log
    assert len(set(boot_ids(broker))) == 1  # and so its sequences go on
    sequence = [value["seq"] for value in values_of(broker, "classification")]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
    events = values_of(broker, "event")
    started = [event["event_id"] for event in events if event["phase"] == "start"]
    assert len(set(started)) == len(started)
    assert sorted(started) == sorted(event["event_id"] for event in events if event["phase"] == "end")
    assert "RELOADING=1" in [text.split("\n")[0] for text in systemd.texts()]


UNUSABLE = [
    (("hop_s = 0.25", "hop_s = 0"), "hop_s is 0"),
    (("hop_s = 0.25", "hops = 0.25"), "did you mean 'hop_s'"),
    (("[node]", "[node"), "is not TOML"),
    (('type = "file"', 'type = "file"\nchannel = 7'), "channel is 7"),
    (("[mqtt]", '[mqtt]\nusername = "x"\npassword_file = "/none"'), "/none cannot be read"),
]


def test_a_reload_of_what_cannot_be_keeps_the_old_one_and_says_why(tmp_path, bundle, street, broker, systemd):
    text = config_text(bundle, street, broker.port, loop=True)
    with Service(tmp_path, systemd, text) as service:
        assert has_classified(broker)
        for change, reason in UNUSABLE:
            service.reload(text.replace(*change))
            assert wait_until(lambda: reason in systemd.statuses()[-1], HARD)  # noqa: B023 - done with at once
            before = len(values_of(broker, "classification"))
            assert has_classified(broker, before + 2)
        service.reload(text)
        assert wait_until(lambda: "kept" not in systemd.statuses()[-1], HARD)
        log = service.stop()
    assert all(reason in log for _, reason in UNUSABLE) and len(set(boot_ids(broker))) == 1


def test_a_reload_to_another_broker_takes_leave_of_the_old(tmp_path, bundle, street, broker, systemd):
    with SocketBroker() as second:
        with Service(tmp_path, systemd, config_text(bundle, street, broker.port, loop=True)) as service:
            assert has_classified(broker)
            service.reload(config_text(bundle, street, second.port, loop=True))
            assert has_classified(second)
            assert wait_until(lambda: broker.published[-1].payload == b"offline") and broker.wills == []
            assert systemd.count("STOPPING=1") == 0
            service.stop()
        assert wait_until(lambda: second.published[-1].payload == b"offline")


def scrape(port):
    """The page of figures; empty while nobody listens."""
    try:
        return urlopen("http://127.0.0.1:%d/metrics" % port, timeout=HANG_S).read().decode("utf-8")
    except URLError:
        return ""


def test_figures_are_scraped_while_it_runs(tmp_path, bundle, street, broker, systemd):
    port = free_port()
    text = config_text(bundle, street, broker.port, loop=True) + '[prometheus]\nlisten = "%d"\n' % port
    with Service(tmp_path, systemd, text) as service:
        assert has_classified(broker)
        assert wait_until(lambda: scrape(port) != "", HARD)  # opened after the first sound; again where it was taken
        page = scrape(port)
        service.stop()
    assert 'soundclr_inference_seconds{quantile="0.99",source="tape"}' in page
    assert "soundclr_sources_online 1.0" in page and "soundclr_mqtt_sent_total" in page


def test_failed_starts_make_the_next_one_wait_and_a_mended_configuration_ends_it(
    tmp_path,
    bundle,
    street,
    broker,
    systemd,
):
    good = config_text(bundle, street, broker.port, loop=True)
    runtime = tmp_path / "run"
    runtime.mkdir()
    for _ in range(3):
        with Service(tmp_path, systemd, "nonsense") as service:
            assert service.process.wait(HARD) == 2
    for _ in range(6):
        StartHistory(runtime).begin()
    with Service(tmp_path, systemd, "nonsense") as service:
        assert wait_until(lambda: any(t.startswith("Waiting 300 s") for t in systemd.statuses()), HARD)
        assert wait_until(lambda: any(t.startswith("EXTEND_TIMEOUT_USEC=") for t in systemd.texts()), HARD)
        assert service.process.poll() is None and systemd.count("READY=1") == 0
        time.sleep(0.1)
        service.config.write_text(good, encoding="utf-8")
        assert has_classified(broker)
        service.stop()
    assert StartHistory(runtime).failures == 0  # an end in order is no failure


def test_what_it_writes_is_its_own(tmp_path, bundle, street, broker, systemd):
    with Service(tmp_path, systemd, config_text(bundle, street, broker.port, loop=True)) as service:
        assert has_classified(broker)
        with open("/proc/%d/limits" % service.process.pid) as limits:
            (core,) = [line for line in limits if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"]
        service.stop()
    written = list((tmp_path / "state").rglob("*")) + [tmp_path / "state"]
    assert len(written) > 1
    for path in written:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


class StuckStore(MemoryStore):
    """A card that takes nothing any more, and does not say so."""

    def __init__(self):
        super().__init__()
        self.is_stuck, self.is_mended = threading.Event(), threading.Event()

    def put(self, message):
        self.is_stuck.set()
        self.is_mended.wait(HARD)
        return super().put(message)


class StuckAtPeeking(StuckStore):
    """A card that is never done with reading; only the thread that sends reads."""

    def put(self, message):
        return MemoryStore.put(self, message)

    def peek(self, limit, after=0):
        if threading.current_thread().name == "mqtt-publisher":
            self.is_stuck.set()
            self.is_mended.wait(HARD)
        return super().peek(limit, after)


@pytest.mark.slow
@pytest.mark.parametrize(
    "store_class, stage", [(StuckStore, "source tape"), (StuckAtPeeking, "mqtt-publisher")], ids=["source", "publisher"]
)
def test_a_thread_that_hangs_starves_the_watchdog_and_is_named(
    bundle, street, broker, systemd, caplog, store_class, stage
):
    store, stop = store_class(), threading.Event()
    config = test_daemon.config_of(bundle, street, broker.port, loop=True)
    daemon = Daemon(config, bundle, "test", stop, Notifier(systemd.address, watchdog_s=1.5), store)
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        assert store.is_stuck.wait(HARD)
        assert systemd.count("WATCHDOG=1") > 0
        assert wait_until(lambda: any(stage + " hangs" in text for text in systemd.statuses()), HARD)
        fed = systemd.count("WATCHDOG=1")
        time.sleep(3.0)  # six times the pause between two feeds
        assert systemd.count("WATCHDOG=1") == fed
        assert any(stage + " hangs" in record.getMessage() for record in caplog.records)
        store.is_mended.set()
        assert wait_until(lambda: systemd.count("WATCHDOG=1") > fed, HARD)
    finally:
        store.is_mended.set()
        stop.set()
        thread.join(HARD)
    assert not thread.is_alive()
