"""metrics.jsonl: one JSON object per line, appended and never rewritten. It is the truth about a run.

```
{"event": "start", "life": 1, "from_step": 0, ...}      first row of a life; voids earlier rows with step > from_step
{"life": 1, "step": 1, "loss": 10.82, "lr": 3e-06, ...}
{"life": 1, "step": 2, "loss": null, "nonfinite": {"loss": "nan"}, ...}
```
A process that dies in mid-write leaves a torn last line. Readers ignore it; the next writer first ends it with a
newline, so that its own first row stands alone. Floats are written so that reading gives the same 64 bits; those that
JSON cannot write are `null`, with their value in `nonfinite`.
"""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

from configs.errors import MachineError

FILE_NAME = "metrics.jsonl"
RESERVED = ("life", "step", "event", "nonfinite")

_log = logging.getLogger(__name__)


class MetricsLog:
    """The one writer of a run's metrics.jsonl. `start` first, then `row` as often as there is something to say.

    Each row is handed to the operating system whole, so it survives the process; `sync` makes it survive the machine.
    Raises MachineError when the file cannot be written.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = Path(run_dir) / FILE_NAME
        self.life = 0
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            size = os.fstat(self._file).st_size
            self._torn = size > 0 and os.pread(self._file, 1, size - 1) != b"\n"
        except OSError as error:
            raise self._fault(error) from error

    def start(self, life: int, from_step: int, **info: Any) -> None:
        """The first row of a life: earlier rows with step > from_step are void from here on. Synced to the disk."""
        self.life = life
        self._write({"event": "start", "life": life, "from_step": from_step}, info)
        self.sync()

    def row(self, step: int, **values: Any) -> None:
        """One row of this life. values: JSON values, or numpy and torch scalars. ValueError before `start`."""
        if not self.life:
            raise ValueError("a row before start(): no life to write it under")
        self._write({"life": self.life, "step": step}, values)

    def sync(self) -> None:
        """Returns once all rows are on the disk."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._fault(error) from error

    def close(self) -> None:
        """Syncs and closes. Harmless when called again."""
        if self._file >= 0:
            self.sync()
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write(self, row: dict[str, Any], values: dict[str, Any]) -> None:
        clash = [name for name in values if name in RESERVED]
        if clash:
            raise ValueError(f"names kept for the row itself: {', '.join(clash)}")
        nonfinite: dict[str, str] = {}
        for name, value in values.items():
            plain = value.item() if hasattr(value, "item") else value
            if isinstance(plain, float) and not math.isfinite(plain):
                nonfinite[name] = repr(plain)
                plain = None
            row[name] = plain
        if nonfinite:
            row["nonfinite"] = nonfinite
        line = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        data = b"\n" + line if self._torn else line
        try:
            self._torn = True
            while data:
                data = data[os.write(self._file, data) :]
            self._torn = False
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> MachineError:
        return MachineError(f"metrics cannot be written: {error.strerror}", str(self.path), saved="all earlier rows")


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The rows that hold, in the order of the file: those voided by a later start row are gone, start rows all stay.

    Values listed in `nonfinite` are given back as floats. No file: no rows. A line that is not JSON is skipped; it is
    expected as the last one and before a start row (torn by a death), anywhere else a warning is logged.
    """
    rows: list[dict[str, Any]] = []
    torn: int | None = None  # line number of a damaged line not yet explained
    for number, row in enumerate(_lines(run_dir), start=1):
        if row is None:
            _warn(run_dir, torn)
            torn = number
            continue
        if row.get("event") == "start":
            torn = None
            rows = [earlier for earlier in rows if _holds(earlier, row["from_step"])]
        _warn(run_dir, torn)
        torn = None
        for name, value in row.get("nonfinite", {}).items():
            row[name] = float(value)
        rows.append(row)
    return rows


def last_life(run_dir: Path) -> int:
    """The highest life that ever started in this run directory; 0 when none has."""
    return max((row["life"] for row in _lines(run_dir) if row is not None and row.get("event") == "start"), default=0)


def _holds(row: dict[str, Any], from_step: int) -> bool:
    return row.get("event") == "start" or row.get("step", 0) <= from_step


def _lines(run_dir: Path) -> list[dict[str, Any] | None]:
    """Each line's object, None for a line that is no JSON object. Blank lines are none."""
    try:
        data = (Path(run_dir) / FILE_NAME).read_bytes()
    except FileNotFoundError:
        return []
    result: list[dict[str, Any] | None] = []
    for line in data.split(b"\n"):
        if line:
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            result.append(row if _whole(row) else None)
    return result


def _whole(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("life"), int):
        return False
    return row.get("event") != "start" or isinstance(row.get("from_step"), int)


def _warn(run_dir: Path, line: int | None) -> None:
    if line is not None:
        _log.warning("%s: row %d is damaged and was skipped", Path(run_dir) / FILE_NAME, line)
