"""From the parts of the ranks to one checkpoint, without a collective: through the directory they all write to.

Every rank writes `rank-00003.safetensors` and then `rank-00003.json`, its record: files, sizes, hashes, pieces. Rank 0
waits for the records of all and folds them into `index.json`. Nothing here knows torch or process groups, so that
threads can do it while training goes on, on one machine or on many nodes with a shared file system.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.shards.atomic import fsync_directory
from pretrain.checkpoint.directory import write_index
from pretrain.checkpoint.file import Cancelled, safetensors_blocks, write_file

PATIENCE_SECONDS = 600.0
"""How long rank 0 waits without seeing the record of one more rank."""


@dataclass(frozen=True)
class Part:
    """What one rank owns. pieces: their entries in the index. tensors: (key, elements) for each piece and each of weight
    and moments, in the order in which they lie in `values`, float32 [elements of all]."""

    pieces: list[dict[str, Any]]
    tensors: list[tuple[str, int]]
    values: np.ndarray


def record_name(rank: int) -> str:
    """The record of a rank, in the checkpoint's directory until its index is written."""
    return f"rank-{rank:05d}.json"


def write_part(directory: Path, rank: int, part: Part, cancelled: threading.Event | None = None) -> None:
    """Writes this rank's file, if it owns anything, and its record. Raises OSError with the file's name, Cancelled."""
    files = {}
    if part.tensors:
        name = f"rank-{rank:05d}.safetensors"
        blocks = safetensors_blocks(part.tensors, part.values)
        size, digest = write_file(directory / name, blocks, cancelled)
        files[name] = {"bytes": size, "xxh3": digest, "pieces": part.pieces}
    write_file(directory / record_name(rank), [json.dumps(files).encode()], cancelled)


def wait_for_records(directory: Path, ranks: int, cancelled: threading.Event, patience: float) -> None:
    """Returns once every rank's record is there. TimeoutError when `patience` seconds pass without a new one."""
    missing = {record_name(rank) for rank in range(ranks)}
    since, pause = time.monotonic(), 0.002
    while True:
        found = missing.intersection(path.name for path in directory.iterdir())
        if found == missing:
            return
        if found:
            missing -= found
            since = time.monotonic()
        elif time.monotonic() - since > patience:
            raise TimeoutError(f"no sign of {min(missing)} for {patience:.0f} s: is {directory} on a file system that all "
                               "nodes share?")  # fmt: skip
        if cancelled.wait(pause):
            raise Cancelled(directory)
        pause = min(0.5, 1.5 * pause)


def complete(
    directory: Path,
    ranks: int,
    step: int,
    life: int,
    state: dict[str, Any],
    cancelled: threading.Event | None = None,
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Waits for the parts of all ranks and writes the index: from then on the checkpoint exists. Rank 0, after its own part.

    Raises OSError, TimeoutError, Cancelled.
    """
    wait_for_records(directory, ranks, cancelled or threading.Event(), patience)
    records = [directory / record_name(rank) for rank in range(ranks)]
    files: dict[str, Any] = {}
    for record in records:
        files |= json.loads(record.read_bytes())
    # The directory's own name must last before the index in it says that all is well.
    fsync_directory(directory.parent)
    fsync_directory(directory.parent.parent)
    write_index(directory, {"step": step, "life": life, "state": state, "files": files})
    for record in records:  # the index has it all; one that stays does no harm
        with contextlib.suppress(OSError):
            record.unlink()
