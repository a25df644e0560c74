"""One whole pass in a process of its own: `python -m benchmarks.data.one_pass CONFIG WARM_CONFIG`.

The warm-up runs first, a small pass that imports and compiles; then the corpus of CONFIG is made. The last line of
stdout is JSON: {"cpu_seconds", "wall_seconds", "busy_seconds", "began", "documents"}: processor time of this process
(all of the pass where `data.workers` is 1), time on the wall, processor time that the whole machine spent meanwhile,
when it began (CLOCK_MONOTONIC), and documents kept.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from benchmarks.data.measure import cpu_seconds


def main(config: str, warm_config: str) -> None:
    from configs.loader import load_file
    from data_pipeline.progress import Progress
    from data_pipeline.run import run

    quiet = Progress(quiet=True)
    run(load_file(warm_config), quiet)
    loaded = load_file(config)
    busy, began, used = busy_seconds(), time.monotonic(), cpu_seconds()
    run(loaded, quiet)
    used, wall = cpu_seconds() - used, time.monotonic() - began
    manifest = json.loads((Path(loaded.config.data.dir) / "documents.json").read_text())
    documents = sum(entry["documents"] for entry in manifest["files"])
    found = {"cpu_seconds": used, "wall_seconds": wall, "busy_seconds": busy_seconds() - busy, "began": began}
    print(json.dumps({**found, "documents": documents}))


def busy_seconds() -> float:
    """Processor time that all processes of the machine have spent since it started; 0 where the system does not tell."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, interrupts, soft_interrupts = map(int, fields[:7])
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(*sys.argv[1:])
