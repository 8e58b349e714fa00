"""Log lines for people, and for the journal."""

import logging
import os

import pytest

from edge.journal import log_formatter


def record_of(level, text, error=None):
    trace = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("edge.daemon", level, "daemon.py", 1, text, (), trace)


@pytest.fixture
def journal(tmp_path, monkeypatch):
    with open(str(tmp_path / "journal"), "w") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", "%d:%d" % (found.st_dev, found.st_ino))
        yield stream


@pytest.mark.parametrize("level, mark", [("ERROR", 3), ("WARNING", 4), ("INFO", 6), ("DEBUG", 7), ("CRITICAL", 3)])
def test_the_journal_gets_the_level_and_no_time(journal, level, mark):
    line = log_formatter(journal).format(record_of(getattr(logging, level), "hello"))
    assert line == "<%d>edge.daemon: hello" % mark


def test_each_line_of_a_traceback_has_its_level(journal):
    try:
        raise ValueError("broken")
    except ValueError as error:
        text = log_formatter(journal).format(record_of(logging.ERROR, "a fault", error))
    assert len(text.split("\n")) > 3 and all(line.startswith("<3>") for line in text.split("\n"))


def test_a_person_gets_time_and_level(journal, tmp_path):
    with open(str(tmp_path / "terminal"), "w") as other:
        line = log_formatter(other).format(record_of(logging.WARNING, "hello"))
    assert line.endswith("WARNING edge.daemon: hello") and line[:2] == "20"
