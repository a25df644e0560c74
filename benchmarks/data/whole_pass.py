"""JSON lines -> clean Parquet: `millrace data run` with every rule for web text on, exact deduplication included.

The rate is that of one worker, in MB of text. Beside it: how much memory a worker takes, on two sizes of input in one
unit each; and how much faster two workers are than one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.data.inputs import Inputs
from benchmarks.data.measure import MEGA, Measured, Say
from benchmarks.data.processes import Watch
from configs.errors import MachineError

_SECTIONS = ("gopher_quality", "gopher_repetition", "c4", "fineweb", "lines", "pii")
_LARGER = 4  # times the input, for the second measurement of memory
_UNITS = 16  # for two workers
_IDLE = 0.05  # share of the machine's time that others may take where the clock on the wall is believed
_OWN_CPU_PER_MB = 0.15  # seconds, about: to choose how many copies of the text a run of `seconds` needs


def whole_pass(inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    """The median of `repeats` runs of at least `seconds` or so. more: `memory_mb` (peak of anonymous memory per worker,
    by bytes of input), `workers_2`."""
    one = sum(len(text.encode()) for text in inputs.texts)
    copies = max(1, round(seconds / _OWN_CPU_PER_MB / (one / MEGA)))
    small = inputs.write_lines(inputs.directory / "small.jsonl", copies)
    large = inputs.write_lines(inputs.directory / "large.jsonl", _LARGER * copies)
    size, whole_file = _text_bytes(small), 2 * large.stat().st_size
    rates: list[float] = []
    peaks: dict[int, float] = {}
    used = 0.0
    for number in range(1, repeats + 1):
        run = _run(inputs.directory, small, 1, whole_file)
        rates.append(size / MEGA / run["cpu_seconds"])
        used += run["cpu_seconds"]
        peaks[size] = max(peaks.get(size, 0.0), run["anonymous_mb"])
        say(f"repetition {number} of {repeats}: {rates[-1]:.2f} MB/s in {run['cpu_seconds']:.1f} s of processor time")
    run_large = _run(inputs.directory, large, 1, whole_file)
    peaks[_text_bytes(large)] = run_large["anonymous_mb"]
    say("memory per worker: " + ", ".join(f"{mb:.0f} MB on {n / MEGA:.0f} MB of text" for n, mb in peaks.items()))
    unit = large.stat().st_size // _UNITS + 1
    workers = _compared(*(_run(inputs.directory, large, count, unit) for count in (1, 2)))
    judged = f"{workers['speedup']:.2f} times" if workers["speedup"] is not None else "not judged, others were at work"
    say(f"two workers against one on the wall: {judged}; by their processor time {workers['by_cpu']:.2f} times")
    more = {
        "documents": run["documents"],
        "copies": copies,
        "memory_mb": {str(n): round(mb, 1) for n, mb in peaks.items()},
        "workers_2": workers,
    }
    return Measured(size, rates, used, more)


def _compared(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """speedup: on the wall, None where other work took more than a twentieth of the machine, or there is one core only.
    by_cpu: what one worker's processor time is to the longest chain with two (the parent and the busier worker)."""
    cores = len(os.sched_getaffinity(0))
    others = max((run["busy_seconds"] - run["all_cpu_seconds"]) / cores / run["wall_seconds"] for run in (one, two))
    idle = others <= _IDLE and cores >= 2
    return {
        "speedup": one["wall_seconds"] / two["wall_seconds"] if idle else None,
        "by_cpu": one["cpu_seconds"] / max(two["cpu_seconds"] + two["busiest_child_cpu_seconds"], 1e-9),
        "others_share_of_machine": round(max(others, 0.0), 3),
        "wall_seconds": [one["wall_seconds"], two["wall_seconds"]],
    }


def _run(directory: Path, lines: Path, workers: int, unit_bytes: int) -> dict[str, Any]:
    """One pass; what `one_pass` says of it, and `anonymous_mb` (the most that one process took), `all_cpu_seconds`,
    `busiest_child_cpu_seconds`."""
    out = directory / f"pass-{len(list(directory.glob('pass-*')))}"
    warm_lines = directory / "warm.jsonl"
    with lines.open("rb") as whole:
        warm_lines.write_bytes(b"".join(line for line, _ in zip(whole, range(20), strict=False)))
    config = _config(out, lines, workers, unit_bytes)
    # One unit for each worker: the server that workers are forked from starts, and imports, now.
    warm = _config(out.with_name(out.name + "-warm"), warm_lines, workers, warm_lines.stat().st_size // workers + 1)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "benchmarks.data.one_pass", str(config), str(warm)],
        stdout=subprocess.PIPE,
        text=True,
    )
    watch = Watch(process.pid).start()
    try:
        said, _ = process.communicate()
    finally:
        process.kill()
        watch.stop()
    if process.returncode:
        raise MachineError(
            f"a whole pass ended with status {process.returncode}", str(config), go_on="its message stands above"
        )
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    children = [used for one, used in watch.used_since(found["began"]).items() if one != process.pid]
    found["anonymous_mb"] = max(watch.anonymous.values(), default=0) / MEGA
    found["all_cpu_seconds"] = found["cpu_seconds"] + sum(children)
    found["busiest_child_cpu_seconds"] = max(children, default=0.0)
    return found


def _config(out: Path, lines: Path, workers: int, unit_bytes: int) -> Path:
    """JSON is YAML."""
    path = out.with_suffix(".yaml")
    sections = {name: {"enabled": True} for name in _SECTIONS}
    tree = {
        "sources": [{"name": "texts", "type": "jsonl", "paths": [str(lines)]}],
        "clean": sections,
        "data": {"dir": str(out), "product": "documents", "workers": workers, "unit_bytes": unit_bytes},
    }
    path.write_text(json.dumps(tree))
    return path


def _text_bytes(lines: Path) -> int:
    with lines.open("rb") as file:
        return sum(len(json.loads(line)["text"].encode()) for line in file)
