"""Wrong kernels are found: each barrier left out or half reached, each loop, wrap and edge missed by one."""

import pytest

from tests.cuda_cpu.emulator import ORDERS, WHY_NOT
from tests.cuda_cpu.mutations import barriers_diverging, barriers_removed, bounds_missed
from tests.cuda_cpu.replay import logmel_source, record_cases, replay
from tests.cuda_cpu.sounds import TOLERANCE_DB

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
SOURCE = logmel_source()
REMOVED, DIVERGING, MISSED = barriers_removed(SOURCE), barriers_diverging(SOURCE), bounds_missed(SOURCE)
DIVERGENT = 4  # exit status


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """What the host code asked for in five situations."""
    return record_cases(tmp_path_factory.mktemp("recordings"))


def is_right(outcome):
    return outcome.status == 0 and outcome.error_db <= TOLERANCE_DB


def find(cases, source):
    """How the fibers find a wrong kernel: (case, order, outcome), or None."""
    for name, case in cases.items():
        for order in ("shuffled", "forward", "reverse"):
            outcome = replay(case, source, "fibers", order)
            if not is_right(outcome):
                return name, order, outcome
    return None


@pytest.mark.parametrize("order", sorted(ORDERS))
def test_the_kernels_as_they_are_are_right(cases, order):
    for case in cases.values():
        assert is_right(replay(case, SOURCE, "fibers", order))


def test_there_is_something_to_change():
    assert len(REMOVED) == SOURCE.count("__syncthreads") == 10
    assert len(MISSED) > 40 and all(changed != SOURCE for changed in MISSED.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", REMOVED)
def test_a_barrier_left_out_is_found(cases, name):
    assert find(cases, REMOVED[name])


@pytest.mark.sanitizers
@pytest.mark.parametrize("name", DIVERGING)
def test_a_barrier_that_half_of_the_threads_reach_is_found(cases, name):
    found = find(cases, DIVERGING[name])
    assert found and found[2].status == DIVERGENT


@pytest.mark.sanitizers
@pytest.mark.parametrize("name", MISSED)
def test_a_bound_missed_is_found(cases, name):
    if find(cases, MISSED[name]):
        return
    reports = (replay(cases[case], MISSED[name], "address").report for case in ("small", "odd", "batch"))
    assert any("AddressSanitizer" in report or "runtime error" in report for report in reports)
