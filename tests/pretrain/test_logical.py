"""Segments cover every logical tensor exactly once, for any model and any tensor-parallel degree."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.train import Model
from pretrain.model.initialize import TILE, draw, initial_values
from pretrain.model.logical import Segment, is_split, padded_vocab, segments

GPT = Model(num_layers=2, hidden_size=64, num_heads=8)
LLAMA = Model(
    num_layers=2, hidden_size=64, num_heads=8, num_kv_heads=4, ffn_hidden_size=176, activation="swiglu", norm="rmsnorm",
    position="rope", tie_embeddings=False, bias=False,
)  # fmt: skip
VOCAB, POSITIONS = 300, 32

BLOCK = ["input_layernorm", "pre_mlp_layernorm", "self_attention.linear_qkv", "self_attention.linear_proj",
         "mlp.linear_fc1", "mlp.linear_fc2"]  # fmt: skip


def parameters(model: Model) -> list[str]:
    kinds = ["weight", "bias"] if model.bias else ["weight"]
    names = ["embedding.tokens.weight", "final_norm.weight"]
    names += ["embedding.positions.weight"] if model.position == "learned" else []
    names += [] if model.tie_embeddings else ["head.weight"]
    names += [f"blocks.{i}.layer.{m}.{k}" for i in range(model.num_layers) for m in BLOCK for k in kinds]
    return names


@pytest.mark.parametrize("model", [GPT, LLAMA], ids=["gpt", "llama"])
@pytest.mark.parametrize("tp", [1, 2, 4])
def test_every_element_of_every_logical_tensor_lies_on_exactly_one_rank(model: Model, tp: int) -> None:
    counts: dict[str, np.ndarray] = {}
    for name in parameters(model):
        for rank in range(tp if is_split(name) else 1):
            for part in segments(name, model, VOCAB, POSITIONS, rank, tp):
                array = counts.setdefault(part.name, np.zeros(part.shape, dtype=int))
                array[tuple(slice(*side) for side in part.box)] += 1
    assert all((array == 1).all() for array in counts.values())
    names = {name.split(".", 2)[-1] for name in counts if name.startswith("blocks.0")}
    assert {"attention.q.weight", "attention.k.weight", "attention.v.weight", "mlp.up.weight"} <= names
    assert ("mlp.gate.weight" in names) == (model.activation == "swiglu")


@pytest.mark.parametrize("model", [GPT, LLAMA], ids=["gpt", "llama"])
@pytest.mark.parametrize("tp", [1, 2, 4])
def test_segments_of_a_parameter_do_not_overlap_in_memory(model: Model, tp: int) -> None:
    for name in parameters(model):
        for rank in range(tp):
            used: dict[int, int] = defaultdict(int)
            for part in segments(name, model, VOCAB, POSITIONS, rank, tp):
                for i in range(part.offset, part.offset + part.numel):
                    used[i] += 1
            assert set(used.values()) <= {1}
            if "tokens" not in name and "head" not in name:
                assert sorted(used) == list(range(len(used))), "only the vocabulary has padding"


def test_an_unknown_parameter_is_an_error_not_left_out() -> None:
    with pytest.raises(KeyError):
        segments("blocks.0.layer.surprise.weight", GPT, VOCAB, POSITIONS, 0, 1)


def test_the_vocabulary_is_padded_to_a_multiple_of_128_and_of_tp() -> None:
    assert [padded_vocab(300, tp) for tp in (1, 2, 3, 8)] == [384, 384, 384, 384]
    assert padded_vocab(50257, 1) == 50304
    assert padded_vocab(128, 256) == 256


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_cut_of_a_tensor_draws_the_same_values(data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 3 * TILE)), data.draw(st.integers(1, 3 * TILE)))
    whole = draw(Segment("x.weight", shape, ((0, shape[0]), (0, shape[1])), 0), seed=3)
    box = []
    for n in shape:
        lo = data.draw(st.integers(0, n - 1))
        box.append((lo, data.draw(st.integers(lo + 1, n))))
    part = draw(Segment("x.weight", shape, tuple(box), 0), seed=3)
    assert (part == whole[tuple(slice(*side) for side in box)]).all()


def test_initial_values_are_the_same_in_every_version() -> None:
    part = Segment("blocks.0.attention.q.weight", (64, 64), ((0, 64), (0, 64)), 0)
    values = initial_values(part, GPT, seed=1)
    assert values.dtype == np.float32
    golden = [-0.018727276474237442, 0.004533055238425732]
    assert [float(values[0, 0]), float(values[-1, -1])] == golden
    assert abs(values.std() - 0.02) < 0.001


def test_residual_outputs_start_smaller_and_vectors_plain() -> None:
    def std(name: str) -> float:
        return float(initial_values(Segment(name, (64, 256), ((0, 64), (0, 256)), 0), GPT, 1).std())

    assert std("blocks.0.mlp.down.weight") == pytest.approx(0.02 / 2, rel=0.05)  # sqrt(2 x 2 layers)
    assert std("blocks.0.mlp.up.weight") == pytest.approx(0.02, rel=0.05)
    bias = Segment("blocks.0.mlp.up.bias", (8,), ((0, 8),), 0)
    norm = Segment("final_norm.weight", (8,), ((0, 8),), 0)
    assert not initial_values(bias, GPT, 1).any()
    assert (initial_values(norm, GPT, 1) == 1).all()
