"""The one place that states the order in which a model is made ready to train on this rank:

layers -> values by logical name -> tags for tensor parallelism -> device -> engine
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from configs.schema.train import Model
from pretrain.model.initialize import initial_values
from pretrain.model.layers import SequentialModel, Shape
from pretrain.model.logical import Segment, is_split, segments
from pretrain.parallel.runtime import Ranks


def parameter_segments(
    module: nn.Module, shape: Shape, tp_rank: int
) -> Iterator[tuple[str, nn.Parameter, list[Segment]]]:
    """Every parameter of the rank with its name in the layer list and its segments in the logical tensors."""
    for name, parameter in module.named_parameters():
        yield name, parameter, segments(name, shape.model, shape.vocab_size, shape.positions, tp_rank, shape.tp)


@torch.no_grad()
def set_initial_values(module: nn.Module, shape: Shape, tp_rank: int, seed: int) -> None:
    """Writes the initial values; rows of padding become zero."""
    for _, parameter, parts in parameter_segments(module, shape, tp_rank):
        parameter.zero_()
        flat = parameter.view(-1)
        for part in parts:
            values = torch.from_numpy(initial_values(part, shape.model, seed)).view(-1)
            flat[part.offset : part.offset + part.numel].copy_(values)


def tag_parameters(module: nn.Module) -> None:
    """Marks split parameters as Megatron-core does: norms and clipping count a parameter without the mark only once."""
    for name, parameter in module.named_parameters():
        parameter.tensor_model_parallel = is_split(name)  # type: ignore[attr-defined]


def model_shape(
    model: Model, vocab_size: int, seq_length: int, tp: int, sequence_parallel: bool, dtype: torch.dtype
) -> Shape:
    """The shape of the layers: sizes that the corpus or the sequence length decide are filled in."""
    return Shape(
        model=model,
        vocab_size=model.vocab_size or vocab_size,
        positions=model.max_positions or seq_length,
        tp=tp,
        sequence_parallel=sequence_parallel,
        dtype=dtype,
    )


def build_model(shape: Shape, ranks: Ranks, seed: int, device: torch.device) -> SequentialModel:
    """The rank's part of the model, with its initial values, on its device."""
    module = SequentialModel(shape)
    set_initial_values(module, shape, ranks.tp_rank, seed)
    tag_parameters(module)
    return module.to(device)
