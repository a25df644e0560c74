"""From the tensors a rank holds to the logical tensors of the model.

Megatron-core fuses q, k, v (interleaved by query group) and gate, up, and every rank holds only its tensor-parallel
slice. Checkpoints and initialisation speak of the *logical* tensors instead: unfused, unpadded, whole. A `Segment` says
where a run of a rank's flat memory lies in a logical tensor; the segments of a parameter are all that the rest of the
program needs to know about tensor parallelism. No torch here: pure arithmetic on shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm, prod

from configs.schema.train import Model


@dataclass(frozen=True)
class Segment:
    """A contiguous run of a parameter's flattened local memory and the box it fills in a logical tensor.

    name: logical name. shape: full, unpadded shape of the logical tensor. box: (start, stop) for each dimension of it.
    offset: index in the rank's flattened parameter where the box's elements begin, in row-major order of the box.
    """

    name: str
    shape: tuple[int, ...]
    box: tuple[tuple[int, int], ...]
    offset: int

    @property
    def box_shape(self) -> tuple[int, ...]:
        return tuple(stop - start for start, stop in self.box)

    @property
    def numel(self) -> int:
        return prod(self.box_shape)


def padded_vocab(vocab_size: int, tp: int) -> int:
    """Rows of the physical vocabulary: the next multiple of lcm(128, tp), so every rank's slice is equal and aligned."""
    multiple = lcm(128, tp)
    return -(-vocab_size // multiple) * multiple


_REPLICATED = ("norm.weight", "norm.bias", "positions.weight", "linear_proj.bias", "linear_fc2.bias")


def is_split(parameter: str) -> bool:
    """Whether tensor-parallel ranks hold different parts of the parameter (else each holds all of it)."""
    return not parameter.endswith(_REPLICATED)


def whole(name: str, *shape: int) -> list[Segment]:
    """A parameter that every tensor-parallel rank holds in full."""
    return [Segment(name, shape, tuple((0, n) for n in shape), 0)]


def rows(name: str, shape: tuple[int, ...], start: int, count: int, local_row: int = 0) -> Segment:
    """`count` rows of a logical tensor from `start`, lying from `local_row` on in the rank's memory."""
    row = prod(shape[1:])
    return Segment(name, shape, ((start, start + count), *((0, n) for n in shape[1:])), local_row * row)


def columns(name: str, shape: tuple[int, int], rank: int, tp: int) -> list[Segment]:
    """A row-parallel weight: the rank holds a block of columns, all rows."""
    width = shape[1] // tp
    return [Segment(name, shape, ((0, shape[0]), (rank * width, (rank + 1) * width)), 0)]


def _vocabulary(name: str, model: Model, vocab_size: int, rank: int, tp: int) -> list[Segment]:
    per_rank = padded_vocab(vocab_size, tp) // tp
    start, stop = rank * per_rank, min((rank + 1) * per_rank, vocab_size)
    return [rows(name, (vocab_size, model.hidden_size), start, stop - start)] if stop > start else []


def _qkv(block: str, kind: str, model: Model, rank: int, tp: int) -> Iterator[Segment]:
    """Megatron-core's fused projection: for each query group its query heads, then its key head, then its value head."""
    size = model.head_size
    heads_per_group = model.num_heads // model.kv_heads
    tail = (model.hidden_size,) if kind == "weight" else ()
    for local, group in enumerate(range(rank * model.kv_heads // tp, (rank + 1) * model.kv_heads // tp)):
        row = local * (heads_per_group + 2) * size
        q_rows = heads_per_group * size
        yield rows(f"{block}.attention.q.{kind}", (model.num_heads * size, *tail), group * q_rows, q_rows, row)
        yield rows(f"{block}.attention.k.{kind}", (model.kv_heads * size, *tail), group * size, size, row + q_rows)
        yield rows(
            f"{block}.attention.v.{kind}", (model.kv_heads * size, *tail), group * size, size, row + q_rows + size
        )


def _up(block: str, kind: str, model: Model, rank: int, tp: int) -> Iterator[Segment]:
    """First linear of the MLP; gated: the rank's gate rows, then its up rows (Megatron-core's partition stride 2)."""
    tail = (model.hidden_size,) if kind == "weight" else ()
    count = model.ffn_size // tp
    names = ["gate", "up"] if model.activation == "swiglu" else ["up"]
    for i, part in enumerate(names):
        yield rows(f"{block}.mlp.{part}.{kind}", (model.ffn_size, *tail), rank * count, count, i * count)


def segments(parameter: str, model: Model, vocab_size: int, positions: int, rank: int, tp: int) -> list[Segment]:
    """The segments of one parameter of the layer list.

    parameter: its name in the list, `embedding.tokens.weight`, `blocks.3.layer.self_attention.linear_qkv.weight`, ...
    rank, tp: tensor-parallel rank and degree. Raises KeyError for a parameter it does not know: nothing is left out.
    """
    hidden = model.hidden_size
    if parameter in ("embedding.tokens.weight", "head.weight"):
        return _vocabulary(parameter, model, vocab_size, rank, tp)
    if parameter == "embedding.positions.weight":
        return whole(parameter, positions, hidden)
    if parameter.startswith("final_norm."):
        return whole(parameter, hidden)
    if not parameter.startswith("blocks."):
        raise KeyError(parameter)
    _, index, _, rest = parameter.split(".", 3)
    block = f"blocks.{index}"
    module, kind = rest.rsplit(".", 1)
    match module:
        case "input_layernorm":
            return whole(f"{block}.attention_norm.{kind}", hidden)
        case "pre_mlp_layernorm":
            return whole(f"{block}.mlp_norm.{kind}", hidden)
        case "self_attention.linear_qkv":
            return list(_qkv(block, kind, model, rank, tp))
        case "self_attention.linear_proj":
            name = f"{block}.attention.output.{kind}"
            if kind == "bias":
                return whole(name, hidden)
            return columns(name, (hidden, model.num_heads * model.head_size), rank, tp)
        case "mlp.linear_fc1":
            return list(_up(block, kind, model, rank, tp))
        case "mlp.linear_fc2":
            name = f"{block}.mlp.down.{kind}"
            return whole(name, hidden) if kind == "bias" else columns(name, (hidden, model.ffn_size), rank, tp)
    raise KeyError(parameter)
