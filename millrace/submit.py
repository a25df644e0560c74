"""`millrace submit`: the half of the road that a configuration describes, or both, into the queue of a cluster."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer

from configs.errors import MachineError, Problem, UserError
from configs.loader import Loaded, load
from launchers.slurm.client import require
from launchers.slurm.records import Submitted
from launchers.slurm.room import Room, ask
from launchers.slurm.script import Job
from launchers.slurm.submit import dry_run, refuse_busy, submit


def run(
    config: str, overrides: Sequence[str], cluster: str, half: str, allow: Sequence[str], dry: bool, as_json: bool
) -> None:
    """half: "data", "train" or "" for what the configuration describes; training then waits for the corpus."""
    if half not in ("", "data", "train"):
        raise UserError(Problem(f"there is no half {half!r}", "--only", "write data or train"))
    loaded = load(config, overrides, [cluster] if cluster else [])
    here = Path.cwd()
    if dry:
        there, unasked = _room(loaded)
        typer.echo(dry_run(_jobs(loaded, config, half, allow, there), loaded.config.cluster, here))
        if unasked:
            typer.echo(f"the limits of the queue were not asked: {unasked}", err=True)
        return
    require()
    jobs = _jobs(loaded, config, half, allow, ask(loaded.config.cluster))
    submitted = _submit(loaded, jobs, here)
    for job in jobs:
        if job.note:
            typer.echo(job.note, err=as_json)
    if as_json:
        typer.echo(json.dumps([asdict(record) for record in submitted], indent=2, ensure_ascii=False))
        return
    for record, job in zip(submitted, jobs, strict=True):
        after = f", after {', '.join(submitted[place].id for place in job.after)}" if job.after else ""
        typer.echo(f"job {record.id}: {record.name}, {_size(record)}{after}")
    last = submitted[-1].id
    typer.echo(f"`millrace jobs` tells how they fare, `millrace logs -f {last}` what {last} prints")


def _room(loaded: Loaded) -> tuple[Room, str]:
    """For a dry run: the queue's room, or none known and why."""
    try:
        return ask(loaded.config.cluster), ""
    except UserError as error:
        return Room(), error.problems[0].what
    except MachineError as error:
        return Room(), error.what


def _jobs(loaded: Loaded, config: str, half: str, allow: Sequence[str], room: Room) -> list[Job]:
    from data_pipeline.slurm import corpus_jobs
    from pretrain.slurm import training_job

    tree = loaded.config
    data, train = bool(tree.sources) and half != "train", tree.model is not None and half != "data"
    if not data and not train:
        what = {"data": "no `sources` to make a corpus from", "train": "no `model` to train"}
        raise UserError(f"{config} has {what.get(half, ' and '.join(what.values()))}")
    if not data and (full := room.problem(1)):
        raise UserError(full)
    jobs = corpus_jobs(loaded, room, others=int(train)) if data else []
    if train:
        job = training_job(loaded, allow, corpus=not data)
        jobs.append(replace(job, after=[len(jobs) - 1]) if jobs else job)
    # What came from the submitting shell is carried, not written: it may be a secret.
    written = loaded.to_dict()["cluster"]["environment"]
    plain = {name: value for name, value in written.items() if not referenced(value)}
    return [replace(job, environment=plain) for job in jobs]


def _submit(loaded: Loaded, jobs: Sequence[Job], here: Path) -> list[Submitted]:
    from data_pipeline.slurm import write_config
    from pretrain.local import prepare_run

    refuse_busy(jobs)
    if any(not job.ranks for job in jobs):
        write_config(loaded)
    if any(job.ranks for job in jobs):
        prepare_run(loaded)
    tree, environment = loaded.to_dict(), loaded.config.cluster.environment
    carried = {name: os.environ[name] for name in referenced(tree)}
    carried |= {name: environment[name] for name, value in tree["cluster"]["environment"].items() if referenced(value)}
    try:
        return submit(jobs, loaded.config.cluster, here, carried)
    except UserError as error:
        raise UserError(*(_placed(problem, loaded) for problem in error.problems)) from None


def referenced(value: Any) -> list[str]:
    """Names of the variables that `${env:NAME}` refers to, anywhere in a tree: the jobs resolve them again."""
    if isinstance(value, dict):
        return [name for inner in value.values() for name in referenced(inner)]
    if isinstance(value, list):
        return [name for inner in value for name in referenced(inner)]
    return re.findall(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}", value) if isinstance(value, str) else []


def _placed(problem: Problem, loaded: Loaded) -> Problem:
    return replace(problem, where=loaded.where(problem.where)) if problem.where.startswith("cluster.") else problem


def _size(record: Submitted) -> str:
    if record.parts:
        return f"{record.parts} tasks"
    if record.nodes * record.tasks_per_node == 1:
        return "1 process"
    nodes = "1 node" if record.nodes == 1 else f"{record.nodes} nodes"
    return f"{nodes} x {'1 process' if record.tasks_per_node == 1 else f'{record.tasks_per_node} processes'}"
