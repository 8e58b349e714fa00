"""What `classify` prints of many files, heard side by side: the same lines in the same order as by one process."""

import json
from typing import Dict, Iterator, Sequence, TextIO, Tuple

from edge.archive.processes import ProcessPool
from edge.archive.run import complain
from edge.archive.work import Outcome, print_task
from edge.records import JsonObject

_AHEAD = 8  # files for each process: what is ready early waits in memory


def print_files(
    paths: Sequence[str],
    settings: JsonObject,
    processes: int,
    *,
    as_json: bool,
    start_time: str,
    results: TextIO,
    complaints: TextIO,
) -> int:
    """Classify each file; one that fails does not stop the others.  Returns the number of files that failed."""
    failed = 0
    tasks = [print_task(path, start_time, as_json=as_json) for path in paths]
    with ProcessPool(settings, processes, ahead=_AHEAD * processes) as pool:
        for number, outcome in _in_order(pool.run(tasks)):
            complaint, lines = "%s: %s" % (paths[number], outcome.error), ""
            if outcome.result is not None:
                head, _, lines = outcome.result.decode("utf-8", "surrogateescape").partition("\n")
                complaint = json.loads(head)
            results.write(lines)
            results.flush()
            if complaint:
                failed += 1
                complain(complaints, complaint)
    return failed


def _in_order(outcomes: Iterator[Outcome]) -> Iterator[Tuple[int, Outcome]]:
    early: Dict[int, Outcome] = {}
    turn = 0
    for outcome in outcomes:
        early[outcome.number] = outcome
        while turn in early:
            yield turn, early.pop(turn)
            turn += 1
