"""What the fleet's benchmark calls the end of a broker is one, and the share of a core is what it says."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))
from cpu_share import CpuShare, ShareError, limits_us
from fleet_broker import cpu_seconds
from fleet_ends import find_end
from fleet_load import Step, growth_of


@given(st.floats(0.2, 3.0), st.integers(200, 3000))
def test_delay_grows_by_what_a_queue_of_that_load_gains(load, rate_hz):
    """Of a queue that serves at one pace, at `load` times that pace."""
    times, free_ms = [], 0.0
    for number in range(4 * rate_hz):
        due_ms = 1000.0 * number / rate_hz
        free_ms = max(free_ms, due_ms) + 1000.0 * load / rate_hz
        times.append((int(due_ms), int(free_ms) + 5))
    assert growth_of(times) == pytest.approx(max(0.0, load - 1.0), abs=0.02)


def test_no_messages_grow_nothing():
    assert growth_of([]) == 0.0 and growth_of([(1, 2)]) == 0.0


def step_of(factor, growth, *, lost=0, late_s=0.0, p99_ms=40.0):
    return Step(factor, 2000.0 * factor, lost, 20.0, p99_ms, growth, 0, 2000.0 * factor, 0.05, 12.0, 15.0, late_s)


def test_the_end_lies_between_the_rate_that_held_and_the_one_that_did_not():
    asked = []

    def run_step(factor, seconds):
        asked.append((factor, seconds))
        return step_of(factor, max(0.0, factor / 1.9 - 1.0))

    end = find_end(run_step, 0.05, 1.0, 8.0)
    assert end.held.growth <= 0.05 < end.ended.growth and end.held.factor < end.ended.factor <= 1.3 * end.held.factor
    assert asked[-1] == (end.ended.factor, 16.0) and asked[-2] == (end.ended.factor, 8.0)


def test_a_delay_that_does_not_go_on_growing_is_no_end():
    def run_step(factor, seconds):
        return step_of(factor, 0.2 if factor > 2.0 or (factor > 1.0 and seconds < 10.0) else 0.01)

    end = find_end(run_step, 0.05, 1.0, 8.0)
    assert 1.0 < end.held.factor <= 2.0 < end.ended.factor


def test_a_rate_at_which_messages_are_late_is_not_held_though_nothing_grows():
    def run_step(factor, _):
        return step_of(factor, 0.2 if factor > 2.0 else 0.0, p99_ms=9000.0 if factor > 1.0 else 40.0)

    end = find_end(run_step, 0.05, 1.0, 8.0)
    assert end.held.factor <= 1.0 and end.ended.factor > 2.0


def test_a_repeat_in_which_the_senders_were_late_tells_no_end():
    end = find_end(lambda factor, seconds: step_of(factor, 1.0, late_s=2.0 if seconds > 8.0 else 0.0), 0.25, 1.0, 8.0)
    assert end.ended is None and end.longer is None


def test_lost_messages_are_an_end():
    end = find_end(lambda factor, _: step_of(factor, 0.0, lost=3 if factor > 1.0 else 0), 0.05, 1.0, 8.0)
    assert end.ended.lost == 3


def test_where_the_senders_end_first_no_end_of_the_broker_is_told():
    end = find_end(lambda factor, _: step_of(factor, 1.0 if factor > 2.0 else 0.0, late_s=factor - 1.4), 0.1, 1.0, 8.0)
    assert end.ended is None and end.held.sender_late_p99_s <= 0.5


@given(st.floats(0.003, 1.0))
def test_limits_are_that_share_in_a_period_that_the_kernel_takes(share):
    quota_us, period_us = limits_us(share)
    assert quota_us / period_us == pytest.approx(share, rel=0.001)
    assert quota_us >= 2000 and 10_000 <= period_us <= 1_000_000


@pytest.mark.parametrize("share", [0.0, -1.0, 1.01])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="expected above 0 and at most 1"):
        limits_us(share)


def test_without_control_groups_it_says_so(tmp_path):
    with pytest.raises(ShareError, match="no control groups"):
        CpuShare(os.getpid(), 0.1, tmp_path).open()


def test_in_version_2_it_makes_a_group_with_that_limit(tmp_path):
    (tmp_path / "cgroup.subtree_control").write_text("cpuset cpu io\n")
    CpuShare(os.getpid(), 0.05, tmp_path).open()  # in plain files, which nobody obeys
    (group,) = tmp_path.glob("soundclr-bench-*")
    assert (group / "cpu.max").read_text() == "2000 40000\n"
    assert (group / "cgroup.procs").read_text() == f"{os.getpid()}\n"


@pytest.fixture
def spinner():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


def test_a_process_gets_its_share_and_goes_back(spinner):
    groups = Path(f"/proc/{spinner.pid}/cgroup")
    before = groups.read_text()
    share = CpuShare(spinner.pid, 0.1)
    try:
        share.open()
    except ShareError as error:
        pytest.skip(str(error))
    with contextlib.closing(share):
        began_s, used_s = time.monotonic(), cpu_seconds(spinner.pid)
        time.sleep(2.0)
        ratio = (cpu_seconds(spinner.pid) - used_s) / (time.monotonic() - began_s)
    assert ratio < 0.2  # less where others load the machine; never much more
    assert groups.read_text() == before
