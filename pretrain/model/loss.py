"""Cross-entropy over a vocabulary that is split over the tensor-parallel group."""

from __future__ import annotations

import torch
from megatron.core import tensor_parallel
from torch import Tensor

IGNORE = -100
"""Label of a position that is not counted (torch's own convention)."""


def summed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of the token losses in nats, a float32 scalar.

    logits: [sequence, batch, vocabulary / tp], padded columns already -inf. labels: [batch, sequence] int64; positions
    labelled IGNORE count nothing. The caller divides by the counted tokens of the *whole* global batch, so the result
    does not depend on how the batch was cut.
    """
    targets = labels.t().contiguous()
    counted = targets != IGNORE
    # Megatron-core's loss works in place on float32 logits and wants them contiguous.
    losses = tensor_parallel.vocab_parallel_cross_entropy(logits.float().contiguous(), targets.clamp(min=0))
    return torch.where(counted, losses, losses.new_zeros(())).sum()
