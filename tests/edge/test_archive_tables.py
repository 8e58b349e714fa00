"""Tables as files: every format holds the same values, whole or not at all."""

import csv
import os
import subprocess
import sys

import pytest

from edge.archive.columns import TABLES, columns_of
from edge.archive.journal import OutputError
from edge.archive.tables import FORMATS, write_table
from edge.level_fields import EVENT_LEVELS, MEASURED_LEVELS
from edge.message_fields import KINDS
from edge.rfc3339 import rfc3339_from_epoch
from tests.edge.archive_command import HANG_S, ROOT, read_csv, read_json_lines
from tests.engines.bundles import write_tiny_bundle

COLUMNS = columns_of(TABLES["files"], ("siren",), ())
AT_S = 1790812800.125
ROWS = [
    {"recorder": "/a/b", "file": "/a/b, \"c\".wav", "status": "heard", "start": AT_S, "end": AT_S + 1.0,
     "duration_s": 1.0, "heard_s": 1.00049, "sample_rate_hz": 48000, "channels": 2, "size_bytes": 5, "events": 0,
     "accepted": True, "laeq_db": 71.234, "calibrated": False},
    {"recorder": "", "file": "/a/\udcff.wav", "status": "unreadable", "error": "no\nsound", "heard_s": 0.0,
     "events": 0},
]  # fmt: skip
NEEDS_ARROW = pytest.mark.skipif(sys.version_info < (3, 10), reason="Parquet needs the extra `archive`, of Python 3.10")


def test_csv_holds_texts_times_flags_and_nothing_for_what_is_missing(tmp_path):
    assert write_table(tmp_path, "files", "csv", COLUMNS, iter(ROWS)) == 2
    first, second = read_csv(tmp_path / "files.csv")
    assert first["file"] == '/a/b, "c".wav' and first["start"] == "2026-10-01T00:00:00.125Z"
    assert (first["heard_s"], first["laeq_db"], first["laeq_dbfs"], first["accepted"], first["calibrated"]) == (
        "1.0", "71.23", "", "true", "false",
    )  # fmt: skip
    assert second["file"] == "/a/\\udcff.wav" and second["error"] == "no\nsound" and second["start"] == ""


def test_json_lines_hold_every_column_in_every_row(tmp_path):
    write_table(tmp_path, "files", "jsonl", COLUMNS, iter(ROWS))
    first, second = read_json_lines(tmp_path / "files.jsonl")
    assert list(first) == list(second) == [column.name for column in COLUMNS]
    assert (first["laeq_db"], first["laeq_dbfs"], second["error"]) == (71.23, None, "no\nsound")


@NEEDS_ARROW
def test_parquet_holds_typed_columns_times_in_utc_and_their_descriptions(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    write_table(tmp_path, "files", "parquet", COLUMNS, iter(ROWS))
    table = parquet.read_table(str(tmp_path / "files.parquet"))
    assert table.column_names == [column.name for column in COLUMNS]
    types = {field.name: field.type for field in table.schema}
    assert types["start"] == pa.timestamp("ms", tz="UTC") and types["laeq_db"] == pa.float64()
    assert (types["events"], types["accepted"], types["file"]) == (pa.int64(), pa.bool_(), pa.string())
    assert table.schema.field("laeq_db").metadata[b"description"].endswith(b"null unless calibrated")
    write_table(tmp_path, "files", "jsonl", COLUMNS, iter(ROWS))
    for row, other in zip(table.to_pylist(), read_json_lines(tmp_path / "files.jsonl")):
        start = row["start"]
        row["start"] = None if start is None else rfc3339_from_epoch(start.timestamp())
        row["end"] = other["end"]
        assert row == other


@NEEDS_ARROW
def test_a_parquet_table_without_rows_still_has_its_columns(tmp_path):
    import pyarrow.parquet as parquet

    write_table(tmp_path, "events", "parquet", columns_of(TABLES["events"], (), ()), iter([]))
    table = parquet.read_table(str(tmp_path / "events.parquet"))
    assert table.num_rows == 0 and "laeq_db" in table.column_names


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=NEEDS_ARROW if form == "parquet" else ()) for form in FORMATS]
)
def test_a_table_that_fails_half_way_leaves_the_old_one(tmp_path, form):
    write_table(tmp_path, "files", form, COLUMNS, iter(ROWS))
    before = (tmp_path / ("files." + form)).read_bytes()

    def rows():
        yield ROWS[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device.*give the same command again"):
        write_table(tmp_path, "files", form, COLUMNS, rows())
    assert (tmp_path / ("files." + form)).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["files." + form]


def test_column_names_carry_units_and_those_of_levels_are_the_messages(tmp_path):
    names = {name: [c.name for c in columns_of(table, ("siren",), ("1000hz",))] for name, table in TABLES.items()}
    for columns in names.values():
        assert len(set(columns)) == len(columns) and columns[0] == "recorder"
    assert set(names["events"]) >= {field.name for field in EVENT_LEVELS} | {"start_s", "duration_s", "score_max"}
    for table in ("levels", "minutes", "hours", "days", "files"):
        assert set(names[table]) >= {field.name for field in MEASURED_LEVELS}
    assert {"lzeq_1000hz_db", "lzeq_1000hz_dbfs"} <= set(names["levels"])
    assert {"seconds_siren", "events_siren", "la90_db"} <= set(names["minutes"]) and "lden_db" in names["days"]
    for table in TABLES.values():
        assert all(field.kind in KINDS and field.description for field in table.fields)


def test_without_pyarrow_the_extra_is_named(tmp_path):
    (tmp_path / "stand-in" / "pyarrow").mkdir(parents=True)
    (tmp_path / "stand-in" / "pyarrow" / "__init__.py").write_text("raise ImportError('kept away by the test')\n")
    done = subprocess.run(
        [sys.executable, "-m", "edge", "classify", "x.wav", "--bundle", str(write_tiny_bundle(tmp_path / "tiny")),
         "--output", str(tmp_path / "out"), "--format", "parquet"],
        cwd=str(ROOT), env=dict(os.environ, PYTHONPATH="%s:%s" % (tmp_path / "stand-in", ROOT)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=HANG_S,
    )  # fmt: skip
    assert done.returncode == 2 and "pip install 'soundclr-node[archive]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_table_of_many_rows_is_written_as_it_comes(tmp_path):
    alive = []

    def rows():
        for number in range(20000):
            alive.append(number)
            yield {"recorder": "r", "file": "f", "event_id": "e", "label": "siren", "start_s": float(number)}

    write_table(tmp_path, "events", "csv", columns_of(TABLES["events"], (), ()), rows())
    with open(str(tmp_path / "events.csv"), newline="") as file:
        assert sum(1 for _ in csv.reader(file)) == 20001 == len(alive) + 1
