"""Runs one function over many units in worker processes.

The results do not depend on the number of workers. Workers die with the parent, even if that is killed by SIGKILL; a
worker that dies names its unit. Units whose outputs are finished are not done again.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Any, TypeVar

from configs.errors import MachineError, UserError
from configs.schema.tree import Config
from data_pipeline.forkserver import FOLDER
from data_pipeline.progress import Progress, Stage
from data_pipeline.units import Unit

# Imported once, in the server the workers are forked from.
_PRELOAD = ["data_pipeline.forkserver", "data_pipeline.documents_stage", "pyarrow", "numpy", "xxhash", "zstandard"]
_ADVANCE_EVERY_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1

_advance: Callable[[int], None] | None = None


@dataclass(frozen=True)
class Job:
    """One unit of one stage. Picklable: it is sent to a worker. `str` names it in messages."""

    config: Config
    out: Path
    unit: Unit

    def __str__(self) -> str:
        return str(self.unit)


J = TypeVar("J")


def advance(by: int) -> None:
    """Told by a running job: so many more of its bytes are done. Outside of `run_units` it does nothing."""
    if _advance is not None:
        _advance(by)


def run_units(
    phase: str,
    jobs: Sequence[J],
    function: Callable[[J], dict[str, Any]],
    workers: int,
    finished: Callable[[J], dict[str, Any] | None],
    bytes_of: Callable[[J], int],
    report: Progress,
) -> list[dict[str, Any]]:
    """The results of `function` for each job, in the order of `jobs`.

    function: a module's top-level function (it is sent by name). workers: processes; 0: one per core available; 1
    runs in this process. finished: the result of a job whose outputs exist with the right fingerprint, else None.
    bytes_of: the job's share of the progress bar. `str(job)` names a job.

    Raises what a job raised (UserError and MachineError as they are, anything else as a MachineError that names the
    job and holds the traceback), and MachineError when a worker dies. Other jobs under way are then broken off: their
    outputs are atomic, so nothing half-made stays.
    """
    results: dict[int, dict[str, Any]] = {}
    for index, job in enumerate(jobs):
        result = finished(job)
        if result is not None:
            results[index] = result
    todo = [index for index in range(len(jobs)) if index not in results]
    if results:
        report.say(f"{phase}: {len(results)} of {len(jobs)} units are finished already, {len(todo)} to do")
    if todo:
        workers = min(workers or len(os.sched_getaffinity(0)), len(todo))
        with report.stage(phase, sum(bytes_of(jobs[index]) for index in todo)) as stage:
            # The largest first: the last to finish then decide least. The results' order is that of the jobs.
            todo.sort(key=lambda index: (-bytes_of(jobs[index]), index))
            run = _run_here if workers == 1 else _run_in_workers
            for index, result in run(jobs, todo, function, workers, bytes_of, stage):
                results[index] = result
    return [results[index] for index in range(len(jobs))]


class _Share:
    """Keeps a job's part of the bar at its announced size, however much the job itself tells."""

    def __init__(self, stage: Stage, size: int) -> None:
        self._stage, self._left = stage, size

    def advance(self, by: int) -> None:
        by = min(by, self._left)
        self._left -= by
        self._stage.advance(by)

    def close(self) -> None:
        self.advance(self._left)


def _run_here(
    jobs: Sequence[J],
    todo: list[int],
    function: Callable[[J], dict[str, Any]],
    workers: int,
    bytes_of: Callable[[J], int],
    stage: Stage,
) -> Iterator[tuple[int, dict[str, Any]]]:
    global _advance
    for index in todo:
        share = _Share(stage, bytes_of(jobs[index]))
        _advance = share.advance
        try:
            result = function(jobs[index])
        except (UserError, MachineError):
            raise
        except Exception as error:
            raise _job_fault(str(jobs[index]), repr(error), traceback.format_exc()) from error
        finally:
            _advance = None
        share.close()
        yield index, result


@dataclass
class _Worker:
    process: ForkServerProcess
    pipe: connection.Connection
    index: int
    share: _Share


def _run_in_workers(
    jobs: Sequence[J],
    todo: list[int],
    function: Callable[[J], dict[str, Any]],
    workers: int,
    bytes_of: Callable[[J], int],
    stage: Stage,
) -> Iterator[tuple[int, dict[str, Any]]]:
    waiting = iter(todo)
    running: dict[connection.Connection, _Worker] = {}
    everyone: list[ForkServerProcess] = []
    try:
        for _ in range(workers):
            process, pipe = _start(function)
            everyone.append(process)
            running[pipe] = _Worker(process, pipe, -1, _Share(stage, 0))
            _hand_out(running, pipe, jobs, waiting, bytes_of, stage)
        while running:
            stage.tick()
            for ready in connection.wait(list(running), timeout=0.2):
                assert isinstance(ready, connection.Connection)
                worker = running[ready]
                try:
                    kind, value = ready.recv()
                except (EOFError, OSError):
                    raise _death(worker, str(jobs[worker.index])) from None
                if kind == "advance":
                    worker.share.advance(value)
                elif kind == "result":
                    worker.share.close()
                    done = worker.index
                    _hand_out(running, ready, jobs, waiting, bytes_of, stage)
                    yield done, value
                else:
                    raise _rebuilt(kind, value, str(jobs[worker.index]))
    finally:
        for process in everyone:
            process.kill()
        for process in everyone:
            process.join()
        for pipe in running:
            pipe.close()


def _hand_out(
    running: dict[connection.Connection, _Worker],
    pipe: connection.Connection,
    jobs: Sequence[J],
    waiting: Iterator[int],
    bytes_of: Callable[[J], int],
    stage: Stage,
) -> None:
    """Gives the worker its next job, or lets it go."""
    worker = running[pipe]
    index = next(waiting, None)
    if index is None:
        del running[pipe]
        pipe.close()
        return
    worker.index, worker.share = index, _Share(stage, bytes_of(jobs[index]))
    try:
        pipe.send(jobs[index])
    except OSError:
        raise _death(worker, str(jobs[index])) from None


def _start(function: Callable[[J], dict[str, Any]]) -> tuple[ForkServerProcess, connection.Connection]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, function), daemon=True)
    with _environment(PYTHONSAFEPATH="1", **{FOLDER: get_temp_dir()}):
        process.start()
    theirs.close()
    return process, ours


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """What the server, and the processes forked from it, find there. PYTHONSAFEPATH: the current folder must not shadow
    modules."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(pipe: connection.Connection, function: Callable[[Any], dict[str, Any]]) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    _die_with_parent()
    global _advance
    _advance = _Teller(pipe).advance
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        message: tuple[str, Any]
        try:
            message = ("result", function(job))
        except UserError as error:
            message = ("user", error.problems)
        except MachineError as error:
            message = ("machine", (type(error), error.what, error.where, error.saved, error.go_on))
        except Exception as error:
            message = ("fault", (repr(error), traceback.format_exc()))
        pipe.send(message)


class _Teller:
    """Sends progress to the parent a few times a second."""

    def __init__(self, pipe: connection.Connection) -> None:
        self._pipe, self._pending, self._told = pipe, 0, time.monotonic()

    def advance(self, by: int) -> None:
        self._pending += by
        if time.monotonic() - self._told >= _ADVANCE_EVERY_SECONDS:
            self._pipe.send(("advance", self._pending))
            self._pending, self._told = 0, time.monotonic()


def _die_with_parent() -> None:
    """The parent's death closes its end of a pipe, which a thread watches. The kernel's signal comes beside it, for a
    worker that is deep in C code: it follows the server this process was forked from, which ends with the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _death(worker: _Worker, job: str) -> MachineError:
    worker.process.join(timeout=10)
    code = worker.process.exitcode
    if code is not None and code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            how += " (often: out of memory)"
    else:
        how = f"ended with status {code}"
    return MachineError(
        f"a worker {how}",
        where=job,
        saved="every unit finished before",
        go_on="give the same command again: finished units are not done again; fewer workers (data.workers) need "
        "less memory",
    )


def _job_fault(job: str, error: str, trace: str) -> MachineError:
    fault = MachineError(
        f"a unit failed: {error}",
        where=job,
        saved="every unit finished before",
        go_on="the traceback shows the place; finished units are not done again",
    )
    fault.add_note(trace)
    return fault


def _rebuilt(kind: str, value: Any, job: str) -> Exception:
    if kind == "user":
        return UserError(*value)
    if kind == "machine":
        made, what, where, saved, go_on = value
        fault = made(what, where, saved, go_on)
        assert isinstance(fault, MachineError)
        return fault
    return _job_fault(job, *value)
