"""Rates per second of processor time: user and system time of this process and of those it started, however long others
made it wait."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

Say = Callable[[str], None]
"""Shows one line of progress."""

MEGA = 1e6
"""Of MB: bytes."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one step.

    bytes: of what one pass reads, as the unit of the row says. rates: MB per processor second of each repetition.
    cpu_seconds: of all repetitions. more: further figures, as JSON.
    """

    bytes: int
    rates: list[float]
    cpu_seconds: float
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """MB per processor second: the median of the repetitions."""
        return median(self.rates)


def repeat(once: Callable[[], int], seconds: float, repeats: int, say: Say) -> Measured:
    """Measures `once`, which returns the bytes it went through: `repeats` times, each of at least `seconds` of
    processor time. What is made ready on first use must have been used before."""
    rates: list[float] = []
    whole, size = 0.0, 0
    for number in range(1, repeats + 1):
        done, begin, used = 0, cpu_seconds(), 0.0
        while used < seconds or not done:
            size = once()
            done += size
            used = cpu_seconds() - begin
        whole += used
        rates.append(done / MEGA / max(used, 1e-9))
        say(f"repetition {number} of {repeats}: {rates[-1]:.2f} MB/s in {used:.1f} s of processor time")
    return Measured(size, rates, whole)


def cpu_seconds() -> float:
    """Processor time of this process, of the processes it has outlived, and (on Linux) of its children that run."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    used = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    return used + sum(_cpu_clock(child) for child in _children())


def _children() -> list[int]:
    found: list[int] = []
    if sys.platform == "linux":
        for task in Path("/proc/self/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def _cpu_clock(process: int) -> float:
    """Of Linux: clock_getcpuclockid(3) makes a clock of a process id like this."""
    try:
        return time.clock_gettime((~process << 3) | 2)
    except OSError:  # it has just ended, and is counted with those outlived next time
        return 0.0
