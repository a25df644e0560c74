"""Which rank of a job failed first, on whatever node: `python -m launchers.slurm.failure FOLDER JOB` tells it in the log
of the batch script, and `millrace jobs` from there.

The launcher of each node leaves a record of the first of its ranks. Of those records the first is that of the rank whose
log fell silent first: peers of a dead rank notice through the collective they wait in, and write their own errors after
it. So far as the nodes' clocks agree, which for a failure and its echo in the same millisecond they need not.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from launchers.local import last_words

_SRUN = re.compile(r"^srun: error: (\S+): tasks? ([0-9]+)[^:]*: (.+)$", re.MULTILINE)

RESTART = "restart"
"""Begins the line by which the batch script marks each life after the first, as in `restart 2`."""


@dataclass(frozen=True)
class Failure:
    """Of the first rank of a node. at: nanoseconds since 1970. message: as it is told to the user."""

    node: str
    rank: int
    at: int
    message: str


def rank_logs(folder: Path, job: str, node: int) -> Path:
    """Where the logs of the ranks of a job's `node`-th node lie, and the record of their failure."""
    return folder / f"job-{job}-node-{node}"


def write(directory: Path, failure: Failure) -> None:
    """Leaves the record in the directory of the node's rank logs."""
    temporary = directory / "failure.new"
    temporary.write_text(json.dumps(asdict(failure), ensure_ascii=False))
    temporary.replace(directory / "failure.json")


def forget(directory: Path) -> None:
    """Takes away the record of an earlier life."""
    (directory / "failure.json").unlink(missing_ok=True)


def first(folder: Path, job: str) -> str:
    """What the first failure in the job's last life says, "" where nothing tells of one.

    srun notes in the log of the batch script each launcher that ended badly, in that order. One that left no record was
    itself killed.
    """
    found = {}
    for path in folder.glob(f"job-{job}-node-*/failure.json"):
        found[path.parent.name.rpartition("-")[2]] = Failure(**json.loads(path.read_text()))
    last_life = re.split(rf"^{RESTART} \d+$", _text(folder / f"job-{job}.log"), flags=re.MULTILINE)[-1]
    if (noted := _SRUN.search(last_life)) and noted[2] not in found:
        node, place, how = noted.groups()
        words = last_words(_text(folder / f"job-{job}-node-{place}.log"))
        return f"the launcher on {node}: {how[0].lower()}{how[1:]}\n{words}".rstrip()
    return min(found.values(), key=lambda failure: (failure.at, failure.rank)).message if found else ""


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


if __name__ == "__main__":
    print(first(Path(sys.argv[1]), sys.argv[2]), flush=True)
