"""Memory and processor time of a process and of all that descend from it, sampled while they run (Linux)."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_EVERY_SECONDS = 0.05


class Watch:
    """Samples from `start` to `stop`. For each process id:

    anonymous: peak of its anonymous memory in bytes (smaps_rollup), shared pages since a fork included.
    cpu_seconds: user and system time at the last sample. Both empty where the system does not tell.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self.anonymous: dict[int, int] = {}
        self.cpu_seconds: dict[int, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def start(self) -> Watch:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

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
        self.cpu_seconds[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
