"""The kernels with a thread of the system for each thread of the device: no race, no access out of bounds."""

import pytest

from tests.cuda_cpu.emulator import WHY_NOT
from tests.cuda_cpu.mutations import barriers_removed
from tests.cuda_cpu.replay import logmel_source, record_cases, replay
from tests.cuda_cpu.sounds import TOLERANCE_DB

pytestmark = [pytest.mark.sanitizers, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
SOURCE = logmel_source()
REMOVED = barriers_removed(SOURCE)
CASES = ("small", "odd", "2048", "long", "batch")


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """What the host code asked for in five situations."""
    return record_cases(tmp_path_factory.mktemp("recordings"))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sanitizer", ["thread", "address"])
def test_nothing_is_reported(cases, name, sanitizer):
    outcome = replay(cases[name], SOURCE, sanitizer)
    assert (outcome.status, outcome.report) == (0, "")
    assert outcome.error_db <= TOLERANCE_DB


@pytest.mark.parametrize("name", REMOVED)
def test_a_barrier_left_out_is_a_race(cases, name):
    reports = (replay(cases[case], REMOVED[name], "thread").report for case in ("2048", "odd", "small"))
    assert any("data race" in report for report in reports)


def test_a_write_beside_memory_is_reported(cases):
    wrong = SOURCE.replace("row[j] = db;", "row[j + N_MELS * 400] = db;")
    assert wrong != SOURCE
    assert "AddressSanitizer" in replay(cases["small"], wrong, "address").report
