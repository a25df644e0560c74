"""From a checkpoint into a fresh engine of any layout."""

from __future__ import annotations

import numpy as np
import torch

from pretrain.checkpoint.pieces import cut
from pretrain.checkpoint.read import CheckpointReader
from pretrain.parallel.engine import Engine
from pretrain.parallel.fragments import create_state, fragments, settle


@torch.no_grad()
def restore(engine: Engine, reader: CheckpointReader) -> None:
    """Puts weights, moments and counters of the checkpoint into a fresh engine of any layout."""
    create_state(engine, reader.step)
    for fragment in fragments(engine):
        for state, values in fragment.tensors.items():
            for piece, at in cut(fragment.segments, fragment.start, values.numel()):
                found = torch.from_numpy(np.ascontiguousarray(reader.read(piece, state)))
                values[at : at + found.numel()].copy_(found)
                del found  # or two would be in memory while the next is read
    settle(engine, reader.step)
