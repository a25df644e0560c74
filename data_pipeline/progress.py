"""Progress of the stages on stderr: a bar with rate and time left on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO


def amount(value: float, unit: str = "B") -> str:
    """`1234567` as `1.2 MB`; units other than bytes as `1,234,567 documents`."""
    if unit != "B":
        return f"{value:,.0f} {unit}"
    for prefix in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.0f} B" if not prefix else f"{value:.1f} {prefix}B"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """`75` as `1:15`, `3700` as `1:01:40`."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Stage:
    """One stage under way. A context manager; `advance` may be called from one thread only."""

    def __init__(self, name: str, total: float, unit: str, say: Callable[[str], None], every_seconds: float) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = 0.0
        self._say, self._every = say, every_seconds
        self._start = self._told = time.monotonic()

    def advance(self, by: float) -> None:
        """So much more is done, in the stage's unit."""
        self.done += by
        self.tick()

    def tick(self) -> None:
        """Time passes: tells the state if it is due."""
        now = time.monotonic()
        if now - self._told >= self._every:
            self._told = now
            self._say(self._line(now))

    def finish(self, complete: bool) -> None:
        seconds = time.monotonic() - self._start
        state = "done" if complete else "stopped"
        self._say(f"{self.name}: {state}, {amount(self.done, self.unit)} in {seconds:.1f} s ({self._rate(seconds)})")

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.finish(complete=kind is None)

    def _rate(self, seconds: float) -> str:
        return f"{amount(self.done / max(seconds, 1e-3), self.unit)}/s"

    def _line(self, now: float) -> str:
        seconds = now - self._start
        parts = [f"{self.name}: {amount(self.done, self.unit)}"]
        if self.total:
            parts = [f"{parts[0]} of {amount(self.total, self.unit)}", f"{self.done / self.total:.0%}"]
        parts.append(self._rate(seconds))
        if self.total and 0 < self.done <= self.total:
            parts.append(f"{duration(seconds / self.done * (self.total - self.done))} left")
        return ", ".join(parts)


class _BarStage(Stage):
    def __init__(self, name: str, total: float, unit: str, say: Callable[[str], None], console: Any) -> None:
        super().__init__(name, total, unit, say, every_seconds=0.1)
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(name, total=total or None, state="")
        self._bar.start()

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._told >= self._every:
            self._told = now
            state = self._line(now).removeprefix(f"{self.name}: ")
            self._bar.update(self._task, completed=self.done, state=state)

    def finish(self, complete: bool) -> None:
        self._bar.stop()
        super().finish(complete)


class Progress:
    """Where the stages report. stream: stderr unless told. every_seconds: between plain lines. quiet: nothing at all.

    Colours follow NO_COLOR and the terminal's own abilities.
    """

    def __init__(self, stream: TextIO | None = None, every_seconds: float = 5.0, quiet: bool = False) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._every = every_seconds
        self._quiet = quiet
        self._console: Any = None
        if not quiet and self._stream.isatty():
            from rich.console import Console

            console = Console(file=self._stream, highlight=False)
            self._console = None if console.is_dumb_terminal else console

    def say(self, line: str) -> None:
        """One line of plain text (crawled text included: nothing in it is taken for markup)."""
        if self._quiet:
            return
        if self._console is not None:
            self._console.print(line, markup=False, soft_wrap=True)
        else:
            print(line, file=self._stream, flush=True)

    def stage(self, name: str, total: float = 0, unit: str = "B") -> Stage:
        """Begins a stage of `total` units (0: unknown). Use as a context manager."""
        if self._console is not None:
            return _BarStage(name, total, unit, self.say, self._console)
        return Stage(name, total, unit, self.say, self._every)
