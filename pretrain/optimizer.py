"""Parameter groups, the optimizer, and the learning rate as a function of the step."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import torch
from torch import nn

from configs.schema.train import Optimizer, Schedule

STATE = ("exp_avg", "exp_avg_sq")
"""Per-element state of AdamW, float32, in the order checkpoints list it."""


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices are decayed, vectors (norms, biases) are not."""
    decayed = [p for p in module.parameters() if p.ndim >= 2]
    plain = [p for p in module.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def build_optimizer(module: nn.Module, config: Optimizer) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) in PyTorch's fused form, which needs no compiler."""
    groups = parameter_groups(module, config.weight_decay)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def learning_rate(step: int, peak: float, schedule: Schedule, steps: int) -> float:
    """Learning rate of update `step` (the first is 1).

    Linear warm-up to the peak at `warmup_steps`, then constant or half a cosine (Loshchilov & Hutter 2017, eq. 5) down to
    min_lr_ratio x peak at the last step.
    """
    warmup = schedule.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    if schedule.name == "constant":
        return peak
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    floor = schedule.min_lr_ratio
    return peak * (floor + (1.0 - floor) * 0.5 * (1.0 + cos(pi * progress)))
