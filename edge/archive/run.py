"""`classify --output`: from files to tables, going on where an earlier run stopped."""

import json
import logging
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, TextIO, Tuple

from edge.archive.chronicle import Chronicle, Failed
from edge.archive.columns import COLUMNS, TABLES, columns_of
from edge.archive.journal import Journal
from edge.archive.level_rows import LevelScale
from edge.archive.level_tables import LevelTables
from edge.archive.part import Part
from edge.archive.picture_options import PictureOptions
from edge.archive.progress import Progress
from edge.archive.reels import Reel, Take, Unreadable, inspect_file, overlaps_of, recorder_of, reel_key, reels_of
from edge.archive.tables import write_table
from edge.archive.work import Outcome, hear_task
from edge.errors import SourceError, complaint
from edge.levels.local_day import LocalCalendar
from edge.records import Calibration, JsonObject
from engines.bundle import load_bundle

_LOGGER = logging.getLogger(__name__)


class ArchiveOptions(NamedTuple):
    """What is to be made."""

    output: Path
    form: str = "csv"  # of the tables
    tables: Tuple[str, ...] = ()
    start_time: str = ""  # see edge.sources.start_time
    joined: bool = True  # consecutive files of one recorder are one stream
    calibration: Optional[Calibration] = None  # of all recordings
    calendar: Optional[LocalCalendar] = None  # of the place, for Lden
    picture: Optional[PictureOptions] = None  # None: none are wanted


class Account(NamedTuple):
    """What a run did."""

    files: int
    heard_before: int  # files whose results an earlier run left
    failed: int  # files that gave nothing, or not all they hold
    duration_s: float  # of what was heard, now and before
    rows: Dict[str, int]  # by table
    pictures: List[str]  # their files


def classify_archive(
    paths: Sequence[str],
    settings: JsonObject,
    options: ArchiveOptions,
    open_engine: Callable[[], Any],
    complaints: TextIO,
    progress: Progress,
) -> Account:
    """Hear what is not yet heard, then write the tables of everything.

    Args:
        paths: absolute.
        settings: see `edge.archive.work.settings_from_config`.
        open_engine: gives a `ProcessPool` or `Cluster`; not called where nothing is left to do.

    Raises:
        EdgeError: the output folder or the engine cannot be used; what was finished is kept.
    """
    with Journal(options.output, settings) as journal:
        takes, unreadable = _inspect(paths, options, complaints, progress)
        reels = reels_of(takes, joined=options.joined)
        for path, other in overlaps_of(takes):
            _LOGGER.warning("%s begins before %s ends: what both hold is told twice", path, other)
        keys = [reel_key(reel, journal.digest) for reel in reels]
        left = [number for number, key in enumerate(keys) if not journal.has(key)]
        heard_before = len(takes) - sum(len(reels[number].own) for number in left)
        progress.begin(reels, left, len(paths), heard_before)
        failed: List[Failed] = []
        if left:
            with open_engine() as engine:
                tasks = [hear_task(reels[number]) for number in left]
                for outcome in engine.run(tasks, lambda task, heard_s: progress.tell(left[task], heard_s)):
                    number = left[outcome.number]
                    _keep(outcome, reels[number], keys[number], journal, failed, complaints)
                    progress.done(number)
        progress.end()
        kept = {reel.own[0].path: key for reel, key in zip(reels, keys) if journal.is_there(key)}

        def part_of(reel: Reel) -> Tuple[str, Part]:
            key = kept[reel.own[0].path]
            return key, Part(str(journal.path_of(key)))

        finished = [reel for reel in reels if reel.own[0].path in kept]
        labels = load_bundle(Path(settings["bundle"])).labels
        chronicle = Chronicle(finished, part_of, labels, LevelScale(options.calibration))
        rows = _write_tables(chronicle, options, unreadable, failed)
        pictures = []
        if options.picture is not None:
            from edge.archive.picture import draw_days

            pictures = draw_days(chronicle, options.picture, options.output)
        damaged, duration_s = _take_stock(finished, part_of, complaints)
        failures = len(unreadable) + sum(len(one.reel.own) for one in failed) + damaged
        return Account(len(paths), heard_before, failures, duration_s, rows, pictures)


def describe_account(account: Account, options: ArchiveOptions, *, as_json: bool) -> str:
    """One line about a run."""
    if as_json:
        return json.dumps(dict(account._asdict(), type="archive", output=str(options.output)), allow_nan=False)
    made = ["%d rows in %s.%s" % (account.rows[name], name, options.form) for name in options.tables]
    made += ["%d pictures" % len(account.pictures)] if account.pictures else []
    return "%d files (%d heard before, %d with trouble), %.2f h of sound; %s in %s" % (
        account.files,
        account.heard_before,
        account.failed,
        account.duration_s / 3600.0,
        ", ".join(made),
        options.output,
    )


def _inspect(
    paths: Sequence[str], options: ArchiveOptions, complaints: TextIO, progress: Progress
) -> Tuple[List[Take], List[Unreadable]]:
    takes: List[Take] = []
    unreadable: List[Unreadable] = []
    for number, path in enumerate(paths):
        progress.look(number, len(paths))
        try:
            takes.append(inspect_file(path, options.start_time))
        except SourceError as error:
            unreadable.append(Unreadable(path, str(error), recorder_of(path)))
            complain(complaints, str(error))
    return takes, unreadable


def _keep(outcome: Outcome, reel: Reel, key: str, journal: Journal, failed: List[Failed], complaints: TextIO) -> None:
    if outcome.result is not None:
        journal.write(key, outcome.result)
        return
    failed.append(Failed(reel, outcome.error))
    for take in reel.own:
        complain(complaints, "%s: %s" % (take.path, outcome.error))


def _write_tables(
    chronicle: Chronicle, options: ArchiveOptions, unreadable: Sequence[Unreadable], failed: Sequence[Failed]
) -> Dict[str, int]:
    levels = LevelTables(chronicle, options.calendar)
    rows_of: Dict[str, Callable[[], Iterator[JsonObject]]] = {
        "events": chronicle.event_rows,
        "classifications": chronicle.classification_rows,
        "files": lambda: chronicle.file_rows(unreadable, failed),
        "levels": levels.second_rows,
        "minutes": levels.minute_rows,
        "hours": levels.hour_rows,
        "days": levels.day_rows,
    }
    bands = max((chronicle.part_of(reel).measured.band_names for reel in chronicle.reels), key=len, default=())
    described, rows = [], {}
    for name in options.tables:
        table = TABLES[name]
        columns = columns_of(table, chronicle.labels, bands)
        rows[name] = write_table(options.output, name, options.form, columns, rows_of[name]())
        described += [
            {"table": name, "column": column.name, "kind": column.kind, "description": column.description}
            for column in columns
        ]
    write_table(options.output, "columns", "csv", COLUMNS, iter(described))
    return rows


def _take_stock(
    reels: Sequence[Reel], part_of: Callable[[Reel], Tuple[str, Part]], complaints: TextIO
) -> Tuple[int, float]:
    """How many files are damaged, and how many seconds were heard; says of each what is wrong."""
    damaged, duration_s = 0, 0.0
    for reel in reels:
        for file in part_of(reel)[1].files():
            duration_s += file.heard_s
            if file.status == "damaged":
                damaged += 1
                complain(complaints, file.error)
            elif file.status == "cut_short":
                _LOGGER.warning("%s: was cut short: %s; what there is has been heard", file.path, file.error)
    return damaged, duration_s


def complain(complaints: TextIO, text: str) -> None:
    """One line, at once."""
    complaints.write(complaint(text))
    complaints.flush()
