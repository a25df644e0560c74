"""The worker's side of extraction: pages go to a process of its own, which is killed when a page takes too long.

A page costs at most its time limit and one rejection. A page that ends the process is tried once more in a fresh one, so
that a process the kernel took for lack of memory does not condemn an innocent page.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from configs.errors import MachineError
from configs.schema.extract import Extract
from data_pipeline.extract import bounds, child

_START_SECONDS = 300.0
# Of wall-clock time, in time limits: a page waits for a processor that others use, or sleeps for ever.
_PATIENCE = 20.0
_CPU_CLOCK_OF_PROCESS = 2  # of Linux: clock_getcpuclockid(3) makes a clock of a process id like this


class _Slow(Exception):
    pass


class _Gone(Exception):
    """The process ended while it held the page."""

    def __init__(self, status: int) -> None:
        self.status = status


@dataclass(frozen=True)
class Page:
    """text: "" where the page has none. said: metadata of the page. refused: reason and measured value, or None."""

    text: str = ""
    said: dict[str, str] | None = None
    refused: tuple[str, float] | None = None


class Guard:
    """Extracts pages in a process that it starts when the first page comes, and again after each that it lost.

    Raises MachineError where that process cannot start at all.
    """

    def __init__(self, config: Extract) -> None:
        self._config = config
        self._bounds = bounds.Bounds(config.max_depth, config.max_nodes, config.max_attributes)
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int | None:
        """Of the process that extracts, None while there is none."""
        return self._process.pid if self._process else None

    def read(self, data: bytes, charset: str) -> Page:
        """What becomes of a page. Refused by the bounds, with `extract_timeout` (value: the limit in seconds) or with
        `extract_crash` (value: the signal, 0 for an error that a library raised)."""
        refused = bounds.refusal(data, self._bounds)
        if refused is not None:
            return Page(refused=(refused[0], float(refused[1])))
        for last in (False, True):
            try:
                return self._ask(data, charset)
            except _Slow:
                self.close(kill=True)
                return Page(refused=("extract_timeout", self._config.time_limit))
            except _Gone as gone:
                self.close(kill=True)
                if last:
                    return Page(refused=("extract_crash", float(abs(gone.status))))
        raise AssertionError("unreachable")

    def close(self, kill: bool = False) -> None:
        """Ends the process; `kill` where it may not listen."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        if kill:
            process.kill()
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        process.wait()

    def _ask(self, data: bytes, charset: str) -> Page:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        named = charset.encode("utf-8", "replace")[:100]
        deadline = _Deadline(process, self._config.time_limit)
        self._send(process, [child.REQUEST.pack(len(data), len(named)) + named, data], deadline)
        kind, first, second = self._receive(process, deadline)
        if kind == child.FAILED:
            return Page(refused=("extract_crash", 0.0))
        said: dict[str, str] = json.loads(second) if second else {}
        return Page(first.decode(), said)

    def _send(self, process: subprocess.Popen[bytes], parts: list[bytes], deadline: _Deadline) -> None:
        assert process.stdin is not None
        left = [memoryview(part) for part in parts if part]
        into = process.stdin.fileno()
        while left:
            try:
                sent = os.writev(into, left)
                while left and sent >= len(left[0]):
                    sent -= len(left.pop(0))
                if left:
                    left[0] = left[0][sent:]
            except BlockingIOError:
                if not select.select([], [into], [], deadline.wait())[1]:
                    deadline.check()
            except BrokenPipeError:
                raise _Gone(process.wait()) from None

    def _receive(self, process: subprocess.Popen[bytes], deadline: _Deadline) -> tuple[int, bytes, bytes]:
        header = self._take(process, child.ANSWER.size, deadline)
        kind, first, second = child.ANSWER.unpack(header)
        parts = self._take(process, first + second, deadline)
        return kind, parts[:first], parts[first:]

    def _take(self, process: subprocess.Popen[bytes], size: int, deadline: _Deadline) -> bytes:
        assert process.stdout is not None
        source = process.stdout.fileno()
        taken = bytearray()
        while len(taken) < size:
            try:
                some = os.read(source, size - len(taken))
            except BlockingIOError:
                if not select.select([source], [], [], deadline.wait())[0]:
                    deadline.check()
                continue
            if not some:
                raise _Gone(process.wait())
            taken += some
        return bytes(taken)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner == os.getpid():
            return self._process
        config = self._config
        self._owner = os.getpid()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", child.__name__, str(os.getpid()), config.method, str(config.memory_limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(pipe.fileno(), False)
            _widen(pipe.fileno())
        try:
            self._receive(process, _Deadline(process, _START_SECONDS))
        except (_Gone, _Slow) as error:
            self.close(kill=True)
            how = f"ended with status {error.status}" if isinstance(error, _Gone) else "said nothing"
            raise MachineError(
                f"the process that extracts pages does not start: it {how}",
                where=f"extract.method={config.method}",
                saved="every unit finished before",
                go_on=f"what it wrote stands above; `{sys.executable} -c 'import resiliparse, trafilatura'` shows whether "
                "its libraries are there",
            ) from None
        return process


class _Deadline:
    """A limit in seconds of the process's processor time, checked when that much time has passed; and `_PATIENCE`
    times as much of the clock on the wall."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process = process
        self._used = _cpu_seconds(process)
        self._began = time.monotonic()
        self._seconds = self._left = seconds

    def wait(self) -> float:
        """Seconds to wait before the next check."""
        return max(self._left, 0.01)

    def check(self) -> None:
        """Raises _Slow where the limit is reached."""
        passed = time.monotonic() - self._began
        used = _cpu_seconds(self._process)
        self._left = self._seconds - (passed if used is None or self._used is None else used - self._used)
        if self._left <= 0 or passed >= _PATIENCE * self._seconds:
            raise _Slow


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float | None:
    """Processor time that the process took so far; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        return time.clock_gettime((~process.pid << 3) | _CPU_CLOCK_OF_PROCESS)
    except OSError:
        return None


def _widen(pipe: int) -> None:
    """A page and its text pass in few pieces."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)


_guards: dict[tuple[Any, ...], Guard] = {}


def guard_of(config: Extract) -> Guard:
    """This process's guard for a configuration: one at a time, kept from unit to unit."""
    key = (os.getpid(), config.model_dump_json())
    if key not in _guards:
        for other in _guards.values():
            other.close()
        _guards.clear()
        _guards[key] = Guard(config)
    return _guards[key]
