"""What the ranks of tests of asynchronous checkpoints run."""

from __future__ import annotations

import errno
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from configs.errors import MachineError
from configs.schema.tree import Config
from pretrain.checkpoint import file, read
from pretrain.checkpoint.directory import newest
from pretrain.checkpoint.read import CheckpointReader
from pretrain.checkpoint.restore import restore
from pretrain.checkpoint.snapshot import Snapshot
from pretrain.checkpoint.write import CheckpointWriter, Saved
from pretrain.parallel.engine import Engine
from tests.distributed.cases import SEQUENCE, global_batch, make_config, make_engine


def steps(engine: Engine, config: Config, numbers: range) -> list[float]:
    """Losses of the updates."""
    losses = []
    for step in numbers:
        shared = global_batch(config, step, False).reshape(
            engine.layout.accumulation, engine.layout.dp, -1, SEQUENCE + 1
        )
        batch = torch.from_numpy(np.ascontiguousarray(shared[:, engine.ranks.dp_rank]))
        losses.append(engine.step(batch, 3e-3).loss)
    return losses


def train_while_a_save_is_under_way(layout: dict[str, Any], at_once: str, slowly: str) -> dict[str, Any]:
    """Saves step 2 synchronously to `at_once`, then the same state to `slowly` with a disk that takes two updates' time."""
    config = make_config("llama", layout)
    engine = make_engine(config)
    steps(engine, config, range(1, 3))
    CheckpointWriter(engine, Path(at_once), life=1, asynchronous=False).save(2, {"step": 2})
    saved: list[Saved] = []
    writer = CheckpointWriter(engine, Path(slowly), life=1, report=saved.append)
    disk_is_ready, real = threading.Event(), os.write

    def slow(descriptor: int, data: Any) -> int:
        if threading.current_thread().name.startswith("checkpoint"):
            disk_is_ready.wait(60)
        return real(descriptor, data)

    os.write = slow
    writer.save(2, {"step": 2})
    ended = []
    for step in (3, 4):
        steps(engine, config, range(step, step + 1))
        ended.append(writer.poll())
    disk_is_ready.set()
    writer.save(4, {"step": 4})  # waits for the one before
    during = [entry.step for entry in saved]
    writer.finish()
    return {"ended": ended, "during": during, "after": [entry.step for entry in saved],
            "stalls": [[entry.stall_seconds, entry.seconds] for entry in saved]}  # fmt: skip


def train_with_a_disk_that_fails(layout: dict[str, Any], run_dir: str) -> dict[str, Any]:
    """Rank 1's disk is full when step 2 is saved, and has room again for step 4."""
    config = make_config("gpt", layout)
    engine = make_engine(config)
    losses = steps(engine, config, range(1, 3))
    writer = CheckpointWriter(engine, Path(run_dir), life=1)
    real = file.os.fsync

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if engine.ranks.rank == 1:
        os.fsync = full
    writer.save(2, {})
    said = ""
    try:
        for step in (3, 4):
            losses += steps(engine, config, range(step, step + 1))
            writer.poll()
        writer.finish()
    except MachineError as error:
        said = str(error)
        done = len(losses)
    os.fsync = real
    losses += steps(engine, config, range(len(losses) + 1, 5))
    found = newest(Path(run_dir))
    writer.save(4, {})
    writer.finish()
    return {"said": said, "raised_after": done, "losses": losses, "newest": found and found.step}


def undisturbed(layout: dict[str, Any]) -> list[float]:
    """Losses of four updates without any checkpoint."""
    config = make_config("gpt", layout)
    return steps(make_engine(config), config, range(1, 5))


def wide(layout: dict[str, Any]) -> Config:
    """A model whose matrices are large beside everything else that a process allocates."""
    return Config.model_validate({
        "model": {"num_layers": 1, "hidden_size": 512, "num_heads": 8, "tie_embeddings": True}, "layout": layout,
        "train": {"global_batch": 4, "micro_batch": 1, "seq_length": SEQUENCE},
    })  # fmt: skip


def memory_of_saving(layout: dict[str, Any], run_dir: str) -> dict[str, int]:
    """Bytes of the host copy, and the most that was allocated beside it while a checkpoint was written."""
    config = wide(layout)
    engine = make_engine(config)
    steps(engine, config, range(1, 2))
    writer = CheckpointWriter(engine, Path(run_dir), life=1)
    tracemalloc.start()
    writer.save(1, {})
    writer.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"copied": Snapshot().take(engine).values.nbytes, "peak": peak}


def memory_of_restoring(layout: dict[str, Any], run_dir: str) -> dict[str, int]:
    """The most that was allocated while a fresh engine was filled, and the bytes of the largest slice this rank holds."""
    engine = make_engine(wide(layout))
    found = newest(Path(run_dir))
    assert found is not None
    reader = CheckpointReader(found.path)
    reader.verify()  # hashing reads blocks of its own
    read.BLOCK_BYTES = 1 << 16
    largest = max(part.numel for _, _, parts in engine.parameter_segments() for part in parts)
    dist.barrier()
    tracemalloc.start()
    restore(engine, reader)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"peak": peak, "largest": 4 * largest}
