"""Every problem of a training configuration at once, before a process group exists. torch is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from configs.errors import Problem, UserError
from configs.loader import Loaded
from configs.schema.tree import Config
from configs.suggest import hint_for_key, schema_keys
from pretrain import resume, room
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
    found += _allowed(allow)
    if wrong := room.directory_problems(loaded):
        return found + wrong
    found += resume.problems(Path(loaded.config.run.dir), loaded.to_dict(), allow)
    return found


def _allowed(allow: Sequence[str]) -> list[Problem]:
    known = schema_keys(Config)
    return [
        Problem(f"--allow names no key: `{key}`", "", hint_for_key(tuple(key.split(".")), Config))
        for key in allow
        if key not in known
    ]


def disk_problems(loaded: Loaded, corpus: bool = True, whole_run: bool = True) -> list[Problem]:
    """What only the disks tell, asked once by whoever starts a run and not by every rank: shards that are not as the
    manifest says, no room for checkpoints.

    whole_run: room for all checkpoints still to come; otherwise for the next.
    """
    return (_shards(loaded) if corpus else []) + room.problems(loaded, whole_run)


def _shards(loaded: Loaded) -> list[Problem]:
    """Their number and sizes; what is in them is `data verify`'s work."""
    from data_pipeline.shards import load_manifest

    directory = Path(loaded.config.data.dir)
    try:
        manifest = load_manifest(directory)
    except UserError:
        return []  # told by `problems`
    entries = [entry for shards in manifest.splits.values() for entry in shards]
    sizes = {entry.path: _size(directory / entry.path) for entry in entries}
    wrong = [entry for entry in entries if sizes[entry.path] != entry.bytes]
    if not wrong:
        return []
    first = wrong[0]
    found = "missing" if sizes[first.path] is None else f"of {sizes[first.path]:,} bytes instead of {first.bytes:,}"
    what = f"{len(wrong)} of {len(entries)} shards are not as the manifest says, the first: {first.path} is {found}"
    return [Problem(what, loaded.where("data.dir"), f"see all: millrace data verify {directory}; "
                    "make them again: millrace data run")]  # fmt: skip


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
