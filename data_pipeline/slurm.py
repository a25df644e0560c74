"""The making of a corpus as jobs on Slurm: arrays over units and shards, and what lies between them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from configs.errors import UserError
from configs.loader import Loaded
from data_pipeline import check
from data_pipeline.inputs import plan_sources
from launchers.slurm.client import private_directory
from launchers.slurm.room import Room
from launchers.slurm.script import PART, Job, python

UNLIMITED = Room()
_SINGLE = 3
"""Jobs of one task among those of a corpus: list, decide, finish."""


def corpus_jobs(loaded: Loaded, room: Room = UNLIMITED, others: int = 0) -> list[Job]:
    """The jobs that make the corpus, each after the one before it. UserError: all problems of config and inputs.

    room: what the queue takes; arrays become shorter to fit, and a task of them does more units. others: jobs submitted
    beside these.
    """
    plans = [] if (found := check.problems(loaded)) else plan_sources(loaded.config)
    found += [problem for plan in plans for problem in plan.problems if problem not in found]
    if found:
        raise UserError(*found)
    cluster, path = loaded.config.cluster, resolved_config(loaded)
    units = sum(len(plan.pieces) for plan in plans)
    corpus = Path(loaded.config.data.dir).absolute()
    run = [*python(cluster), "-m", "millrace", "data", "run", str(path)]
    if not loaded.config.data.workers:  # a node's cores are not all this task's
        run.append(f"data.workers={cluster.cpus_per_task}")
    wanted = [min(units, cluster.array_tasks), min(3 * units, cluster.array_tasks)]
    (read, write), reasons = room.fit(wanted, others + _SINGLE)
    phases = [
        ("list", ["--phase", "list"], 0),
        ("documents", ["--phase", "documents", "--part", f"{PART}/{read}"], read),
        ("decide", ["--phase", "decide"], 0),
        ("shards", ["--phase", "shards", "--part", f"{PART}/{write}"], write),
        ("finish", [], 0),
    ]
    notes = {}
    for phase, tasks, asked, reason in zip(("documents", "shards"), (read, write), wanted, reasons, strict=True):
        if reason:
            notes[phase] = f"data-{phase} is an array of {tasks} instead of {asked}, which each do more: {reason}"
    return [
        Job(f"data-{name}", [*run, *options], corpus, path.parent, parts=parts, after=[place - 1] if place else [],
            note=notes.get(name, ""))
        for place, (name, options, parts) in enumerate(phases)
    ]  # fmt: skip


def resolved_config(loaded: Loaded) -> Path:
    """Where the resolved configuration goes that the jobs read: named by its content, so that a later submission
    changes nothing under the jobs of an earlier one."""
    corpus = Path(loaded.config.data.dir).absolute()
    folder = Path(loaded.config.cluster.folder or corpus / "work" / "jobs").absolute()
    return folder / f"config-{hashlib.sha256(loaded.to_yaml().encode()).hexdigest()[:12]}.yaml"


def write_config(loaded: Loaded) -> None:
    """Puts it there."""
    path = resolved_config(loaded)
    private_directory(path.parent)
    temporary = path.with_suffix(".new")
    temporary.write_text(loaded.to_yaml())
    temporary.replace(path)
