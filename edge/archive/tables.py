"""Tables as files: CSV, JSON lines or Parquet, row by row, whole or not at all."""

import csv
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, TextIO, Tuple

from edge.archive.journal import OutputError
from edge.errors import ConfigError
from edge.message_fields import KINDS, Field
from edge.records import JsonObject
from edge.rfc3339 import rfc3339_from_epoch
from engines.whole_file import replacing

FORMATS = ("csv", "jsonl", "parquet")
_ROW_GROUP = 65536


def check_format(name: str) -> None:
    """Raise ConfigError where tables of this format cannot be written here."""
    if name == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ConfigError(
                "--format parquet needs pyarrow; pip install 'soundclr-node[archive]' (Python 3.8 or later), or take "
                "--format csv"
            ) from None


def write_table(folder: Path, name: str, form: str, columns: Sequence[Field], rows: Iterable[JsonObject]) -> int:
    """Write `folder/name.form` anew.  Returns the number of rows.

    Args:
        rows: by column name; times in seconds since the epoch, None where a value is missing.

    Raises:
        OutputError: the disk does not take it; what was there stays.
    """
    path = Path(folder) / ("%s.%s" % (name, form))
    try:
        with replacing(path) as new, _WRITERS[form](new, columns) as writer:
            count = 0
            for row in rows:
                writer.write([_rounded(column, row.get(column.name)) for column in columns])
                count += 1
    except OSError as error:
        raise OutputError(
            "%s: cannot be written (%s); what was heard is kept: make room and give the same command again"
            % (path, error.strerror or error)
        ) from None
    return count


class _TableWriter(ABC):
    def __init__(self, path: Path, columns: Sequence[Field]) -> None:
        self._path, self._columns = path, columns

    @abstractmethod
    def write(self, values: List[Any]) -> None:
        """One row, in the columns' order."""

    @abstractmethod
    def close(self) -> None:
        """Everything written."""

    def __enter__(self) -> "_TableWriter":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


class _TextWriter(_TableWriter):
    def __init__(self, path: Path, columns: Sequence[Field]) -> None:
        super().__init__(path, columns)
        self._file: TextIO = open(  # noqa: SIM115 - closed by close()
            str(path), "w", encoding="utf-8", newline=""
        )

    def close(self) -> None:
        """Everything written."""
        self._file.close()

    def _texts(self, values: List[Any]) -> List[Any]:
        return [
            rfc3339_from_epoch(value) if column.kind == "time" and value is not None else value
            for column, value in zip(self._columns, values)
        ]


class _CsvWriter(_TextWriter):
    """RFC 4180, UTF-8, a header; nothing between two commas is a missing value."""

    def __init__(self, path: Path, columns: Sequence[Field]) -> None:
        super().__init__(path, columns)
        self._csv = csv.writer(self._file)
        self._csv.writerow([column.name for column in columns])

    def write(self, values: List[Any]) -> None:
        """One row."""
        self._csv.writerow(
            ["true" if value is True else "false" if value is False else value for value in self._texts(values)]
        )


class _JsonLinesWriter(_TextWriter):
    def __init__(self, path: Path, columns: Sequence[Field]) -> None:
        super().__init__(path, columns)
        self._names = [column.name for column in columns]

    def write(self, values: List[Any]) -> None:
        """One object a line."""
        self._file.write(json.dumps(dict(zip(self._names, self._texts(values))), allow_nan=False) + "\n")


class _ParquetWriter(_TableWriter):
    """One file, typed columns, times as UTC timestamps of milliseconds."""

    def __init__(self, path: Path, columns: Sequence[Field]) -> None:
        super().__init__(path, columns)
        import pyarrow as pa
        import pyarrow.parquet as parquet_files

        self._arrow: Any = pa
        kinds = {"time": pa.timestamp("ms", tz="UTC"), "flag": pa.bool_(), "count": pa.int64()}
        fields = []
        for column in columns:
            decimals = KINDS[column.kind].decimals
            kind = kinds.get(column.kind, pa.string() if decimals is None else pa.float64())
            fields.append(pa.field(column.name, kind, metadata={"description": column.description}))
        self._schema = pa.schema(fields)
        self._rows: List[Tuple[Any, ...]] = []
        self._file: Any = parquet_files.ParquetWriter(str(path), self._schema, compression="zstd")

    def write(self, values: List[Any]) -> None:
        """One row."""
        self._rows.append(tuple(self._native(column, value) for column, value in zip(self._columns, values)))
        if len(self._rows) >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Everything written."""
        try:
            self._flush()
        finally:
            self._file.close()

    def _native(self, column: Field, value: Any) -> Any:
        if value is None:
            return None
        if column.kind == "time":
            return int(round(value * 1000.0))
        return value

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            arrays = [self._arrow.array(values, type=field.type) for field, values in zip(self._schema, zip(*rows))]
            self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))


_WRITERS: Dict[str, Any] = {"csv": _CsvWriter, "jsonl": _JsonLinesWriter, "parquet": _ParquetWriter}


def _rounded(column: Field, value: Any) -> Any:
    decimals = KINDS[column.kind].decimals
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")  # not every name on a disk is text
    if value is None or decimals is None:
        return value
    return round(float(value), decimals)
