"""Memory and processor time of a process and of all that descend from it, sampled while they run (Linux)."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_EVERY_SECONDS = 0.05


class Watch:
    """Samples from `start` to `stop`. For each process id:

    anonymous: peak of its anonymous memory in bytes (smaps_rollup), shared pages since a fork included.
    cpu_seconds: user and system time at each sample, with its moment (CLOCK_MONOTONIC). Both empty where the system does
    not tell.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self.anonymous: dict[int, int] = {}
        self.cpu_seconds: dict[int, list[tuple[float, float]]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def start(self) -> Watch:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def used_since(self, moment: float) -> dict[int, float]:
        """Processor seconds of each process from then on."""
        used = {}
        for process, samples in self.cpu_seconds.items():
            before = [seconds for when, seconds in samples if when <= moment]
            used[process] = samples[-1][1] - (before[-1] if before else 0.0)
        return used

    def _sample(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            for process in _family(self.root):
                try:
                    self._note(process)
                except (OSError, ValueError, IndexError):  # it has ended
                    continue

    def _note(self, process: int) -> None:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        held = int(rollup.partition("\nAnonymous:")[2].split()[0]) * 1024
        self.anonymous[process] = max(held, self.anonymous.get(process, 0))
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        self.cpu_seconds.setdefault(process, []).append((time.monotonic(), used))


def _family(root: int) -> list[int]:
    """The process and its descendants, parents first."""
    found = [root]
    for process in found:
        for task in Path("/proc").glob(f"{process}/task/*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found
