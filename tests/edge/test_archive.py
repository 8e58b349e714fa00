"""`classify --output`: the same results however the work is shared out, and what came of each file."""

import errno
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.archive.cluster import do_task
from edge.archive.columns import TABLES, columns_of
from edge.archive.journal import Journal
from edge.archive.part import SCHEMA, Part, PartError, UnreadablePartError
from edge.archive.reels import inspect_file, reel_key, reels_of
from edge.archive.work import Worker, hear_task, settings_from_config
from edge.classify import classify_file
from edge.config import Config, NodeConfig, SourceConfig
from edge.errors import ConfigError
from tests.edge.archive_command import (
    RATE_HZ,
    ROOT,
    classify,
    low_and_high,
    parts_of,
    read_csv,
    read_json_lines,
    tables_of,
    write_recordings,
)
from tests.engines.bundles import LABELS, write_tiny_bundle

CONFIG = Config(NodeConfig("node"), (SourceConfig("none", "stdin"),))
COUNT, DURATION_S = 8, 20.0  # across 02:00, where a reel begins


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("archive") / "site", COUNT, DURATION_S)


@pytest.fixture(scope="module")
def tables(bundle, recordings, tmp_path_factory):
    """Of the archive, by one process."""
    output = tmp_path_factory.mktemp("tables") / "out"
    status, out, err = classify(
        recordings[0].parent, "--bundle", bundle, "--start-time", "file", "--processes", 1, "--output", output,
        "--tables", ",".join(TABLES),
    )  # fmt: skip
    assert (status, err.count("\n")) == (0, err.count("INFO")), err
    assert out.startswith("8 files (0 heard before, 0 with trouble), 0.04 h of sound; ")
    return output


def test_a_shipped_bundle_is_known_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    kept = settings_from_config(CONFIG, Path("urban"))
    assert Path(kept["bundle"]).is_dir() and kept["bundle"].endswith("engines/urban")


def test_files_that_follow_on_each_other_give_what_their_sound_in_one_file_gives(bundle, recordings, tables, tmp_path):
    whole = tmp_path / "20261001_015900.wav"
    soundfile.write(str(whole), np.concatenate([soundfile.read(str(path))[0] for path in recordings]), RATE_HZ)
    worker = Worker(settings_from_config(CONFIG, bundle))
    lines = list(classify_file(str(whole), worker.bundle, worker.scorer, CONFIG, "file"))
    (reel,) = reels_of([inspect_file(str(whole), "file")])
    (tmp_path / "part.gz").write_bytes(worker.do(hear_task(reel)))
    worker.close()
    events = sorted((one for one in lines if one["type"] == "event"), key=lambda one: (one["start"], one["label"]))
    rows = sorted(read_csv(tables / "events.csv"), key=lambda row: (row["start"], row["label"]))
    names = ("label", "start", "end", "end_reason")
    assert len(events) > 10 and [[row[n] for n in names] for row in rows] == [[one[n] for n in names] for one in events]
    uncut = sorted(Part(str(tmp_path / "part.gz")).events(), key=lambda one: (one["start_s"], one["label"]))
    for row, event in zip(rows, uncut):
        for name in ("laeq_dbfs", "lafmax_dbfs", "background_la90_dbfs"):
            known = "" if event[name] is None else pytest.approx(event[name], abs=0.02)
            assert (float(row[name]) if row[name] else "") == known, (name, row, event)
    hops = [one for one in lines if one["type"] == "classification"]
    rows = read_csv(tables / "classifications.csv")
    assert len(rows) == len(hops)
    for row, hop in zip(rows, hops):
        assert row["label"] == hop["label"]
        # windows begin where a frame of the front end does, 10 ms apart, from the beginning of what is heard
        assert abs(float(row["score_low"]) - hop["scores"]["low"]) < 0.02


def test_an_event_over_a_cut_is_one_and_over_two_files_lies_in_the_first(tables, recordings):
    rows = read_csv(tables / "events.csv")
    over = [row for row in rows if float(row["end_s"]) > DURATION_S]
    assert over and all(0 <= float(row["start_s"]) < DURATION_S for row in rows)
    assert {row["file"] for row in rows} <= {str(path) for path in recordings}
    assert len({row["event_id"] for row in rows}) == len(rows)


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_gives_the_same_tables(bundle, recordings, tables, tmp_path, processes):
    status, _, err = classify(
        recordings[0].parent, "--bundle", bundle, "--start-time", "file", "--processes", processes,
        "--output", tmp_path / "out", "--tables", ",".join(TABLES),
    )  # fmt: skip
    assert status == 0, err
    assert tables_of(tmp_path / "out") == tables_of(tables)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_split_of_the_reels_over_workers_gives_the_same_parts(bundle, recordings, data):
    takes = [inspect_file(str(path), "file") for path in recordings]
    reels = reels_of(takes, joined=data.draw(st.booleans()))
    config = settings_from_config(CONFIG, bundle)
    owners = data.draw(st.lists(st.integers(0, 2), min_size=len(reels), max_size=len(reels)))
    order = data.draw(st.permutations(range(len(reels))))
    workers = [Worker(config) for _ in range(3)]
    alone = Worker(config)
    for number in order:
        task = hear_task(reels[number])
        assert workers[owners[number]].do(task) == alone.do(task)
    for worker in workers + [alone]:
        worker.close()


def test_a_machine_with_another_bundle_does_no_work(recordings, tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    asked = settings_from_config(CONFIG, folder)
    write_tiny_bundle(folder, lambda manifest: manifest["decision"].update(temperature=0.5))
    (reel,) = reels_of([inspect_file(str(recordings[0]), "file")])
    result, complaint, is_unusable = do_task(asked, hear_task(reel))
    assert result is None and is_unusable and "put the same one on every machine" in complaint


def test_after_work_that_it_could_not_do_a_machine_does_the_work_of_before(bundle, recordings, tmp_path):
    config = settings_from_config(CONFIG, bundle)
    reels = reels_of([inspect_file(str(recordings[0]), "file")])
    expected = do_task(config, hear_task(reels[0]))
    assert expected[0] is not None
    assert do_task(dict(config, manifest_sha256="another"), hear_task(reels[0]))[2]
    assert do_task(config, hear_task(reels[0])) == expected


def test_each_file_by_itself_gets_the_answer_that_classify_prints(bundle, recordings, tmp_path):
    status, _, err = classify(
        *recordings[:3], "--bundle", bundle, "--separate-files", "--output", tmp_path / "out", "--format", "jsonl"
    )
    assert status == 0, err
    _, out, _ = classify("--json", *recordings[:3], "--bundle", bundle)
    printed = [one for one in map(json.loads, out.splitlines()) if one["type"] == "file"]
    rows = read_json_lines(tmp_path / "out" / "files.jsonl")
    assert [(row["file"], row["label"], row["accepted"]) for row in rows] == [
        (one["file"], one["label"], one["accepted"]) for one in printed
    ]
    assert [row["foreign"] for row in rows] == [one["foreign"] for one in printed]
    events = [one for one in map(json.loads, out.splitlines()) if one["type"] == "event"]
    found = read_json_lines(tmp_path / "out" / "events.jsonl")
    keys = ("file", "label", "start_s", "end_s", "score_max", "score_mean", "end_reason", "start_uncertainty_s")
    order = [[row[key] for key in keys] for row in found]
    assert sorted(order) == sorted([one[key] for key in keys] for one in events)
    assert all(row["start"] is None for row in found)


def test_json_lines_by_several_processes_are_those_of_one(bundle, recordings, tmp_path):
    broken = tmp_path / "broken.wav"
    samples = low_and_high(6.0)
    samples[4 * RATE_HZ] = np.nan
    soundfile.write(str(broken), samples, RATE_HZ, subtype="FLOAT")
    given = list(recordings[:3]) + [broken, tmp_path / "none.wav"] + list(recordings[3:])
    one = classify("--json", *given, "--bundle", bundle)
    assert one[0] == 2 and one[2].count("\n") == 2
    assert classify("--json", *given, "--bundle", bundle, "--processes", 3) == one


def test_damaged_and_missing_files_are_named_once_counted_and_stop_nothing(bundle, recordings, tmp_path):
    samples = low_and_high(10.0)
    samples[5 * RATE_HZ] = np.nan
    soundfile.write(str(tmp_path / "nan.wav"), samples, RATE_HZ, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "cut.wav").write_bytes(recordings[0].read_bytes()[: 2 * RATE_HZ * 7])
    soundfile.write(str(tmp_path / "short.wav"), samples[:100], RATE_HZ)
    names = ["nan.wav", "text.wav", "cut.wav", "short.wav", "none.wav"]
    given = [tmp_path / name for name in names] + [recordings[0]]
    arguments = given + ["--bundle", bundle, "--output", tmp_path / "out", "--format", "jsonl"]
    for heard_before in (0, 4):  # what is damaged is finished too, and told of again
        status, out, err = classify(*arguments)
        assert status == 1 and out.startswith("6 files (%d heard before, 4 with trouble)" % heard_before), out + err
        complaints = [line for line in err.splitlines() if line.startswith("soundclr-edge: ")]
        assert len(complaints) == 4
        for name, word in (("nan", "nan"), ("text", "not a sound file"), ("short", "50 ms"), ("none", "No such file")):
            assert sum("/%s.wav" % name in line and word in line for line in complaints) == 1
    rows = {row["file"]: row for row in read_json_lines(tmp_path / "out" / "files.jsonl")}
    assert {path: row["status"] for path, row in rows.items()} == {
        str(path): status
        for path, status in zip(given, ["damaged", "unreadable", "cut_short", "damaged", "unreadable", "heard"])
    }
    assert 4.0 <= rows[str(tmp_path / "nan.wav")]["heard_s"] <= 5.0
    assert rows[str(tmp_path / "cut.wav")]["heard_s"] == pytest.approx(7.0, abs=0.01)


def test_a_damaged_file_within_a_stream_leaves_a_gap_and_the_rest_in_its_place(bundle, tmp_path):
    paths = write_recordings(tmp_path / "site", 4, DURATION_S, first="2026-10-01T00:00:00")
    samples, _ = soundfile.read(str(paths[1]), dtype="float32")
    samples[8 * RATE_HZ] = np.inf
    soundfile.write(str(paths[1]), samples, RATE_HZ, subtype="FLOAT")
    whole = classify(paths[3], "--bundle", bundle, "--start-time", "file", "--output", tmp_path / "last")
    status, _, err = classify(
        tmp_path / "site", "--bundle", bundle, "--start-time", "file", "--output", tmp_path / "out"
    )
    assert (whole[0], status) == (0, 1), err
    assert [row["status"] for row in read_csv(tmp_path / "out" / "files.csv")] == ["heard", "damaged", "heard", "heard"]
    rows = read_csv(tmp_path / "out" / "events.csv")
    assert not any("00:00:28" < row["start"][11:19] < "00:00:40" for row in rows)
    late = [(row["label"], row["start"][:21]) for row in rows if row["start"] > "2026-10-01T00:01:04"]
    alone = [
        (r["label"], r["start"][:21]) for r in read_csv(tmp_path / "last" / "events.csv") if r["start"][17:19] > "04"
    ]
    assert late and late == alone


def test_a_part_holds_what_it_was_given_and_one_cut_short_is_heard_again(bundle, recordings, tmp_path):
    config = settings_from_config(CONFIG, bundle)
    worker = Worker(config)
    (reel,) = reels_of([inspect_file(str(recordings[0]), "file")])
    content = worker.do(hear_task(reel))
    worker.close()
    with Journal(tmp_path / "out", config) as journal:
        key = reel_key(reel, journal.digest)
        journal.write(key, content)
        assert journal.has(key)
        part = Part(str(journal.path_of(key)))
        part.check_whole()
        assert part.reel == reel and list(part.labels) == LABELS and len(list(part.classifications())) > 10
        journal.path_of(key).write_bytes(content[: len(content) // 2])
        assert not journal.has(key) and not journal.path_of(key).exists()


def test_a_part_that_the_disk_does_not_give_now_is_not_thrown_away(bundle, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Journal(tmp_path / "out", settings_from_config(CONFIG, bundle)) as journal:
        journal.write("a" * 32, b"hours of work")
        with monkeypatch.context() as patched:
            patched.setattr("gzip.open", fail)
            with pytest.raises(UnreadablePartError):
                journal.has("a" * 32)
        assert journal.path_of("a" * 32).read_bytes() == b"hours of work"
        assert not journal.has("a" * 32)  # what it gives is no part
        journal.path_of("b" * 32).mkdir(parents=True)
        with pytest.raises(UnreadablePartError):
            journal.has("b" * 32)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b'"x"', b'{"schema": 1}', b'{"schema": 1, "settings": null}', b'{"schema": 1, "settings": 5}',
     b'{"schema": 1, "settings": ["levels"]}', b'{"schema": 1, "settings": "levels"}', b"[" * 100000, b"\xff", None],
)  # fmt: skip
def test_a_settings_file_that_is_none_is_named_and_the_folder_left_alone(bundle, tmp_path, content):
    mark = tmp_path / "out" / "classify.json"
    mark.parent.mkdir()
    if content is None:
        os.mkfifo(str(mark))  # nobody ever writes to it
    else:
        mark.write_bytes(content)
    with pytest.raises(ConfigError, match="classify.json: is not ours or damaged .*; give another --output"):
        Journal(tmp_path / "out", settings_from_config(CONFIG, bundle)).open()
    assert content is None or mark.read_bytes() == content
    assert not list((tmp_path / "out" / "parts").iterdir())


@pytest.mark.parametrize("given", [{}, {"levels": None}, {"events": [1]}])
def test_settings_of_another_shape_are_another_runs(bundle, tmp_path, given):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "classify.json").write_text(json.dumps({"schema": SCHEMA, "settings": given}))
    with pytest.raises(ConfigError, match=r"was begun with another .*\[events\] of the configuration.*another folder"):
        Journal(tmp_path / "out", settings_from_config(CONFIG, bundle)).open()


@pytest.mark.parametrize(
    "header",
    [["part"], ["part", SCHEMA], ["part", SCHEMA, {}, [], [None, []]], ["part", SCHEMA, {"lead": [], "own": [[1]],
     "tail": []}, [], [None, []]], ["part", SCHEMA, 5, None, None], ["part", SCHEMA + 1, {}, [], [None, []]],
     ["hop", 1]],
)  # fmt: skip
def test_a_part_of_another_shape_is_heard_again(bundle, tmp_path, header):
    with Journal(tmp_path / "out", settings_from_config(CONFIG, bundle)) as journal:
        lines = json.dumps(header) + "\n" + json.dumps(["end"]) + "\n"
        journal.write("a" * 32, gzip.compress(lines.encode("ascii")))
        with pytest.raises(PartError, match="no result of this program, or of another version; remove it"):
            Part(str(journal.path_of("a" * 32)))
        assert not journal.has("a" * 32) and not journal.path_of("a" * 32).exists()


def test_every_column_is_described_beside_the_tables(tables):
    described = read_csv(tables / "columns.csv")
    for name in TABLES:
        columns = [row["column"] for row in described if row["table"] == name]
        with open(str(tables / (name + ".csv"))) as file:
            assert file.readline().strip().split(",") == columns
        assert columns == [column.name for column in columns_of(TABLES[name], LABELS, ())]
    assert all(row["description"] for row in described)


def test_real_recordings_are_named_in_the_tables(tmp_path):
    names = ["siren-67358.ogg", "dog-191687.ogg", "car_horn-178402.ogg"]
    given = [ROOT / "tests" / "fixtures" / name for name in names]
    status, _, err = classify(*given, "--output", tmp_path / "out", "--format", "jsonl", "--processes", 2)
    assert status == 0, err
    rows = read_json_lines(tmp_path / "out" / "files.jsonl")
    assert {row["file"].split("/")[-1]: row["label"] for row in rows} == dict(
        zip(names, ["siren", "dog_bark", "car_horn"])
    )
    assert all(row["status"] == "heard" and row["lafmax_dbfs"] > row["laeq_dbfs"] > row["la90_dbfs"] for row in rows)
    assert parts_of(tmp_path / "out")
