"""A log shown on the terminal while it grows, up to the point where it ends in a failure."""

from __future__ import annotations

import codecs
import re
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

_FAILURE = re.compile(r"Traceback \(most recent call last\):|error: |fault: ")
_HOLD_SECONDS = 12.0  # longer than the launcher takes to stop the other ranks


class LiveLog:
    """Follow `path` and copy its lines to stdout.

    From a failure's message on the text is held back, since the launcher tells it once, with what it knows of the other
    ranks. It is shown after all when the rank lives on or when `release` says that nobody else tells it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: list[str] = []
        self._held_since = 0.0
        self._partial = ""
        self._offset = 0
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="live-log", daemon=True)

    def __enter__(self) -> LiveLog:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._finish()

    def release(self) -> None:
        """Show what was held back."""
        self._finish()
        self._show()

    def _finish(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        self._read()
        if self._partial:
            self._take(self._partial)

    def _follow(self) -> None:
        while not self._stop.wait(0.1):
            self._read()
            if self._held and time.monotonic() - self._held_since > _HOLD_SECONDS:  # only a warning
                self._show()

    def _read(self) -> None:
        """Take the lines written since the last time."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        self._offset += len(new)
        *lines, self._partial = (self._partial + self._decode(new)).split("\n")
        for line in lines:
            self._take(f"{line}\n")

    def _take(self, line: str) -> None:
        if not self._held and not _FAILURE.match(line):
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        if not self._held:
            self._held_since = time.monotonic()
        self._held.append(line)

    def _show(self) -> None:
        sys.stdout.write("".join(self._held))
        sys.stdout.flush()
        self._held = []
