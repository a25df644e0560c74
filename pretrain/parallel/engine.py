"""What every layout's engine has in common: one optimizer step on a global batch, whatever DeepSpeed is asked to do.

What DeepSpeed gets wrong for us is done in `Engine` and its two forms and said where: the mean over uneven token counts,
the gradient norm at ZeRO-0, and the gradients of norms under sequence parallelism.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor, nn

from configs.schema.tree import Config
from pretrain.model.layers import Shape
from pretrain.model.logical import Segment, segments
from pretrain.model.loss import IGNORE
from pretrain.parallel.layout import Layout
from pretrain.parallel.runtime import Ranks


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
        # Activations are not equal over tp under sequence parallelism; cut as if they were, the losses are wrong.
        "pipeline": {"pipe_partitioned": False, "grad_partitioned": False},
    }
    if config.train.precision == "bf16":
        settings["bf16"] = {"enabled": True}
        settings["data_types"] = {"grad_accum_dtype": "fp32"}  # the default accumulates in bf16
    return settings


class Engine(ABC):
    """This rank's part of the model and its optimizer. One engine per process: DeepSpeed keeps its mpu in a global."""

    def __init__(self, module: nn.Module, shape: Shape, config: Config, layout: Layout, ranks: Ranks) -> None:
        self.module, self.shape, self.layout, self.ranks = module, shape, layout, ranks
        self.clip_grad = config.optimizer.clip_grad
        self.device = next(module.parameters()).device
        self.tp_group = parallel_state.get_tensor_model_parallel_group()
        self.dp_group = parallel_state.get_data_parallel_group()
        if layout.sequence_parallel:
            self._reduce_sequence_parallel_gradients()
        self.deepspeed: Any = None

    def _reduce_sequence_parallel_gradients(self) -> None:
        """Sums over tp the gradients of norms and row-parallel biases, of which each rank sees a part of the sequence.

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

    @abstractmethod
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Every parameter of this rank under its name in the layer list; a tied copy has the name of the original."""

    def parameter_segments(self) -> Iterator[tuple[str, nn.Parameter, list[Segment]]]:
        """As `named_parameters`, with the segments of each in the logical tensors."""
        shape = self.shape
        for name, parameter in self.named_parameters():
            parts = segments(name, shape.model, shape.vocab_size, shape.positions, self.ranks.tp_rank, shape.tp)
            yield name, parameter, parts

    def step(self, batch: Tensor, learning_rate: float) -> StepResult:
        """One update from this rank's share of a global batch.

        batch: int64 [accumulation, micro_batch, sequence + 1] on the host; labels are the tokens shifted by one, and a
        label equal to IGNORE counts nothing. Loss and gradient are sums over tokens / counted tokens of the whole
        global batch: DeepSpeed divides by accumulation and by dp, so each micro-batch's sum is multiplied by both.
        """
        batch = batch.to(self.device, non_blocking=True)
        counted = self._counted(batch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss, norm = self._update(batch, (self.layout.accumulation * self.layout.dp) / counted)
        return StepResult(float(loss), float(norm), int(counted))

    def _counted(self, batch: Tensor) -> Tensor:
        """Counted labels of the batch over all data-parallel ranks, int64 scalar."""
        counted = (batch[:, :, 1:] != IGNORE).sum()
        if self.layout.dp > 1:
            dist.all_reduce(counted, group=self.dp_group)
        return counted

    @abstractmethod
    def _update(self, batch: Tensor, scale: Tensor) -> tuple[Tensor, Any]:
        """Forward, backward with each micro-batch's summed loss x scale, and the optimizer's step.

        Returns the mean loss over the global batch's counted tokens and the gradient norm before clipping.
        """

    @abstractmethod
    def _evaluate(self, batches: Tensor) -> Tensor:
        """Sum of token losses over all data-parallel ranks, known to every rank."""

    @torch.no_grad()
    def evaluate(self, batches: Tensor) -> tuple[float, int]:
        """Sum of token losses (nats) and counted tokens over all ranks. batches: int64 [passes, rows, sequence + 1]."""
        batches = batches.to(self.device)
        counted = self._counted(batches)
        self.module.eval()
        total = self._evaluate(batches)
        self.module.train()
        return float(total), int(counted)
