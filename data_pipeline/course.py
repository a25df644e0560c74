"""A run under way: what it works on, what its phases gave, and what it has measured of itself."""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.loader import Loaded
from data_pipeline import shards_stage
from data_pipeline.progress import Progress
from data_pipeline.tokenize.codec import Codec

Results = Sequence[dict[str, Any]]
"""The summaries of a phase, one per unit."""


@dataclass
class Cleaned:
    """The results of the phases up to the balance of domains and languages, one per unit."""

    documents: Results
    filtered: Results
    decided: Results
    balanced: Results


@dataclass
class Prepared:
    """All that comes between the documents' last cap and the first token. lots: results of that phase, one per unit."""

    lots: Results
    codec: Codec
    trained: dict[str, Any]
    shards: list[shards_stage.ShardJob]


class Course:
    """began: date and time; timings: one per phase, {"name", "seconds", "bytes"}."""

    def __init__(self, loaded: Loaded, out: Path, progress: Progress) -> None:
        self.loaded, self.config, self.out, self.progress = loaded, loaded.config, out, progress
        self.workers = workers_of(loaded)
        self.started = time.monotonic()
        self.began = datetime.datetime.now(datetime.UTC)
        self.timings: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[dict[str, Any]]:
        """Measures the seconds of one phase; yields its entry in `timings`, which takes `bytes` as well."""
        timing: dict[str, Any] = {"name": name}
        start = time.monotonic()
        yield timing
        timing["seconds"] = round(time.monotonic() - start, 3)
        self.timings.append(timing)


def workers_of(loaded: Loaded) -> int:
    """Processes that work at once: `data.workers`, or one per core available."""
    return loaded.config.data.workers or len(os.sched_getaffinity(0))
