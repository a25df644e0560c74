"""Kills savers of checkpoints at random moments: `python -m tests.pretrain.kills RUN_DIR COUNT SEED`, a process of its own.

Single-threaded and without torch, so that a saver is a fork that costs a millisecond. After each kill the newest
checkpoint must be the last one that the saver told of, or the one after it, whole.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from pretrain.checkpoint.directory import checkpoint_directory, directories, newest, remove_leftovers
from pretrain.checkpoint.part import Part, complete, write_part
from pretrain.checkpoint.pieces import Piece
from pretrain.checkpoint.read import CheckpointReader

RANKS, ELEMENTS = 2, 40_000


def part(rank: int, step: int) -> Part:
    """Rank's half of tensor x, every element of it the step."""
    piece = Piece("x", (RANKS * ELEMENTS,), ((0, RANKS * ELEMENTS),), rank * ELEMENTS, (rank + 1) * ELEMENTS)
    values = np.full(ELEMENTS, step, dtype=np.float32)
    return Part([{**piece.to_json(), "key": "x/0"}], [("x/0/weight", ELEMENTS)], values)


def save(run_dir: Path, step: int, life: int) -> None:
    """As the threads of the ranks do: each its part, rank 0 then the index."""
    directory = checkpoint_directory(run_dir, step, life)
    threads = [threading.Thread(target=write_part, args=(directory, r, part(r, step))) for r in range(1, RANKS)]
    for thread in threads:
        thread.start()
    write_part(directory, 0, part(0, step))
    complete(directory, RANKS, step, life, {"step": step})
    for thread in threads:
        thread.join()


def saver(run_dir: Path, first: int, life: int, told: int) -> None:
    """Saves first, first + 1, ... for ever and tells of each."""
    step = first
    while True:
        save(run_dir, step, life)
        os.write(told, step.to_bytes(4, "little"))
        step += 1


def check(run_dir: Path, told: int) -> int:
    """The step of the newest checkpoint, which is whole and `told` or the one after it."""
    found = newest(run_dir)
    step = found.step if found else 0
    assert step in (told, told + 1), f"told of {told}, found {step}"
    if found:
        reader = CheckpointReader(found.path)
        size = RANKS * ELEMENTS
        values = reader.read(Piece("x", (size,), ((0, size),), 0, size), "weight")
        assert (values == step).all() and reader.state == {"step": step}
    return step


def main(run_dir: Path, count: int, seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    began = time.monotonic()
    for step in (1, 2, 3):
        save(run_dir / "measured", step, 1)
    longest = (time.monotonic() - began) / 3 * 2.5
    newest_step, in_mid_write, moved = 0, 0, 0
    for life in range(1, count + 1):
        receive, send = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(receive)
            saver(run_dir, newest_step + 1, life, send)
        os.close(send)
        time.sleep(rng.uniform(0, longest))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "the saver ended by itself"
        with os.fdopen(receive, "rb") as pipe:
            telling = pipe.read()
        told = int.from_bytes(telling[-4:], "little") if telling else newest_step
        step = check(run_dir, told)
        moved += step > newest_step
        newest_step = step
        in_mid_write += bool(remove_leftovers(run_dir, life + 1))
        assert check(run_dir, step) == step
        for found, _, path in directories(run_dir):
            if found < step:
                for file in path.iterdir():
                    file.unlink()
                path.rmdir()
    return {"kills": count, "in_mid_write": in_mid_write, "moved": moved, "saved": newest_step}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
