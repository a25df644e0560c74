"""The one place that states the order in which a model is made ready to train on this rank:

layers -> values by logical name -> tags for tensor parallelism -> device -> compile -> recompute -> engine

Recompute wraps what is compiled: traced through a checkpoint, the collectives of tensor parallelism would keep the whole
block from being compiled.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from configs.schema.train import Model
from configs.schema.tree import Config
from pretrain.model.initialize import initial_values
from pretrain.model.layers import Block, SequentialModel, Shape
from pretrain.model.logical import is_split, segments
from pretrain.parallel.compile import compile_block, enable
from pretrain.parallel.engine import Engine
from pretrain.parallel.layout import Layout
from pretrain.parallel.recompute import recompute
from pretrain.parallel.runtime import Ranks

Named = Iterable[tuple[str, nn.Parameter]]


@torch.no_grad()
def set_initial_values(named: Named, shape: Shape, tp_rank: int, seed: int) -> None:
    """Writes the initial values; rows of padding become zero."""
    for name, parameter in named:
        parameter.zero_()
        flat = parameter.view(-1)
        for part in segments(name, shape.model, shape.vocab_size, shape.positions, tp_rank, shape.tp):
            values = torch.from_numpy(initial_values(part, shape.model, seed)).view(-1)
            flat[part.offset : part.offset + part.numel].copy_(values)


def tag_parameters(named: Named) -> None:
    """Marks split parameters as Megatron-core does: norms and clipping count a parameter without the mark only once."""
    for name, parameter in named:
        parameter.tensor_model_parallel = is_split(name)  # type: ignore[attr-defined]


def model_shape(model: Model, vocab_size: int, seq_length: int, layout: Layout, precision: str) -> Shape:
    """The shape of the layers: sizes that the corpus or the sequence length decide are filled in."""
    return Shape(
        model=model,
        vocab_size=model.vocab_size or vocab_size,
        positions=model.max_positions or seq_length,
        tp=layout.tp,
        sequence_parallel=layout.sequence_parallel,
        dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
    )


def build_engine(config: Config, vocab_size: int, layout: Layout, ranks: Ranks, device: torch.device) -> Engine:
    """This rank's part of the model with its initial values, ready to train under the layout. Collective."""
    assert config.model is not None
    train = config.train
    shape = model_shape(config.model, vocab_size, train.seq_length, layout, train.precision)
    if layout.pp > 1:
        from pretrain.parallel.pipeline import PipelinedEngine, StagedModel, staged_parameters

        staged = StagedModel(shape, layout)
        _prepare(staged, list(staged_parameters(staged)), config, shape, ranks, device)
        return PipelinedEngine(staged, shape, config, layout, ranks)
    from pretrain.parallel.sequential import SequentialEngine

    sequential = SequentialModel(shape)
    _prepare(sequential, list(sequential.named_parameters()), config, shape, ranks, device)
    return SequentialEngine(sequential, shape, config, layout, ranks)


def _prepare(module: nn.Module, named: Named, config: Config, shape: Shape, ranks: Ranks, device: torch.device) -> None:
    set_initial_values(named, shape, ranks.tp_rank, config.train.seed)
    tag_parameters(named)
    module.to(device)
    train = config.train
    if train.compile:
        enable(device.type == "cpu", train.deterministic)
    for block in [layer for layer in module.modules() if isinstance(layer, Block)]:
        if train.compile:
            compile_block(block, train.seq_length, device)
        recompute(block, train.recompute)
