"""Every problem of a training configuration at once, before a process group exists. torch is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from configs.errors import Problem, UserError
from configs.loader import Loaded
from configs.schema.tree import Config
from pretrain import resume
from pretrain.parallel import layout


def _corpus(config: Config) -> list[Problem]:
    from data_pipeline.shards import load_manifest
    from pretrain.data.stream import SampleStream

    try:
        manifest = load_manifest(Path(config.data.dir))
        SampleStream(Path(config.data.dir), "train", config.train.seq_length, config.train.seed, config.data.blend)
    except UserError as error:
        return error.problems
    model = config.model
    if model is not None and 0 < model.vocab_size < manifest.vocab_size:
        return [Problem(
            f"model.vocab_size {model.vocab_size} is smaller than the corpus' vocabulary of {manifest.vocab_size}",
            "model.vocab_size", f"use {manifest.vocab_size}, or 0 to take it from the corpus")]  # fmt: skip
    return []


def problems(loaded: Loaded, world_size: int, allow: Sequence[str] = (), corpus: bool = True) -> list[Problem]:
    """All that keeps this config from training on `world_size` processes: layout, corpus, run directory.

    corpus: look at the data too; off where the same command makes it first.
    """
    found = layout.problems(loaded.config, world_size)
    found = [replace(p, where=loaded.where(p.where)) if p.where else p for p in found]
    if corpus:
        found += [replace(p, where=loaded.where(p.where)) if p.where.startswith("model.") else p
                  for p in _corpus(loaded.config)]  # fmt: skip
    found += resume.problems(Path(loaded.config.run.dir), loaded.to_dict(), allow)
    return found
