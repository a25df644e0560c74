"""Rotary position embedding (Su et al. 2021, RoFormer 3.2.2), in the half-split arrangement Megatron-core and Llama use."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_angles(seq_length: int, head_dim: int, theta: float, device: torch.device) -> Tensor:
    """Angles of every position, [seq_length, 1, 1, head_dim] float32: position / theta^(2i/head_dim), both halves."""
    inverse = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim)
    angles = torch.outer(torch.arange(seq_length, dtype=torch.float32, device=device), inverse)
    return torch.cat((angles, angles), dim=-1)[:, None, None, :]
