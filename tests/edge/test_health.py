"""What /proc and /sys tell, on this machine and on boards that are laid out as files."""

import os

import pytest

from edge.health import ProcessUsage, timing_values
from edge.timing import Durations


def lay_out(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return ProcessUsage(root).measure()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc")
def test_this_very_process():
    usage = ProcessUsage()
    sum(range(2000000))
    before = usage.measure()
    with open(os.devnull), open(os.devnull):
        during = usage.measure()
    assert before["cpu_ratio"] > 0.1 and before["memory_mb"] > 5
    assert during["file_descriptors"] == before["file_descriptors"] + 2
    assert before["threads"] >= 1 and before["memory_pss_mb"] > 1


def test_an_old_kernel_has_no_rollup_of_its_memory(tmp_path):
    parts = "7f00-7f10 r-xp /lib\nSize: 64 kB\nPss:   1000 kB\nSwapPss: 7 kB\n7f20-7f30 rw-p\nPss:  24 kB\n"
    assert lay_out(tmp_path, {"proc/self/smaps": parts})["memory_pss_mb"] == pytest.approx(1.048576)


def test_children_count_to_the_memory(tmp_path):
    files = {
        "proc/self/smaps_rollup": "Pss: 1000 kB\nPss_Anon: 5 kB\n",
        "proc/self/task/1/children": "77 78 ",
        "proc/77/smaps_rollup": "Pss: 500 kB\n",  # and 78 has just ended
    }
    assert lay_out(tmp_path, files)["memory_pss_mb"] == pytest.approx(1.536)


def test_the_hottest_sensor_that_answers(tmp_path):
    zones = {
        "sys/class/thermal/thermal_zone%d/temp" % i: text for i, text in enumerate(["41000", "-256000", "", "62500"])
    }
    assert lay_out(tmp_path, zones)["temperature_c"] == 62.5


def cooling(kinds):
    return {
        "sys/class/thermal/cooling_device%d/%s" % (index, name): text
        for index, (kind, state) in enumerate(kinds)
        for name, text in (("type", kind), ("cur_state", state))
    }


PI = "sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    "files, throttled, by",
    [
        ({}, None, None),
        (cooling([("pwm-fan", "3")]), None, None),
        (cooling([("pwm-fan", "3"), ("thermal-cpufreq-0", "0"), ("intel_powerclamp", "-1")]), False, None),
        (cooling([("cpu-balanced", "2"), ("gpu-balanced", "0")]), True, "cpu-balanced"),
        ({PI: "0"}, False, None),
        ({PI: "50005"}, True, "under-voltage, throttled"),
        ({PI: "50000"}, False, None),  # it was, and is no more
        ({PI: "what?"}, None, None),
    ],
)
def test_throttling_where_the_board_tells(tmp_path, files, throttled, by):
    found = lay_out(tmp_path, files)
    assert (found["throttled"], found["throttled_by"]) == (throttled, by)


def test_a_system_that_tells_nothing(tmp_path):
    found = lay_out(tmp_path, {})
    assert {name for name, value in found.items() if value is not None} <= {"cpu_ratio"}


def test_percentiles_are_of_the_recent_past_and_totals_of_all():
    durations = Durations()
    for index in range(1000):
        durations.add(10.0 if index < 400 else (index - 399) / 600.0)
    found = durations.summary()
    assert found.entries == 1000 and found.total_s == pytest.approx(4000.0 + 601 / 2.0)
    assert found.quantiles_s == {0.5: pytest.approx(0.5, abs=0.01), 0.99: pytest.approx(0.99, abs=0.01)}


def test_the_slowest_source_speaks_for_the_node():
    quick, slow, idle = Durations(), Durations(), Durations()
    for _ in range(10):
        quick.add(0.004)
        slow.add(0.2)
    values = timing_values([("inference", [quick, slow, idle]), ("latency", [idle])])
    assert values == {
        "inference_p50_ms": pytest.approx(200.0),
        "inference_p99_ms": pytest.approx(200.0),
        "latency_p50_ms": None,
        "latency_p99_ms": None,
    }
