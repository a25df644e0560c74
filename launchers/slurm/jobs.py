"""What became of the jobs: the queue for those alive or ended lately, accounting for the others, logs for why one failed.

Neither alone tells it all: accounting lags behind the queue, calls a preempted job ended that waits to start again, and
may be absent; the queue forgets a job minutes after its end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from launchers.local import last_words
from launchers.slurm import failure
from launchers.slurm.client import call
from launchers.slurm.records import Submitted, records

UNKNOWN = "UNKNOWN"
ALIVE = frozenset({"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD",
                   "REQUEUE_FED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SPECIAL_EXIT"})  # fmt: skip
"""States from which a job may still do something. UNKNOWN is not among them."""


@dataclass
class State:
    """Of one job, or of all parts of an array. state: Slurm's word, or `COMPLETED 3, FAILED 1`. restarts: the most of
    any part. elapsed: of the current life, as Slurm writes it. reason: why it waits or how it ended; "" when well."""

    state: str
    restarts: int = 0
    nodes: str = ""
    elapsed: str = ""
    reason: str = ""

    @property
    def alive(self) -> bool:
        """Whether anything of it runs or waits."""
        return any(part.split()[0] in ALIVE for part in self.state.split(", "))

    @property
    def failed(self) -> bool:
        """Whether anything of it ended otherwise than well."""
        return any(part.split()[0] not in {*ALIVE, "COMPLETED", UNKNOWN} for part in self.state.split(", "))


def states(jobs: Sequence[Submitted]) -> dict[str, State]:
    """By id. A job that neither queue nor accounting knows is UNKNOWN."""
    if not jobs:
        return {}
    ids, arrays = {job.id for job in jobs}, {job.id for job in jobs if job.parts}
    rows: dict[str, dict[str, State]] = {id: {} for id in ids}
    for part, state in [*_accounted(ids), *_queued()]:  # the queue knows better
        id, parts = _parts(part)
        if id in rows:
            # Accounting first knows the last part of an array by the array's own number, as if it were no part.
            rows[id] |= {place: state for place in parts if place or id not in arrays}
    return {id: _together(list(parts.values())) for id, parts in rows.items()}


def _parts(part: str) -> tuple[str, list[str]]:
    """`12` -> 12 and [""]; `12_3` -> 12 and ["3"]; `12_[0-1,3%2]` -> 12 and ["0", "1", "3"]."""
    id, _, places = part.partition("_")
    found = []
    for piece in places.strip("[]").partition("%")[0].split(","):
        first, _, last = piece.partition("-")
        found += [str(n) for n in range(int(first), int(last) + 1)] if last else [first]
    return id, found


def _accounted(ids: set[str]) -> list[tuple[str, State]]:
    """Rows of sacct, the newest life of each job last; none where there is no accounting."""
    fields = "JobID,State,ExitCode,NodeList,Elapsed"
    try:
        shown = call("sacct", "-X", "-D", "-n", "-P", "-j", ",".join(sorted(ids)), "-o", fields)
    except UserError:
        return []
    lives: dict[str, State] = {}
    for line in shown.splitlines():
        part, state, status, nodes, elapsed = line.split("|")
        word = state.split()[0].rstrip("+")
        if word in ALIVE:
            continue  # the queue has it, or it is a life that was lost with its node
        code, _, number = status.partition(":")
        restarts = lives[part].restarts + 1 if part in lives else 0
        lives[part] = State(word, restarts, _none(nodes), elapsed, _ended(word, int(code or 0), int(number or 0)))
    return list(lives.items())


_COLUMNS = {
    "JobArrayID": 80,
    "State": 20,
    "exit_code": 12,
    "RestartCnt": 12,
    "TimeUsed": 20,
    "Reason": 60,
    "NodeList": 400,
}


def _queued() -> list[tuple[str, State]]:
    """Rows of the queue that belong to this user, with the jobs that ended lately."""
    found = []
    wanted = ",".join(f"{name}:{width}" for name, width in _COLUMNS.items())
    for line in call("squeue", "--me", "-h", "--states=all", "-O", wanted).splitlines():
        cells, start = [], 0
        for width in _COLUMNS.values():
            cells.append(line[start : start + width].strip())
            start += width
        part, word, status, restarts, elapsed, reason, nodes = cells
        waits = "" if word == "RUNNING" or reason == "None" else reason
        ended = _ended(word, int(status) >> 8, int(status) & 0x7F)  # as wait(2) gives it
        found.append((part, State(word, int(restarts), _none(nodes), elapsed, waits if word in ALIVE else ended)))
    return found


def _ended(word: str, code: int, number: int) -> str:
    if word in {"COMPLETED", *ALIVE}:
        return ""
    return f"signal {number}" if number else f"exit status {code}" if code else ""


def _none(nodes: str) -> str:
    return "" if nodes in ("None assigned", "(null)") else nodes


def _together(parts: Sequence[State]) -> State:
    if not parts:
        return State(UNKNOWN, reason="neither the queue nor accounting knows it")
    if len(parts) == 1:
        return parts[0]
    counts = Counter(part.state for part in parts)
    words = (
        ", ".join(f"{state} {count}" for state, count in sorted(counts.items())) if len(counts) > 1 else parts[0].state
    )
    return State(
        words,
        max(part.restarts for part in parts),
        ",".join(sorted({part.nodes for part in parts if part.nodes})),
        max((part.elapsed for part in parts), key=lambda text: (len(text), text)),
        next((part.reason for part in parts if part.reason), ""),
    )


def active(directory: Path) -> tuple[Submitted, str] | None:
    """A job that waits or runs and works on `directory`, with its state."""
    mine = [job for job in records() if job.directory == str(directory.absolute())]
    known = states(mine)
    return next(((job, known[job.id].state) for job in mine if known[job.id].alive), None)


# --- why a job failed ---------------------------------------------------------------------------------------------


def why(job: Submitted) -> str:
    """The words of the first rank or task that failed, from the logs; "" where none says anything."""
    if words := failure.first(Path(job.folder), job.id):
        return words
    texts = {log: log.read_text(encoding="utf-8", errors="replace") for log in job.logs()}
    told = [last_words(text) for text in texts.values() if re.search(r"^(error|fault|Traceback)", text, re.MULTILINE)]
    return told[0] if told else last_words(texts.get(Path(job.folder) / f"job-{job.id}.log", ""))


def headline(why: str) -> str:
    """The one line of it that says most: the first error, else the exception, else the last fault's message."""
    lines = [line for line in why.strip().split("\n") if line[:1].strip()]
    if errors := [line for line in lines if line.startswith("error: ")]:
        return errors[0]
    faults = [line for line in lines if line.startswith("fault: ")]
    return faults[-1] if faults and "Traceback" not in why else lines[-1] if lines else ""
