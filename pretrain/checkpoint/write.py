"""Writing a checkpoint: every rank its own pieces, rank 0 the index, last."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from configs.errors import MachineError
from data_pipeline.shards.atomic import file_xxh3, make_directory, whole_or_absent
from pretrain.checkpoint.directory import checkpoint_directory, write_index
from pretrain.checkpoint.pieces import cut
from pretrain.parallel.engine import Engine
from pretrain.parallel.fragments import fragments


def _write_rank_file(engine: Engine, path: Path) -> dict[str, Any]:
    """This rank's file: for each piece and each of weight and moments a 1-D float32 tensor. Returns its index entry."""
    tensors: dict[str, Tensor] = {}
    pieces: list[dict[str, Any]] = []
    numbers: dict[str, int] = defaultdict(int)
    for fragment in fragments(engine):
        if not fragment.owned:
            continue
        numel = next(iter(fragment.tensors.values())).numel()
        for piece, at in cut(fragment.segments, fragment.start, numel):
            key = f"{piece.name}/{numbers[piece.name]}"
            numbers[piece.name] += 1
            count = piece.stop - piece.start
            for state, values in fragment.tensors.items():
                tensors[f"{key}/{state}"] = values[at : at + count].cpu().clone()
            pieces.append({**piece.to_json(), "key": key})
    if not tensors:
        return {}
    with whole_or_absent(path) as temporary:
        save_file(tensors, temporary)
    return {"name": path.name, "bytes": path.stat().st_size, "xxh3": file_xxh3(path), "pieces": pieces}


def write_checkpoint(engine: Engine, run_dir: Path, step: int, life: int, state: dict[str, Any]) -> Path:
    """Saves weights and optimizer state after update `step`; `state` (JSON) goes into the index beside them.

    Collective. Raises MachineError on every rank when any rank could not write, naming it; the directory then holds no
    index and does not count.
    """
    directory = checkpoint_directory(run_dir, step, life)
    if engine.ranks.rank == 0:
        make_directory(directory)
    dist.barrier()
    entry: dict[str, Any]
    try:
        entry = _write_rank_file(engine, directory / f"rank-{engine.ranks.rank:05d}.safetensors")
    except OSError as error:
        entry = {"error": f"{type(error).__name__}: {error}"}
    entries: list[Any] = [None] * engine.ranks.world_size
    dist.all_gather_object(entries, entry)
    failed = [f"rank {rank}: {e['error']}" for rank, e in enumerate(entries) if "error" in e]
    index_failed: list[Any] = [None]
    if engine.ranks.rank == 0 and not failed:
        files = {e["name"]: {k: e[k] for k in ("bytes", "xxh3", "pieces")} for e in entries if e}
        try:
            write_index(directory, {"step": step, "life": life, "state": state, "files": files})
        except OSError as error:
            index_failed = [f"rank 0: {type(error).__name__}: {error}"]
    dist.broadcast_object_list(index_failed, src=0)
    failed += [problem for problem in index_failed if problem]
    if failed:
        raise MachineError(
            "checkpoint not written: " + "; ".join(failed),
            str(directory),
            saved="the checkpoints before this one are complete",
            go_on="free space or mend the file system, then start the same command again",
        )
    return directory
