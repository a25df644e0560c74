"""Activations dropped in the forward pass and computed again in the backward pass (Chen et al. 2016)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pretrain.model.attention import CoreAttention
from pretrain.model.layers import Block


def recompute(block: Block, how: str) -> None:
    """Makes `block` keep less: `none`, `selective` (the core attention alone; Korthikanti et al. 2022, section 5) or
    `full` (only the block's input is kept)."""
    if how == "full":
        _wrap(block)
    elif how == "selective":
        for module in block.modules():
            if isinstance(module, CoreAttention):
                _wrap(module)


def _wrap(module: nn.Module) -> None:
    plain = module.forward

    def forward(*inputs: Any, **keywords: Any) -> Any:
        if not torch.is_grad_enabled():
            return plain(*inputs, **keywords)
        # Nothing in a block draws random numbers: there is no state to keep.
        return checkpoint(plain, *inputs, use_reentrant=False, preserve_rng_state=False, **keywords)

    module.forward = forward  # type: ignore[method-assign]
