"""Jobs for the tests of the pool: a worker imports them by name."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from configs.errors import MachineError, Problem, UserError
from data_pipeline.pool import advance


@dataclass(frozen=True)
class Task:
    name: str
    folder: Path
    size: int = 100

    def __str__(self):
        return f"task {self.name}"


def write(task):
    """Does a little of its bytes at a time, and leaves a file that tells that it ran."""
    for _ in range(4):
        advance(task.size // 4)
    with (task.folder / task.name).open("a") as file:
        file.write("x")
    return {"name": task.name, "square": task.size**2}


def finished(task):
    return {"name": task.name, "square": task.size**2} if (task.folder / task.name).exists() else None


def imported(task):
    return {"modules": sorted(sys.modules), "path": sys.path}


def fail(task):
    if task.name == "user":
        raise UserError(Problem("one", "here", "so"), Problem("two"))
    if task.name == "machine":
        raise MachineError("what", "where", "saved", "go on")
    if task.name == "other":
        raise ZeroDivisionError("oh")
    return {}


def die(task):
    if task.name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.name == "left":
        os._exit(7)
    return write(task)


def hang(task):
    (task.folder / f"{task.name}.pid").write_text(str(os.getpid()))
    time.sleep(3600)
    return {}
