"""What a new life of a run may change, and the life and checkpoint it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import Problem
from configs.source import flatten
from pretrain.checkpoint.directory import CheckpointPath, last_life, newest, read_index
from pretrain.tracking.metrics import last_life as last_logged_life

FREE = (
    "layout", "run", "tracking", "checkpoint", "eval", "cluster",
    "train.stop_after", "train.micro_batch", "train.recompute", "train.compile",
    "data.dir", "data.workers", "data.prefetch",
    # What makes a corpus; training compares the corpus id instead.
    "sources", "extract", "clean", "dedup", "tokenizer", "split", "shards", "data.seed", "data.unit_bytes",
)  # fmt: skip
"""Keys that may differ between lives: none of them changes what is computed, within the bound of layouts."""


@dataclass(frozen=True)
class Start:
    """Where a life begins: its number and the checkpoint it continues, if any."""

    life: int
    checkpoint: CheckpointPath | None

    @property
    def step(self) -> int:
        return self.checkpoint.step if self.checkpoint else 0


def find_start(run_dir: Path) -> Start:
    """The next life of a run directory. `life` is higher than any that left a row or a checkpoint directory."""
    return Start(max(last_life(run_dir), last_logged_life(run_dir)) + 1, newest(run_dir))


def differences(saved: Mapping[str, Any], current: Mapping[str, Any], allow: Sequence[str] = ()) -> list[Problem]:
    """Keys that decide the result and differ from those the checkpoint was written with, without the allowed ones."""
    old, new = flatten(saved), flatten(current)
    free = (*FREE, *allow)
    found = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) == new.get(key) or any(key == f or key.startswith(f + ".") for f in free):
            continue
        was, now = old.get(key, "absent"), new.get(key, "absent")
        hint = f"set {key}={was} to continue the run, --allow {key} to continue it changed, or choose another run.dir"
        found.append(Problem(f"{key} is {now}, but the run to resume has {was}", key, hint))
    return found


def problems(run_dir: Path, current: Mapping[str, Any], allow: Sequence[str] = ()) -> list[Problem]:
    """What forbids resuming the run in `run_dir` with the config `current` (plain values)."""
    start = find_start(run_dir)
    if start.checkpoint is None:
        return []
    return differences(read_index(start.checkpoint.path)["state"]["config"], current, allow)
