"""Where checkpoints live and which of them count.

`checkpoints/step-{step}-life-{life}/` holds one safetensors file per writing rank and `index.json`, written last: a
checkpoint exists once its index does. Newest = highest step, then life; never the file time. A rollback takes the
checkpoints beyond its target out of the count by giving their index another name.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from configs.errors import MachineError
from data_pipeline.shards.atomic import fsync_directory
from pretrain.checkpoint.file import write_file

INDEX = "index.json"
ABANDONED = "index.abandoned.json"
FORMAT_VERSION = 1
_NAME = re.compile(r"step-(\d+)-life-(\d+)")


@dataclass(frozen=True, order=True)
class CheckpointPath:
    """A complete checkpoint; ordered by step, then life."""

    step: int
    life: int
    path: Path


def checkpoint_directory(run_dir: Path, step: int, life: int) -> Path:
    """The directory of the checkpoint that holds the state after update `step`, written in life `life`."""
    return run_dir / "checkpoints" / f"step-{step:08d}-life-{life:04d}"


def directories(run_dir: Path) -> list[tuple[int, int, Path]]:
    """(step, life, path) of every checkpoint directory, finished or not."""
    found = []
    for path in (run_dir / "checkpoints").glob("step-*-life-*"):
        if match := _NAME.fullmatch(path.name):
            found.append((int(match[1]), int(match[2]), path))
    return sorted(found)


def newest(run_dir: Path) -> CheckpointPath | None:
    """The newest complete checkpoint of a run, or None."""
    complete = [CheckpointPath(*entry) for entry in directories(run_dir) if (entry[2] / INDEX).is_file()]
    return max(complete, default=None)


def last_life(run_dir: Path) -> int:
    """The highest life that left a checkpoint directory, finished or not; 0 when there is none."""
    return max((life for _, life, _ in directories(run_dir)), default=0)


def abandon_beyond(run_dir: Path, step: int) -> list[Path]:
    """Takes every complete checkpoint after `step` out of the count, for a rollback to `step`; returns their directories.

    Durable when it returns. The highest goes first, so that a death in between leaves the newest one nearer to the target,
    and doing it again ends it. Raises OSError. By one rank only.
    """
    beyond = [path for found, _, path in reversed(directories(run_dir)) if found > step and (path / INDEX).is_file()]
    for path in beyond:
        (path / INDEX).replace(path / ABANDONED)
        fsync_directory(path)
    return beyond


def remove_leftovers(run_dir: Path, life: int) -> list[Path]:
    """Removes what lives before `life` began to write and did not end; returns the directories. By one rank only.

    A checkpoint with an index, abandoned or not, is never touched. What cannot be removed stays and does no harm.
    """
    unfinished = [path for _, written_in, path in directories(run_dir)
                  if written_in < life and not (path / INDEX).exists() and not (path / ABANDONED).exists()]  # fmt: skip
    for path in unfinished:
        shutil.rmtree(path, ignore_errors=True)
    return [path for path in unfinished if not path.exists()]


def _text(index: dict[str, Any]) -> bytes:
    return json.dumps(index, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _digest(index: dict[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(_text({key: value for key, value in index.items() if key != "digest"}))


def write_index(directory: Path, index: dict[str, Any]) -> None:
    """Writes index.json, whole or not at all, with a digest of itself."""
    index = {"format_version": FORMAT_VERSION, **index}
    index["digest"] = _digest(index)
    write_file(directory / INDEX, [_text(index)])


def read_index(directory: Path) -> dict[str, Any]:
    """The index of a complete checkpoint. MachineError when it is damaged, of a newer format, or names a path outside."""
    path = directory / INDEX
    go_on = "resume from an older checkpoint: move this directory away and start the same command again"
    try:
        found = path.read_bytes()
        index = json.loads(found)
        # The text itself too: another spelling of the same values is not what was written.
        damaged = index.get("digest") != _digest(index) or found != _text(index)
    except (ValueError, AttributeError, OSError) as error:
        raise MachineError(f"checkpoint index cannot be read: {error}", str(path), go_on=go_on) from error
    if damaged:
        raise MachineError("checkpoint index is damaged: its digest does not match", str(path), go_on=go_on)
    if index["format_version"] > FORMAT_VERSION:
        raise MachineError(
            f"checkpoint format {index['format_version']} is newer than this program's {FORMAT_VERSION}",
            str(path),
            go_on="use the version of millrace that wrote it, or a newer one",
        )
    for name in index["files"]:
        if Path(name).name != name:
            raise MachineError(f"checkpoint index names a path outside its directory: {name!r}", str(path), go_on=go_on)
    return index
