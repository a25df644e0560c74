"""The record of a submitted job: what `millrace jobs`, `logs` and `cancel` find it by."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from launchers.slurm.client import private_directory


@dataclass(frozen=True)
class Submitted:
    """The record of a job. submission: id of the first job of the same command. directory: what the job works on
    (run or corpus). parts: tasks of an array, 0 for none. nodes, tasks_per_node: what was asked for."""

    id: str
    submission: str
    cluster: str
    name: str
    directory: str
    folder: str
    script: str
    parts: int
    nodes: int
    tasks_per_node: int
    submitted: str

    def logs(self) -> list[Path]:
        """Its log files so far: the batch script's first, then those of the nodes."""
        folder = Path(self.folder)
        pattern = f"job-{self.id}_*.log" if self.parts else f"job-{self.id}-node-*.log"
        found = sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))
        return [path for path in (folder / f"job-{self.id}.log", *found) if path.exists()]


def records_folder() -> Path:
    """Where the records lie: $XDG_STATE_HOME/millrace/jobs, by default below ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "millrace" / "jobs"


def records() -> list[Submitted]:
    """All jobs this user submitted, the oldest first."""
    found = []
    for path in records_folder().glob("*.json"):
        try:
            found.append(Submitted(**json.loads(path.read_text())))
        except (ValueError, TypeError):
            continue  # of another version
    return sorted(found, key=lambda job: (job.submitted, int(job.id)))


def write(record: Submitted) -> None:
    """Puts the record in its place."""
    private_directory(records_folder())
    path = _path(record)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(record), indent=2) + "\n")
    temporary.replace(path)


def forget(record: Submitted) -> None:
    """Takes the record away."""
    _path(record).unlink(missing_ok=True)


def _path(record: Submitted) -> Path:
    return records_folder() / f"{record.cluster}-{record.id}.json"
