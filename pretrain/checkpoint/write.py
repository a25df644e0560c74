"""Writing checkpoints while training goes on: every rank its own part, rank 0 the index, last.

A step waits for the copy to host memory only; a thread of each rank writes, fsyncs and hashes (`part.py`). The threads
use no collective, which would race with those of training. What became of them the ranks tell each other from the
main thread, between two steps, so that all of them see the end or the failure of a checkpoint at the same step.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from configs.errors import MachineError
from pretrain.checkpoint.directory import checkpoint_directory
from pretrain.checkpoint.file import Cancelled
from pretrain.checkpoint.part import PATIENCE_SECONDS, Part, complete, write_part
from pretrain.checkpoint.snapshot import Snapshot
from pretrain.parallel.engine import Engine

DONE, BUSY, FAILED = 0, 1, 2


@dataclass(frozen=True)
class Saved:
    """A complete checkpoint. stall_seconds: how long steps were blocked by it (copying, waiting for the one before, waiting
    at the end of a life). seconds: from the call to the index on the disk. Both on rank 0's clock."""

    step: int
    path: Path
    stall_seconds: float
    seconds: float


class _Writing:
    """One checkpoint on its way to the disk. error: what failed on this rank, with the file; "" while nothing did."""

    def __init__(self, directory: Path, rank: int, world_size: int, step: int, life: int, state: dict[str, Any],
                 part: Part, patience: float) -> None:  # fmt: skip
        self.directory, self.step, self.error = directory, step, ""
        self.began = self.ended = time.monotonic()
        self.stall_seconds = 0.0
        self.cancelled = threading.Event()

        def write() -> None:
            try:
                write_part(directory, rank, part, self.cancelled)
                if rank == 0:
                    complete(directory, world_size, step, life, state, self.cancelled, patience)
            except Cancelled:
                pass
            except BaseException as error:
                file = getattr(error, "filename", None) or directory
                reason = getattr(error, "strerror", None) or str(error)
                self.error = f"rank {rank}: {type(error).__name__}: {reason} ({file})"
            self.ended = time.monotonic()

        # A daemon: a process that has to end for another reason must not be held by a disk that hangs.
        self.thread = threading.Thread(target=write, name=f"checkpoint-{step}", daemon=True)

    @property
    def status(self) -> int:
        return FAILED if self.error else BUSY if self.thread.is_alive() else DONE


class CheckpointWriter:
    """Writes the checkpoints of a life, one at a time. All methods but `close` are collective.

    report: called on every rank for each checkpoint once it is complete. asynchronous: else `save` returns when it is.
    """

    def __init__(
        self,
        engine: Engine,
        run_dir: Path,
        life: int,
        asynchronous: bool = True,
        report: Callable[[Saved], None] = lambda saved: None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.engine, self.run_dir, self.life = engine, run_dir, life
        self.asynchronous, self.report, self.patience = asynchronous, report, patience
        self._snapshot = Snapshot()
        self._writing: _Writing | None = None

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Begins to write weights and optimizer state after update `step`; `state` (JSON) goes into the index beside them.

        Waits for the checkpoint before this one. Raises MachineError as `poll`.
        """
        began = time.monotonic()
        self.finish()
        ranks = self.engine.ranks
        directory = checkpoint_directory(self.run_dir, step, self.life)
        part = self._snapshot.take(self.engine)
        writing = _Writing(directory, ranks.rank, ranks.world_size, step, self.life, state, part, self.patience)
        writing.began = began
        writing.thread.start()
        writing.stall_seconds = time.monotonic() - began
        self._writing = writing
        if not self.asynchronous:
            self.finish()

    def poll(self) -> bool:
        """Between two steps: whether no checkpoint is on its way (any more). Reports one that has become complete.

        Raises MachineError on every rank when any rank could not write, naming rank and file; the directory then holds no
        index (or a whole one, whose last sync failed), weights and optimizer state are as they were, and another `save`
        may be tried.
        """
        writing = self._writing
        if writing is None:
            return True
        status = torch.tensor([writing.status], dtype=torch.int32, device=self.engine.device)
        dist.all_reduce(status, op=dist.ReduceOp.MAX)
        if status.item() == BUSY:
            return False
        self._writing = None
        if status.item() == FAILED:
            self._fail(writing)
        self.report(Saved(writing.step, writing.directory, writing.stall_seconds, writing.ended - writing.began))
        return True

    def _fail(self, writing: _Writing) -> None:
        writing.cancelled.set()
        writing.thread.join()
        errors: list[Any] = [None] * self.engine.ranks.world_size
        dist.all_gather_object(errors, writing.error)
        raise MachineError(
            f"checkpoint of step {writing.step} not written: " + "; ".join(error for error in errors if error),
            str(writing.directory),
            saved="the checkpoints before this one are complete",
            go_on="free space or mend the file system, then start the same command again",
        )

    def finish(self) -> None:
        """Returns when no checkpoint is on its way. Raises MachineError as `poll`."""
        began = time.monotonic()
        while self._writing is not None:
            # Not one long join: a rank whose thread failed must reach the others, whose threads wait for its record.
            self._writing.thread.join(0.01)
            self._writing.stall_seconds += time.monotonic() - began
            began = time.monotonic()
            self.poll()

    def close(self, patience: float = 30.0) -> None:
        """For a life that ends by an error: lets this rank's thread end what it began, without asking the other ranks."""
        if self._writing is not None:
            self._writing.thread.join(patience)
            if self._writing.error:
                print(f"checkpoint of step {self._writing.step} not written: {self._writing.error}",
                      file=sys.stderr, flush=True)  # fmt: skip
