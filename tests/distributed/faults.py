"""Silent errors that are known, each planted on purpose: every one must turn the parity suite red."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from deepspeed.runtime import engine as deepspeed_engine
from deepspeed.runtime.pipe import schedule
from deepspeed.runtime.pipe.engine import PipelineEngine
from torch import Tensor

from pretrain.checkpoint import restore as restoring
from pretrain.model import layers, logical
from pretrain.model.loss import IGNORE
from pretrain.parallel import engine, layout, pipeline, sequential


def norm_gradients_not_reduced() -> None:
    """Under sequence parallelism each rank keeps its own part of the norms' gradients."""
    engine.Engine._reduce_sequence_parallel_gradients = lambda self: None  # type: ignore[method-assign]


def activations_cut_over_tp() -> None:
    """DeepSpeed's default: it cuts activations between stages as if they were equal on every tensor-parallel rank."""
    sound = engine.deepspeed_config

    def config(*arguments: Any) -> dict[str, Any]:
        return {key: value for key, value in sound(*arguments).items() if key != "pipeline"}

    pipeline.deepspeed_config = config  # type: ignore[attr-defined]


def clipped_by_deepspeed_at_zero_0() -> None:
    """Under a pipeline at ZeRO-0 DeepSpeed leaves out norms of later stages and counts the tied embedding twice."""
    resolve, config = layout.resolve, engine.deepspeed_config

    def resolved(*arguments: Any) -> layout.Layout:
        return layout.Layout(**{**vars(resolve(*arguments)), "zero": 0})

    def clipping(configuration: Any, of: Any) -> dict[str, Any]:
        return {**config(configuration, of), "gradient_clipping": configuration.optimizer.clip_grad}

    from tests.distributed import cases

    norms: list[Any] = []
    clip = deepspeed_engine.clip_grad_norm_

    def noting(*arguments: Any, **keywords: Any) -> Any:
        norms.append(clip(*arguments, **keywords))
        return norms[-1]

    deepspeed_engine.clip_grad_norm_ = noting
    deepspeed_engine.DeepSpeedEngine.get_global_grad_norm = lambda self: norms[-1]
    cases.resolve = resolved  # type: ignore[attr-defined]
    pipeline.deepspeed_config = clipping  # type: ignore[attr-defined]


def mean_of_means() -> None:
    """Every micro-batch counts alike, however many labels it counts."""
    sound = sequential.summed_loss

    def mean(logits: Tensor, labels: Tensor) -> Tensor:
        return sound(logits, labels) / (labels != IGNORE).sum() * labels.numel()

    def counted(self: engine.Engine, batch: Tensor) -> Tensor:
        return torch.tensor(batch[:, :, 1:].numel() * self.layout.dp)

    sequential.summed_loss = mean  # type: ignore[attr-defined]
    engine.Engine._counted = counted  # type: ignore[method-assign]


def gate_and_up_as_one_run() -> None:
    """The partition stride of a gated linear ignored: rank 0 gets the gate, rank 1 the up projection."""

    def up(block: str, kind: str, model: Any, rank: int, tp: int) -> Iterator[logical.Segment]:
        tail = (model.hidden_size,) if kind == "weight" else ()
        count = 2 * model.ffn_size // tp
        part, start = divmod(rank * count, model.ffn_size)
        yield logical.rows(f"{block}.mlp.{('gate', 'up')[part]}.{kind}", (model.ffn_size, *tail), start, count)

    logical._up = up


def tied_gradient_not_reduced() -> None:
    """The two copies of the embedding each follow their own gradient."""
    PipelineEngine._INSTRUCTION_MAP = {
        **PipelineEngine._INSTRUCTION_MAP,
        schedule.ReduceTiedGrads: lambda self: None,
    }


def padded_columns_not_masked() -> None:
    """The rows of padding take part in the softmax."""
    forward = layers.Head.forward

    def unmasked(self: layers.Head, hidden: Tensor, weight: Tensor | None = None) -> Tensor:
        self.counted = 1 << 30
        return forward(self, hidden, weight)

    layers.Head.forward = unmasked  # type: ignore[method-assign]


def second_moment_not_restored() -> None:
    """exp_avg_sq stays zero after a restore."""
    sound = restoring.fragments

    def without(of: Any) -> Iterator[Any]:
        for fragment in sound(of):
            kept = {key: value for key, value in fragment.tensors.items() if key != "exp_avg_sq"}
            yield type(fragment)(**{**vars(fragment), "tensors": kept})

    restoring.fragments = without  # type: ignore[attr-defined]


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        norm_gradients_not_reduced, activations_cut_over_tp, clipped_by_deepspeed_at_zero_0, mean_of_means,
        gate_and_up_as_one_run, tied_gradient_not_reduced, padded_columns_not_masked, second_moment_not_restored,
    )
}  # fmt: skip
