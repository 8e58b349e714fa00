"""`soundclr-edge history` on a real store, with and without a daemon's writer at work."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edge.cli import main
from edge.clock import UtcTime
from edge.errors import ConfigError
from edge.history import HistoryError, Wanted, acting_as_owner, moment_from_text, republish, write_history
from edge.levels.period import Period, SoundingTimes
from edge.levels.totals import Condition
from edge.messages import MessageFactory
from edge.outbox import Outbox
from edge.records import Calibration
from edge.storage.database import NAME
from edge.storage.sqlite_store import SqliteStore
from edge.storage.writer import Rhythm
from tests.edge.level_frames import RATE_HZ, street_of

NOON_S = 1793534400.0  # 2026-11-01T12:00:00Z
ROOT = Path(__file__).resolve().parent.parent.parent
FACTORY = MessageFactory("soundclr", "corner", "bundle", "boot", ())
PATIENCE_S = 60.0


def make_event(at_s, label="siren", source="mic", phase="end"):
    values = {
        "event_id": "boot-%s-%d" % (source, at_s),
        "phase": phase,
        "label": label,
        "start": at_s - 4.0,
        "end": at_s,
        "duration_s": 4.0,
        "end_reason": "quiet" if phase == "end" else None,
        "score_max": 0.93,
        "score_mean": 0.81,
        "replayed": False,
        "laeq_db": 71.24 if label == "siren" else None,
        "laeq_dbfs": -31.0,
    }
    return FACTORY.build("event", UtcTime(at_s, True), values, source)


def fill(directory, events):
    with SqliteStore(directory).open() as store:
        rows = [store.put(event) for event in events]
        assert store.flush(PATIENCE_S)
        for row in rows[:-1]:
            store.ack(row)


def read(directory, **wanted):
    results = io.StringIO()
    count = write_history(directory, Wanted(**wanted), results, as_json=True)
    lines = [json.loads(line) for line in results.getvalue().splitlines()]
    assert len(lines) == count
    return lines


@pytest.fixture
def directory(tmp_path):
    events = [make_event(NOON_S + 3600.0 * hour, "siren" if hour % 2 else "dog_bark") for hour in range(6)]
    fill(tmp_path, events + [make_event(NOON_S, source="yard")])
    return tmp_path


def test_everything_comes_in_its_order_and_says_whether_the_broker_has_it(directory):
    lines = read(directory)
    assert [line["source"] for line in lines] == ["mic"] * 6 + ["yard"]
    assert [line["acknowledged"] for line in lines] == [True] * 6 + [False]
    assert lines[0]["topic"] == "soundclr/corner/mic/event" and lines[1]["laeq_db"] == 71.24


def test_time_source_type_and_label_choose(directory):
    assert len(read(directory, from_s=NOON_S + 3600.0, to_s=NOON_S + 3 * 3600.0)) == 2
    assert [line["label"] for line in read(directory, label="siren", source="mic")] == ["siren"] * 3
    assert len(read(directory, source="yard")) == 1
    assert read(directory, type="summary") == [] and len(read(directory, type="event")) == 7


def test_the_table_can_be_read(directory, capsys):
    assert main(["history", "--state-dir", str(directory), "--to", "2026-11-01T14:00Z"]) == 0
    head, first, second, yard = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["TIME", "(UTC)", "SOURCE"]
    assert first.split() == (
        ["2026-11-01T12:00:00.000Z", "mic", "event", "end", "dog_bark", "4.0", "-31.0", "dBFS", "0.93", "has", "it"]
    )
    assert "71.2 dB(A)" in second and yard.endswith("waits")
    assert len({line.index("0.93") for line in (first, second, yard)}) == 1


def test_a_summary_shows_how_much_was_heard_how_loud_and_what_most(tmp_path, capsys):
    minute = Period(NOON_S, NOON_S + 60.0)
    for frame in street_of(45.0):
        minute.totals_under(Condition(Calibration(120.0, "2026-10-01", "calibrator"))).add(frame, RATE_HZ)
    minute.sounding = SoundingTimes({"siren": 4.0, "dog_bark": 9.5}, {"siren": 1, "dog_bark": 2})
    factory = MessageFactory("soundclr", "corner", "bundle", "boot", ("siren", "dog_bark"))
    values = minute.values(("siren", "dog_bark"))
    silent = Period(NOON_S, NOON_S + 3600.0).values(("siren", "dog_bark"))
    narrow = dict(values, bandwidth_hz=7600.0)
    fill(
        tmp_path,
        [
            factory.build("summary", UtcTime(NOON_S + 60.0, True), values, "mic"),
            factory.build("summary_hour", UtcTime(NOON_S + 3600.0, True), silent, "mic"),
            factory.build("summary", UtcTime(NOON_S + 120.0, True), narrow, "mic"),
        ],
    )
    assert main(["history", "--state-dir", str(tmp_path)]) == 0
    _, heard, unheard, narrow_line = capsys.readouterr().out.splitlines()
    level = "%.1f" % round(values["laeq_db"], 2)
    assert heard.split()[2:] == ["summary", "-", "dog_bark", "45.0", level, "dB(A)", "-", "has", "it"]
    assert unheard.split()[2:] == ["summary_hour", "-", "-", "0.0", "-", "-", "has", "it"]
    assert narrow_line.split()[5:8] == ["45.0", level, "dB"]


@pytest.mark.parametrize(
    "text, epoch_s",
    [
        ("2026-11-01", NOON_S - 43200.0),
        ("2026-11-01T12:00:00Z", NOON_S),
        ("2026-11-01T12:00:00.500Z", NOON_S + 0.5),
        ("2026-11-01 12:00", NOON_S),
        ("2026-11-01T14:00+02:00", NOON_S),
        ("2026-11-01T06:30:00-05:30", NOON_S),
        ("-2h", NOON_S - 7200.0),
        ("1.5m", NOON_S - 90.0),
        ("-1w", NOON_S - 604800.0),
    ],
)
def test_moments(text, epoch_s):
    assert moment_from_text(text, NOON_S) == epoch_s


def test_a_day_is_meant_up_to_its_end():
    assert moment_from_text("2026-11-01", 0.0, is_end=True) - moment_from_text("2026-11-01", 0.0) == 86400.0


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "-2y", "12:00", "2026-11-01T12:00:00+1", "-h"])
def test_what_is_no_moment_is_named(text):
    with pytest.raises(ConfigError, match="expected one such as"):
        moment_from_text(text, NOON_S)


def test_hours_back_from_now_are_taken_on_the_command_line(tmp_path, capsys):
    fill(tmp_path, [make_event(time.time() - 3.0 * 3600), make_event(time.time() - 60.0), make_event(time.time())])
    assert main(["history", "--state-dir", str(tmp_path), "--from", "-2h", "--to", "-30s", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["history", "--state-dir", str(tmp_path), "--from", "-1s", "--label", "dog_bark"]) == 1  # nothing


def test_unusable_requests_are_one_line_and_status_2(directory, tmp_path, capsys):
    for argv in (
        ["history", "--state-dir", str(tmp_path / "nowhere")],
        ["history", "--state-dir", str(directory), "--from", "monday"],
        ["history", "--state-dir", str(directory), "--republish"],
    ):
        assert main(argv) == 2
        printed = capsys.readouterr()
        assert (
            printed.out == ""
            and len(printed.err.splitlines()) == 1
            and "expected" in printed.err + "expected" * ("no store" in printed.err)
        )


def test_a_damaged_store_is_named(directory):
    (directory / NAME).write_bytes(os.urandom(20000))
    with pytest.raises(HistoryError, match="damaged"):
        read(directory)


def sent_by(store, outbox):
    sent = []

    def send(message):
        sent.append(json.loads(message.payload.decode()))
        return len(sent)

    while outbox.send_next(send):
        outbox.acknowledge(len(sent))
    return sent


def test_what_is_republished_is_sent_by_the_next_daemon_as_history(directory):
    assert republish(directory, Wanted(from_s=NOON_S, label="siren", source="mic")) == 3
    with SqliteStore(directory).open() as store:
        store.flush(PATIENCE_S)
        outbox = Outbox(store, replay_rate_hz=10000.0)
        until_s = time.monotonic() + PATIENCE_S
        while store.counts().waiting < 4 and time.monotonic() < until_s:
            time.sleep(0.02)
        sent = sent_by(store, outbox)
        assert [(line["label"], line["source"]) for line in sent] == [("siren", "mic")] * 3 + [("siren", "yard")]
        assert all(line["replayed"] for line in sent[:3])
        assert store.counts().waiting == 0
    assert all(line["acknowledged"] for line in read(directory))


def test_a_running_daemon_notices_and_marks_even_what_is_fresh(tmp_path):
    events = [make_event(time.time(), label) for label in ("siren", "dog_bark")]
    noticed = []
    with SqliteStore(tmp_path, rhythm=Rhythm(look_s=0.05)).open() as store:
        store.call_when_sendable(lambda: noticed.append(store.counts().waiting))
        outbox = Outbox(store, replay_rate_hz=10000.0)
        for event in events:
            outbox.add(event)
        assert store.flush(PATIENCE_S)
        assert [line["replayed"] for line in sent_by(store, outbox)] == [False, False]
        assert main(["history", "--state-dir", str(tmp_path), "--from", "-1h", "--label", "siren", "--republish"]) == 0
        until_s = time.monotonic() + PATIENCE_S
        while noticed[-1:] != [1] and time.monotonic() < until_s:
            time.sleep(0.02)
        outbox.look_again()
        (again,) = sent_by(store, outbox)
        assert again["label"] == "siren" and again["replayed"] is True


def test_the_installed_command_reads_while_a_writer_writes(tmp_path):
    with SqliteStore(tmp_path).open() as store:
        for number in range(50):
            store.put(make_event(NOON_S + number))
        assert store.flush(PATIENCE_S)
        command = [sys.executable, "-m", "edge", "history", "--json", "--state-dir", str(tmp_path)]
        with open(str(tmp_path / "out"), "w+") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=str(ROOT))
            until_s = time.monotonic() + PATIENCE_S
            while process.poll() is None and time.monotonic() < until_s:
                store.put(make_event(NOON_S + 1000.0))
                time.sleep(0.01)
            assert process.poll() == 0
            output.seek(0)
            assert len([json.loads(line) for line in output]) >= 50
        assert store.counts().state == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look at another user's store")
@pytest.mark.skipif(os.geteuid() != 0, reason="root alone asks on the service's behalf")
def test_root_reads_the_service_s_store_without_naming_it(directory, monkeypatch, capsys):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr("edge.installation._OF_SERVICE", Path(directory))
    assert main(["history", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7


def test_root_acts_as_the_owner_so_that_the_service_is_not_locked_out(directory):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        os.chmod(name, 0o755)
        of_service = Path(name) / "state"
        shutil.copytree(str(directory), str(of_service))
        for path in [of_service] + list(of_service.iterdir()):
            os.chown(str(path), 12345, 12345)
        with acting_as_owner(of_service):
            assert os.geteuid() == 12345
            assert republish(of_service, Wanted(from_s=NOON_S)) == 7
            with pytest.raises(HistoryError, match="run this as"):
                republish(directory, Wanted(from_s=NOON_S))
        assert os.geteuid() == 0
        assert {path.stat().st_uid for path in of_service.iterdir()} == {12345}
