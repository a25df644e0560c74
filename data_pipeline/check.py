"""Problems of a data configuration that only its inputs and its machine can show. Needs no torch and reads no input
to its end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from configs.errors import Problem, UserError
from configs.loader import Loaded
from data_pipeline import balance, publish
from data_pipeline.clean import stage as clean
from data_pipeline.inputs import plan_sources
from data_pipeline.progress import amount
from data_pipeline.tokenize.codec import Codec

_ROOM_PER_INPUT_BYTE = 1.0
"""Documents (zstandard) and tokens of a corpus take about as much room as its stored inputs, compressed or not."""


def problems(loaded: Loaded) -> list[Problem]:
    """Everything that keeps this corpus from being made, each with the place to mend. [] if nothing does."""
    config = loaded.config
    if not config.sources:
        what = "no sources: there is nothing to make a corpus of"
        return [Problem(what, loaded.where("sources"), "add a source, such as {name: docs, type: installed-docs}")]
    found = _names(loaded)
    plans = plan_sources(config)
    for index, plan in enumerate(plans):
        place = loaded.where(f"sources.{index}.paths")
        for problem in plan.problems:
            what = f"{problem.what}: {problem.where}" if problem.where else problem.what
            found.append(Problem(what, place, problem.hint))
    size = sum(piece.end - piece.start for plan in plans for piece in plan.pieces)
    if not found and size == 0:
        found.append(Problem("all inputs are empty files", loaded.where("sources")))
    found += _shares(loaded)
    found += clean.problems(loaded)
    found += balance.problems(loaded)
    found += _tokenizer(loaded)
    found += _output(loaded, size)
    target = loaded.config.data.publish
    for problem in publish.problems(target):
        # A place on the command line would repeat what was typed, and a password with it.
        place = "data.publish" if "@" in target else loaded.where("data.publish")
        found.append(Problem(f"{problem.what}: {problem.where}", place, problem.hint))
    return found


def _names(loaded: Loaded) -> list[Problem]:
    found, seen = [], set()
    for index, source in enumerate(loaded.config.sources):
        if source.name in seen:
            what = f"two sources are named {source.name!r}: their documents could not be told apart"
            found.append(Problem(what, loaded.where(f"sources.{index}.name"), "give each a name of its own"))
        seen.add(source.name)
    return found


def _shares(loaded: Loaded) -> list[Problem]:
    split = loaded.config.split
    if split.validation + split.test < 1:
        return []
    what = f"split.validation + split.test is {split.validation + split.test:g}: nothing is left to train on"
    return [Problem(what, loaded.where("split.validation"), "their sum must be below 1")]


def _tokenizer(loaded: Loaded) -> list[Problem]:
    """An existing model is opened now, not after hours of cleaning."""
    model = loaded.config.tokenizer.model
    if not model:
        return []
    try:
        Codec.load(model)
    except UserError as error:
        place = loaded.where("tokenizer.model")
        return [Problem(f"{problem.what}: {problem.where}", place, problem.hint) for problem in error.problems]
    return []


def _output(loaded: Loaded, size: int) -> list[Problem]:
    """Where the corpus is written: a directory outside the inputs, writable, with room."""
    out = Path(loaded.config.data.dir).expanduser().absolute()
    place = loaded.where("data.dir")
    for index, source in enumerate(loaded.config.sources):
        for entry in source.paths:
            folder = Path(entry).expanduser().absolute()
            if folder.is_dir() and out.is_relative_to(folder):
                what = f"data.dir {str(out)!r} lies inside the inputs of source {source.name!r}: it would read itself"
                where = f"{place} and {loaded.where(f'sources.{index}.paths')}"
                return [Problem(what, where, "write the corpus beside its inputs")]
    existing = next(path for path in (out, *out.parents) if path.exists())
    if not existing.is_dir():
        return [Problem(f"data.dir cannot be made: {existing} is a file", place, "choose another directory")]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Problem(f"data.dir cannot be written: no permission in {existing}", place, "choose another directory")]
    room, free = int(size * _ROOM_PER_INPUT_BYTE), shutil.disk_usage(existing).free
    if out.exists() and (out / "work").exists():
        return []  # begun already: what is written of it takes part of the room
    if free < room:
        what = f"about {amount(room)} are needed, {amount(free)} are free in {existing}"
        return [Problem(what, place, "make room, or choose a directory on another disk")]
    return []
