"""The logs of a job, as they are and as they grow."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from launchers.slurm.records import Submitted

_LOOK_SECONDS, _ASK_SECONDS = 0.5, 3.0


def lines(job: Submitted, node: str, more: Callable[[], bool] | None) -> Iterator[str]:
    """Lines of the job's logs, each with the log's name before it where there are several, `n1 | text`.

    node: only the log of that node, by its name or its place in the job. more: asked every few seconds whether to wait
    for further lines; None: no waiting.
    """
    places: dict[Path, int] = {}
    asked, waiting = time.monotonic(), more is not None
    while True:
        logs = [path for path in job.logs() if not node or _is_of(path, node)]
        for path in logs:
            with path.open("rb") as file:
                file.seek(places.get(path, 0))
                new = file.read()
            # A line that is still being written waits, unless nobody will come back for it.
            whole = new if not waiting else new[: new.rfind(b"\n") + 1]
            places[path] = places.get(path, 0) + len(whole)
            label = path.stem.removeprefix(f"job-{job.id}").lstrip("-_") or "job"
            for line in whole.decode("utf-8", errors="replace").splitlines():
                yield f"{label} | {line}" if len(job.logs()) > 1 and not node else line
        if not waiting:
            return
        time.sleep(_LOOK_SECONDS)
        if more is not None and time.monotonic() - asked > _ASK_SECONDS:
            asked, waiting = time.monotonic(), more()


def _is_of(log: Path, node: str) -> bool:
    """Whether it is the node's log; the launcher writes the node's name at its top."""
    if log.stem.endswith(f"-node-{node}"):
        return True
    with log.open("rb") as file:
        return re.search(rf"^node {re.escape(node)}: rank".encode(), file.read(4096), re.MULTILINE) is not None
