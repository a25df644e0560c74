"""Causal core attention through PyTorch's scaled_dot_product_attention.

Megatron-core's local attention is unfused and reaches for CUDA's random state even without dropout; its fused one needs
Transformer Engine. SDPA picks FlashAttention or cuDNN on a GPU and a fused kernel on a CPU.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class CoreAttention(nn.Module):
    """softmax(q k^T / sqrt(head_dim)) v with a causal mask. q [s, b, heads, d], k, v [s, b, kv_heads, d] -> [s, b, heads*d]."""

    def __init__(self, config: Any, **_: Any) -> None:
        super().__init__()

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
        q, k, v = (t.permute(1, 2, 0, 3) for t in (query, key, value))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.size(1) != k.size(1))
        return out.permute(2, 0, 1, 3).flatten(2)
