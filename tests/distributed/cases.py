"""What the ranks of distributed tests run: the engine on a tiny model and made-up tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from configs.schema.tree import Config
from pretrain.checkpoint.directory import newest
from pretrain.checkpoint.read import CheckpointReader
from pretrain.checkpoint.restore import restore
from pretrain.checkpoint.write import CheckpointWriter
from pretrain.evaluate import share
from pretrain.model.loss import IGNORE
from pretrain.parallel import runtime
from pretrain.parallel.build import build_engine
from pretrain.parallel.compile import counts
from pretrain.parallel.engine import Engine
from pretrain.parallel.layout import problems, resolve

VOCAB = 300  # not a multiple of 128, so that rows of padding exist under every tp
SEQUENCE = 32

FAMILIES: dict[str, dict[str, Any]] = {
    "gpt": {"num_layers": 4, "hidden_size": 64, "num_heads": 8},
    "llama": {
        "num_layers": 4, "hidden_size": 64, "num_heads": 8, "num_kv_heads": 4, "ffn_hidden_size": 192, "activation": "swiglu",
        "norm": "rmsnorm", "position": "rope", "tie_embeddings": False, "bias": False,
    },
}  # fmt: skip


def make_config(family: str, layout: dict[str, Any], train: dict[str, Any] | None = None) -> Config:
    """A tiny model of the family under a layout."""
    training = {"global_batch": 8, "micro_batch": 2, "seq_length": SEQUENCE, "steps": 20, **(train or {})}
    return Config.model_validate({
        "model": FAMILIES[family], "layout": layout, "train": training,
        "optimizer": {"lr": 3e-3, "clip_grad": 0.5},  # a norm near 1: clipping is always at work
    })  # fmt: skip


def global_batch(config: Config, step: int, masked: bool) -> np.ndarray:
    """The same tokens for every layout, [global_batch, sequence + 1]; masked: uneven numbers of uncounted labels."""
    rng = np.random.default_rng(step)
    batch = rng.integers(0, VOCAB, (config.train.global_batch, SEQUENCE + 1))
    # Learnable: each token is often the one before plus one.
    follows = rng.random(batch[:, 1:].shape) < 0.7
    for i in range(SEQUENCE):
        batch[:, i + 1] = np.where(follows[:, i], (batch[:, i] + 1) % VOCAB, batch[:, i + 1])
    if masked:
        for row, width in zip(batch, rng.integers(0, SEQUENCE - 2, len(batch)), strict=True):
            row[len(row) - width :] = IGNORE
    return batch


def make_engine(config: Config, device: str = "cpu") -> Engine:
    """The engine of this rank, fresh."""
    ranks = runtime.start_groups(config.layout.tp, config.layout.pp)
    assert not problems(config, ranks.world_size), problems(config, ranks.world_size)
    layout = resolve(config, ranks.world_size)
    return build_engine(config, VOCAB, layout, ranks, torch.device(device))


def train(
    family: str,
    layout: dict[str, Any],
    steps: int,
    first: int = 1,
    masked: bool = False,
    precision: str = "fp32",
    recompute: str = "none",
    micro_batch: int = 2,
    load: str | None = None,
    save: str | None = None,
    fault: str | None = None,
    compile: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """Steps first ... steps; loss and gradient norm of each. load: run directory to restore from; save: to write to.
    fault: a silent error to plant first. compiled: graphs, and breaks between them."""
    if fault:
        from tests.distributed.faults import FAULTS

        FAULTS[fault]()
    changed = {"precision": precision, "recompute": recompute, "micro_batch": micro_batch, "compile": compile}
    config = make_config(family, layout, changed)
    engine = make_engine(config, device)
    if load:
        found = newest(Path(load))
        assert found is not None
        restore(engine, CheckpointReader(found.path))
        first = found.step + 1
    losses, norms = [], []
    for step in range(first, steps + 1):
        rows = global_batch(config, step, masked)
        shared = rows.reshape(engine.layout.accumulation, engine.layout.dp, engine.layout.micro_batch, -1)
        result = engine.step(torch.from_numpy(np.ascontiguousarray(shared[:, engine.ranks.dp_rank])), 3e-3)
        losses.append(result.loss)
        norms.append(result.grad_norm)
    # 10 rows in passes of 2: dp 4 needs a pass that is half empty.
    windows = np.concatenate([global_batch(config, 0, masked), global_batch(config, -1 % 97, masked)[:2]])
    total, tokens = engine.evaluate(torch.from_numpy(share(windows, engine.layout, engine.ranks.dp_rank)))
    if save:
        writer = CheckpointWriter(engine, Path(save), life=1)
        writer.save(steps, state={})
        writer.finish()
    return {
        "losses": losses,
        "norms": norms,
        "eval": total / tokens,
        "layout": engine.layout.as_dict(),
        "compiled": counts(),
        "names": sorted(name for name, _ in engine.named_parameters()),
    }
