"""`millrace check`: every problem of a configuration at once - config, data, layout, disk, queue - and nothing started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from configs.errors import MachineError, Problem, UserError
from configs.loader import ConfigError, Loaded, load
from data_pipeline import check as data_check
from pretrain import check as pretrain_check

_DATA = {"sources", "extract", "clean", "dedup", "tokenizer", "split", "shards", "data"}


def run(config: str, overrides: Sequence[str], procs: int, cluster: str) -> None:
    """Prints that nothing was found, or raises UserError with all that was.

    procs: processes meant to train; 0: layout.tp x layout.pp, or what the cluster gives. cluster: where it is meant to
    run; its queue is asked too, where this machine reaches it.
    """
    found: list[Problem] = []
    try:
        loaded, sound = load(config, overrides, [cluster] if cluster else []), lambda names: True
    except ConfigError as error:
        loaded, sound = error.partial, error.sections_sound
        found += error.problems
    tree = loaded.config
    # A half of the road is checked when no mistake can lie in its own sections; its findings would be wrong otherwise.
    training = set(type(tree).model_fields) - (_DATA - {"tokenizer", "data"})
    data, train = bool(tree.sources), tree.model is not None
    if data and sound(_DATA):
        found += data_check.problems(loaded)
    if train and sound(training):
        made = not data or (Path(tree.data.dir) / "manifest.json").exists()
        found += _training(loaded, procs, made, bool(cluster))
    if not found and not data and not train:
        raise UserError(f"{config} has neither `sources` to make a corpus from nor a `model` to train")
    said, notes = "", list[str]()
    if cluster and sound({"cluster"}):
        queue, said, notes = _queue(loaded, data and not found, train)
        found += queue
    if found:
        raise UserError(*found)
    halves = [name for name, there in (("data", data), ("training", train), ("queue", cluster and not said)) if there]
    typer.echo(f"{config}: no problem found ({' and '.join(halves)}){said}")
    for note in notes:
        typer.echo(note)


def _training(loaded: Loaded, procs: int, corpus: bool, cluster: bool) -> list[Problem]:
    if cluster and not procs:
        from pretrain.slurm import problems

        found = problems(loaded, corpus=corpus)
    else:
        layout = loaded.config.layout
        found = pretrain_check.problems(loaded, procs or layout.tp * layout.pp, corpus=corpus)
    return found + pretrain_check.disk_problems(loaded, corpus)


def _queue(loaded: Loaded, data: bool, train: bool) -> tuple[list[Problem], str, list[str]]:
    """Problems with the queue's limits, what to say where it could not be asked, and what its limits change."""
    from launchers.slurm import limits, room

    cluster = loaded.config.cluster
    try:
        found = limits.problems(cluster, loaded.where, cluster.nodes if train else 1)
        there = room.ask(cluster)
    except UserError as error:
        return [], f"; its queue was not asked: {error.problems[0].what}", []
    except MachineError as error:
        return [], f"; its queue was not asked: {error.what}", []
    if not data:
        full = there.problem(1)
        return [*found, full] if full else found, "", []
    from data_pipeline.slurm import corpus_jobs

    try:
        return found, "", [job.note for job in corpus_jobs(loaded, there, int(train)) if job.note]
    except UserError as error:
        return found + error.problems, "", []
