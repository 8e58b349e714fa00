"""What `soundclr-edge bench` found, for machines and for people."""

import json
from typing import List, TextIO

from edge.records import JsonObject


def write_bench(result: JsonObject, output: TextIO, *, as_json: bool) -> None:
    """One JSON object, or a table for people."""
    if as_json:
        output.write(json.dumps(result, allow_nan=False) + "\n")
        return
    output.write("\n".join(_table(result)) + "\n")


def _table(result: JsonObject) -> List[str]:
    machine, runtime, memory = result["machine"], result["runtime"], result["memory"]
    why = "; not TensorRT: " + runtime["why_not_tensorrt"] if runtime["why_not_tensorrt"] else ""
    lines = [
        "%s, %d cores, load %.1f before and %.1f after; %s; Python %s"
        % tuple(machine[k] for k in ("processor", "cores", "load_before", "load_after", "system", "python")),
        "%s, bundle %s" % (result["date"], result["bundle"]),
        "%s (runtime = %r%s)" % (runtime["describe"], runtime["configured"], why),
        "%d hops of %g s, windows of %g s, %d Hz: %s"
        % tuple(result[k] for k in ("hops", "hop_s", "window_s", "sample_rate_hz", "sound")),
        "",
        "%-20s %10s %10s %14s" % ("a hop, ms", "median", "p99", "of processor"),
    ]
    for row in result["stages"] + [dict(result["whole"], stage="the whole")]:
        values = (row["stage"], row["median_ms"], row["p99_ms"], row["processor_median_ms"])
        lines.append("%-20s %10.3f %10.3f %14.3f" % values)
    carried = "%d by one core's time" % result["microphones_per_core"]
    if result["microphones_per_gpu"] is not None:
        carried += ", %d by the GPU's" % result["microphones_per_gpu"]
    lines += [
        "",
        "real time             %.3f %% taken, %.3f %% of processor time"
        % (100 * result["real_time_factor"], 100 * result["processor_ratio"]),
        "microphones           %s, with nothing kept in reserve" % carried,
    ]
    if memory["rss_mb"] is not None:
        pss = "" if memory["pss_mb"] is None else ", %.0f MB its proportional share" % memory["pss_mb"]
        lines.append(
            "memory                %.0f MB resident%s; this process, without a broker" % (memory["rss_mb"], pss)
        )
    return lines
