"""LayerNorm and RMSNorm that run on any device and under sequence parallelism.

Megatron-core's own norms need Apex or Transformer Engine once the sequence is split; these are PyTorch's functions with
weights tagged `sequence_parallel`, so that the engine sums their gradients over the tensor-parallel group.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor, nn
from torch.nn import functional as F


class Norm(nn.Module):
    """Normalises the last dimension. Input and output [sequence, batch, hidden]; parameters [hidden]."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any) -> None:
        super().__init__()
        self.shape = (hidden_size,)
        self.eps = eps
        self.rms = config.normalization == "RMSNorm"
        self.weight = nn.Parameter(torch.ones(hidden_size, dtype=config.params_dtype))
        self.bias = None if self.rms else nn.Parameter(torch.zeros(hidden_size, dtype=config.params_dtype))
        for parameter in self.parameters():
            parameter.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    def forward(self, hidden: Tensor) -> Tensor:
        if self.rms:
            return F.rms_norm(hidden, self.shape, self.weight, self.eps)
        return F.layer_norm(hidden, self.shape, self.weight, self.bias, self.eps)
