"""One optimizer step under any layout of pipeline degree 1: DeepSpeed's engine around the layer list in sequence.

What DeepSpeed gets wrong for us is done here and said where: the mean over uneven token counts, the gradient norm at
ZeRO-0, and the gradients of norms under sequence parallelism.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from configs.schema.tree import Config
from pretrain.model.layers import SequentialModel, Shape
from pretrain.model.loss import IGNORE, summed_loss
from pretrain.optimizer import build_optimizer
from pretrain.parallel.layout import Layout
from pretrain.parallel.runtime import Ranks


class ModelParallelUnit:
    """Megatron-core's process groups under the names DeepSpeed asks an `mpu` for."""

    get_model_parallel_rank = staticmethod(parallel_state.get_tensor_model_parallel_rank)
    get_model_parallel_world_size = staticmethod(parallel_state.get_tensor_model_parallel_world_size)
    get_model_parallel_group = staticmethod(parallel_state.get_tensor_model_parallel_group)
    get_tensor_model_parallel_rank = staticmethod(parallel_state.get_tensor_model_parallel_rank)
    get_tensor_model_parallel_world_size = staticmethod(parallel_state.get_tensor_model_parallel_world_size)
    get_tensor_model_parallel_group = staticmethod(parallel_state.get_tensor_model_parallel_group)
    get_data_parallel_rank = staticmethod(parallel_state.get_data_parallel_rank)
    get_data_parallel_world_size = staticmethod(parallel_state.get_data_parallel_world_size)
    get_data_parallel_group = staticmethod(parallel_state.get_data_parallel_group)


@dataclass(frozen=True)
class StepResult:
    """loss: mean over the counted tokens of the global batch, nats, taken before the update. grad_norm: before clipping."""

    loss: float
    grad_norm: float
    counted_tokens: int


def deepspeed_config(config: Config, layout: Layout) -> dict[str, Any]:
    """DeepSpeed's settings for a layout. Every value that is not its default has its reason beside it."""
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": layout.micro_batch,
        "gradient_accumulation_steps": layout.accumulation,
        "steps_per_print": None,
        "zero_allow_untested_optimizer": True,  # the optimizer is torch's own AdamW
        "zero_optimization": {
            "stage": layout.zero,
            "reduce_bucket_size": 50_000_000,  # the default allocates 2 GB whole
            "round_robin_gradients": False,  # makes the saved fragments garbage without an error
        },
        # At ZeRO-0 DeepSpeed counts only tp rank 0's copy of unsplit parameters and reports no norm: clipped below.
        "gradient_clipping": config.optimizer.clip_grad if layout.zero else 0.0,
    }
    if config.train.precision == "bf16":
        settings["bf16"] = {"enabled": True}
        settings["data_types"] = {"grad_accum_dtype": "fp32"}  # the default accumulates in bf16
    return settings


class Engine:
    """Trains `module` one global batch at a time. One engine per process: DeepSpeed keeps its mpu in a global."""

    def __init__(self, module: SequentialModel, shape: Shape, config: Config, layout: Layout, ranks: Ranks) -> None:
        import deepspeed

        self.module, self.shape, self.layout, self.ranks = module, shape, layout, ranks
        self.clip_grad = config.optimizer.clip_grad
        self.device = next(module.parameters()).device
        self.tp_group = parallel_state.get_tensor_model_parallel_group()
        self.dp_group = parallel_state.get_data_parallel_group()
        if layout.sequence_parallel:
            self._reduce_sequence_parallel_gradients()
        optimizer = build_optimizer(module, config.optimizer)
        self.deepspeed, *_ = deepspeed.initialize(
            model=module, optimizer=optimizer, config=deepspeed_config(config, layout), mpu=ModelParallelUnit
        )
        if layout.dp == 1 and layout.zero == 0:
            # An all-reduce over one rank still flattens and copies every gradient.
            self.deepspeed.enable_backward_allreduce = False

    def _reduce_sequence_parallel_gradients(self) -> None:
        """Norms and row-parallel biases see only a part of the sequence on each rank; their gradients are summed over tp.

        As a hook on the parameter, which works whatever the engine does with the gradient afterwards.
        """

        def summed(gradient: Tensor) -> Tensor:
            gradient = gradient.contiguous()
            dist.all_reduce(gradient, group=self.tp_group)
            return gradient

        for parameter in self.module.parameters():
            if getattr(parameter, "sequence_parallel", False):
                parameter.register_hook(summed)

    @property
    def optimizer(self) -> Any:
        """DeepSpeed's optimizer wrapper, or torch's own optimizer at ZeRO-0."""
        return self.deepspeed.optimizer

    def step(self, batch: Tensor, learning_rate: float) -> StepResult:
        """One update from this rank's share of a global batch.

        batch: int64 [accumulation, micro_batch, sequence + 1] on the host; labels are the tokens shifted by one, and a
        label equal to IGNORE counts nothing. Loss and gradient are sums over tokens / counted tokens of the whole global
        batch: DeepSpeed divides by accumulation and by dp, so each micro-batch's sum is multiplied by both.
        """
        batch = batch.to(self.device, non_blocking=True)
        counted = (batch[:, :, 1:] != IGNORE).sum()
        if self.layout.dp > 1:
            dist.all_reduce(counted, group=self.dp_group)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        total = torch.zeros((), dtype=torch.float32, device=self.device)
        norm: Tensor | None = None
        for index, micro in enumerate(batch):
            summed = summed_loss(self.deepspeed(micro[:, :-1].clamp(min=0)), micro[:, 1:])
            self.deepspeed.backward(summed * (self.layout.accumulation * self.layout.dp) / counted)
            total += summed.detach()
            if index == self.layout.accumulation - 1 and self.layout.zero == 0:
                norm = self._clip_gradients()
            self.deepspeed.step()
        if self.layout.dp > 1:
            dist.all_reduce(total, group=self.dp_group)
        if norm is None:
            norm = torch.as_tensor(self.deepspeed.get_global_grad_norm())
        return StepResult(float(total / counted), float(norm), int(counted))

    @torch.no_grad()
    def _clip_gradients(self) -> Tensor:
        """Scales the gradients to `clip_grad` at most and returns their global 2-norm before that, a float32 scalar.

        Split parameters are summed over the tensor-parallel group, the others, equal on every rank of it, counted once.
        """
        split: list[Tensor] = []
        whole: list[Tensor] = []
        for parameter in self.module.parameters():
            if parameter.grad is not None:
                (split if parameter.tensor_model_parallel else whole).append(parameter.grad)  # type: ignore[attr-defined]
        square = _square_of_norms(split, self.device)
        if self.layout.tp > 1:
            dist.all_reduce(square, group=self.tp_group)
        norm = (square + _square_of_norms(whole, self.device)).sqrt()
        if self.clip_grad > 0:
            torch._foreach_mul_([*split, *whole], (self.clip_grad / (norm + 1e-6)).clamp(max=1.0))
        return norm

    @torch.no_grad()
    def evaluate(self, batches: Tensor) -> tuple[float, int]:
        """Sum of token losses (nats) and counted tokens over all ranks. batches: int64 [passes, rows, sequence + 1]."""
        self.module.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        for rows in batches.to(self.device):
            sums[0] += summed_loss(self.module(rows[:, :-1].clamp(min=0)), rows[:, 1:])
            sums[1] += (rows[:, 1:] != IGNORE).sum()
        if self.layout.dp > 1:
            dist.all_reduce(sums, group=self.dp_group)
        self.module.train()
        return float(sums[0]), int(sums[1])


def _square_of_norms(gradients: list[Tensor], device: torch.device) -> Tensor:
    if not gradients:
        return torch.zeros((), dtype=torch.float32, device=device)
    return torch.stack(torch._foreach_norm(gradients)).float().square().sum()
