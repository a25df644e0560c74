"""The room on disk that a run's checkpoints take: known before the first step, not found out at the last. Needs no torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from configs.errors import Problem, UserError
from configs.loader import Loaded
from configs.schema.tree import Config
from pretrain import resume
from pretrain.flops import parameters

BYTES_PER_PARAMETER = 12
"""fp32 weights and Adam's two moments, whatever precision and layout train."""


def checkpoint_bytes(config: Config, vocab_size: int) -> int:
    """Size of one checkpoint, to a few kB. The config must have a model. vocab_size: where the model leaves it open."""
    assert config.model is not None
    return BYTES_PER_PARAMETER * parameters(config.model, vocab_size, config.train.seq_length)


def saves_left(config: Config, step: int) -> int:
    """Checkpoints that a run at `step` still writes; all of them are kept."""
    last, every = config.train.stop_after or config.train.steps, config.checkpoint.every
    if step >= last:
        return 0
    return (last // every - step // every + (last % every > 0)) if every else 1


def directory_problems(loaded: Loaded) -> list[Problem]:
    """What keeps run.dir from being made or written."""
    place = loaded.where("run.dir")
    existing = _existing(loaded)
    if not existing.is_dir():
        return [Problem(f"run.dir cannot be made: {existing} is a file", place, "choose another directory")]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Problem(f"run.dir cannot be written: no permission in {existing}", place, "choose another directory")]
    return []


def problems(loaded: Loaded, whole_run: bool = True) -> list[Problem]:
    """Whether the checkpoints fit: all that are still to come, or the next one alone unless `whole_run`."""
    config, place, existing = loaded.config, loaded.where("run.dir"), _existing(loaded)
    if config.model is None or not existing.is_dir():
        return []
    out = Path(config.run.dir).absolute()
    step = resume.find_start(out).step
    left = saves_left(config, step)
    count = left if whole_run else min(1, left)
    size, free = checkpoint_bytes(config, _vocab_size(config)), shutil.disk_usage(existing).free
    if count * size <= free:
        return []
    what = (
        f"{count:,} checkpoints of about {_amount(size)} take {_amount(count * size)}, {existing} has {_amount(free)}"
    )
    hint = "choose a run.dir on another disk, or make room"
    if count > 1 and (fitting := free // size) >= 1:
        steps = (config.train.stop_after or config.train.steps) - step
        hint = f"with checkpoint.every={-(-steps // fitting)} they fit; or {hint}"
        place = f"{loaded.where('checkpoint.every')} and {place}"
    return [Problem(what.replace("1 checkpoints", "1 checkpoint") if count == 1 else what, place, hint)]


def _existing(loaded: Loaded) -> Path:
    """run.dir, or the nearest directory (or file) above it that is there."""
    out = Path(loaded.config.run.dir).absolute()
    return next(path for path in (out, *out.parents) if os.path.lexists(path))


def _vocab_size(config: Config) -> int:
    from data_pipeline.shards import load_manifest

    try:
        return load_manifest(Path(config.data.dir)).vocab_size
    except UserError:
        return config.tokenizer.vocab_size


def _amount(size: int) -> str:
    """`1536000000` -> `1.5 GB`."""
    amount, unit = float(size), 0
    while amount >= 1000 and unit < 5:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:,.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[unit]}"
