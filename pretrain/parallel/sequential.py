"""The layer list run in sequence under DeepSpeed's plain engine: pipeline degree 1, ZeRO 0 to 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor, nn

from configs.schema.tree import Config
from pretrain.model.layers import SequentialModel, Shape
from pretrain.model.loss import summed_loss
from pretrain.optimizer import build_optimizer
from pretrain.parallel.engine import Engine, deepspeed_config
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


class SequentialEngine(Engine):
    """Trains a SequentialModel."""

    module: SequentialModel

    def __init__(self, module: SequentialModel, shape: Shape, config: Config, layout: Layout, ranks: Ranks) -> None:
        import deepspeed

        super().__init__(module, shape, config, layout, ranks)
        self.deepspeed, *_ = deepspeed.initialize(
            model=module,
            optimizer=build_optimizer(module, config.optimizer),
            config=deepspeed_config(config, layout),
            mpu=ModelParallelUnit,
        )
        if layout.dp == 1 and layout.zero == 0:
            # An all-reduce over one rank still flattens and copies every gradient.
            self.deepspeed.enable_backward_allreduce = False

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self.module.named_parameters()

    def _update(self, batch: Tensor, scale: Tensor) -> tuple[Tensor, Any]:
        total = torch.zeros((), dtype=torch.float32, device=self.device)
        norm: Any = None
        for index, micro in enumerate(batch):
            summed = summed_loss(self.deepspeed(micro[:, :-1].clamp(min=0)), micro[:, 1:])
            self.deepspeed.backward(summed * scale)
            total += summed.detach()
            if index == self.layout.accumulation - 1 and self.layout.zero == 0:
                norm = self._clip_gradients()
            self.deepspeed.step()
        if self.layout.dp > 1:
            dist.all_reduce(total, group=self.dp_group)
        loss = total * scale / (self.layout.accumulation * self.layout.dp)
        return loss, self.deepspeed.get_global_grad_norm() if norm is None else norm

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

    def _evaluate(self, batches: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for rows in batches:
            total += summed_loss(self.module(rows[:, :-1].clamp(min=0)), rows[:, 1:])
        if self.layout.dp > 1:
            dist.all_reduce(total, group=self.dp_group)
        return total


def _square_of_norms(gradients: list[Tensor], device: torch.device) -> Tensor:
    if not gradients:
        return torch.zeros((), dtype=torch.float32, device=device)
    return torch.stack(torch._foreach_norm(gradients)).float().square().sum()
