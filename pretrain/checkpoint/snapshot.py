"""A copy in host memory of what this rank owns: all that a step has to wait for when a checkpoint is written."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pretrain.checkpoint.part import Part
from pretrain.checkpoint.pieces import cut
from pretrain.parallel.engine import Engine
from pretrain.parallel.fragments import fragments


class Snapshot:
    """The host memory, kept from one checkpoint to the next: pinning memory, or touching it first, costs more than the copy.

    On CUDA it is pinned. Its size is 12 bytes for each parameter that the rank owns.
    """

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.float32)

    @torch.no_grad()
    def take(self, engine: Engine) -> Part:
        """The rank's part, copied; it holds until the next call."""
        views: list[Tensor] = []
        tensors: list[tuple[str, int]] = []
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
                    tensors.append((f"{key}/{state}", count))
                    views.append(values.narrow(0, at, count))
                pieces.append({**piece.to_json(), "key": key})
        total = sum(count for _, count in tensors)
        on_gpu = engine.device.type == "cuda"
        if self._memory.numel() != total:
            if on_gpu:
                self._memory = torch.empty(total, dtype=torch.float32, pin_memory=True)
            else:  # numpy asks for huge pages, which are much faster to touch for the first time
                self._memory = torch.from_numpy(np.empty(total, dtype=np.float32))
        at = 0
        for view in views:
            self._memory.narrow(0, at, view.numel()).copy_(view, non_blocking=on_gpu)
            at += view.numel()
        if on_gpu:
            torch.cuda.current_stream(engine.device).synchronize()
        return Part(pieces, tensors, self._memory.numpy())
