"""The model as one flat list: embedding, blocks, final norm, head. Pipeline degree 1 runs it in sequence.

Hidden states travel as [sequence, batch, hidden], split along the sequence over the tensor-parallel group when sequence
parallelism is on (Korthikanti et al. 2022, section 4.2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from megatron.core import parallel_state, tensor_parallel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.tensor_parallel.layers import VocabParallelEmbedding
from megatron.core.transformer.spec_utils import build_module
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from configs.schema.train import Model
from pretrain.model.attention import CoreAttention
from pretrain.model.logical import padded_vocab
from pretrain.model.norm import Norm
from pretrain.model.rope import rotary_angles


@dataclass(frozen=True)
class Shape:
    """What the layers need to know to be built: the model, its vocabulary and positions, and how it is split."""

    model: Model
    vocab_size: int
    positions: int
    tp: int = 1
    sequence_parallel: bool = False
    dtype: torch.dtype = torch.float32

    @property
    def padded_vocab(self) -> int:
        return padded_vocab(self.vocab_size, self.tp)


def _no_init(_: Tensor) -> None:
    """Weights get their values by logical name (pretrain.model.initialize), after the layers are built."""


def transformer_config(shape: Shape) -> TransformerConfig:
    """Megatron-core's description of the same model. Every fusion that needs Apex, Transformer Engine or CUDA is off."""
    model = shape.model
    return TransformerConfig(
        num_layers=model.num_layers,
        hidden_size=model.hidden_size,
        num_attention_heads=model.num_heads,
        num_query_groups=model.kv_heads,
        kv_channels=model.head_size,
        ffn_hidden_size=model.ffn_size,
        activation_func=F.silu if model.activation == "swiglu" else partial(F.gelu, approximate="tanh"),
        gated_linear_unit=model.activation == "swiglu",
        normalization="RMSNorm" if model.norm == "rmsnorm" else "LayerNorm",
        layernorm_epsilon=model.norm_eps,
        add_bias_linear=model.bias,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        tensor_model_parallel_size=shape.tp,
        sequence_parallel=shape.sequence_parallel,
        params_dtype=shape.dtype,
        pipeline_dtype=shape.dtype,
        use_cpu_initialization=True,
        perform_initialization=False,
        init_method=_no_init,
        output_layer_init_method=_no_init,
        embedding_init_method=_no_init,
        bias_dropout_fusion=False,
        bias_activation_fusion=False,
        apply_rope_fusion=False,
        masked_softmax_fusion=False,
        gradient_accumulation_fusion=False,
    )


class Embedding(nn.Module):
    """Token (and learned position) embedding. [batch, sequence] int64 -> [sequence(/tp), batch, hidden]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        config = transformer_config(shape)
        self.sequence_parallel = shape.sequence_parallel
        self.tokens = VocabParallelEmbedding(
            shape.padded_vocab, shape.model.hidden_size, init_method=_no_init, config=config
        )
        self.positions: nn.Embedding | None = None
        if shape.model.position == "learned":
            self.positions = nn.Embedding(shape.positions, shape.model.hidden_size, dtype=shape.dtype)

    @property
    def weight(self) -> Tensor:
        """The token embedding, [padded vocabulary / tp, hidden]; a tied head multiplies with it."""
        return self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.tokens(tokens)
        if self.positions is not None:
            hidden = hidden + self.positions.weight[: tokens.size(1)]
        hidden = hidden.transpose(0, 1).contiguous()
        if self.sequence_parallel:
            # The slice is a view; a clone lets the full-length tensor go.
            hidden = tensor_parallel.scatter_to_sequence_parallel_region(hidden).clone()
        return hidden


class Block(nn.Module):
    """One transformer layer of Megatron-core with our core attention and norms. [s(/tp), b, h] -> the same."""

    def __init__(self, shape: Shape, index: int) -> None:
        super().__init__()
        spec = get_gpt_layer_local_spec(normalization="RMSNorm" if shape.model.norm == "rmsnorm" else None)
        spec.submodules.self_attention.submodules.core_attention = CoreAttention
        spec.submodules.input_layernorm = Norm
        spec.submodules.pre_mlp_layernorm = Norm
        self.layer = build_module(spec, config=transformer_config(shape), layer_number=index + 1)
        self.rope = (shape.model.head_size, shape.model.rope_theta) if shape.model.position == "rope" else None
        self.sequence_shards = shape.tp if shape.sequence_parallel else 1
        self._angles: Tensor | None = None

    def angles(self, hidden: Tensor) -> Tensor | None:
        """Rotary angles of the whole sequence, kept between calls of the same length."""
        if self.rope is None:
            return None
        length = hidden.size(0) * self.sequence_shards
        if self._angles is None or self._angles.size(0) != length or self._angles.device != hidden.device:
            self._angles = rotary_angles(length, *self.rope, hidden.device)
        return self._angles

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layer(hidden, attention_mask=None, rotary_pos_emb=self.angles(hidden))[0]


class FinalNorm(Norm):
    """The norm before the head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(transformer_config(shape), shape.model.hidden_size, shape.model.norm_eps)


class Head(nn.Module):
    """Hidden states -> logits of this rank's part of the vocabulary; padded columns are -inf.

    [sequence(/tp), batch, hidden] -> [sequence, batch, padded vocabulary / tp]. Tied: multiplies with the embedding's
    weight, handed in at each call, and owns none.
    """

    def __init__(self, shape: Shape, tied: bool) -> None:
        super().__init__()
        self.sequence_parallel = shape.sequence_parallel
        per_rank = shape.padded_vocab // shape.tp
        self.counted = min(
            max(shape.vocab_size - parallel_state.get_tensor_model_parallel_rank() * per_rank, 0), per_rank
        )
        self.weight: nn.Parameter | None = None
        if not tied:
            self.weight = nn.Parameter(torch.empty(per_rank, shape.model.hidden_size, dtype=shape.dtype))

    def forward(self, hidden: Tensor, weight: Tensor | None = None) -> Tensor:
        matrix = self.weight if weight is None else weight
        assert matrix is not None, "a tied head needs the embedding's weight"
        if self.sequence_parallel:
            hidden = tensor_parallel.gather_from_sequence_parallel_region(hidden, tensor_parallel_output_grad=True)
        else:
            hidden = tensor_parallel.copy_to_tensor_model_parallel_region(hidden)
        logits = F.linear(hidden, matrix)
        if self.counted < logits.size(-1):
            padded = torch.arange(logits.size(-1), device=logits.device) >= self.counted
            logits = logits.masked_fill(padded, float("-inf"))
        return logits


@dataclass(frozen=True)
class Layer:
    """An entry of the list: its logical name, and the module class and arguments it is built from where it lives."""

    name: str
    module: type[nn.Module]
    arguments: tuple[Any, ...]

    def build(self) -> nn.Module:
        """The module, without values yet."""
        return self.module(*self.arguments)


def layer_list(shape: Shape) -> list[Layer]:
    """The whole model, in order. The only place that says what it is made of."""
    model = shape.model
    return [
        Layer("embedding", Embedding, (shape,)),
        *(Layer(f"blocks.{i}", Block, (shape, i)) for i in range(model.num_layers)),
        Layer("final_norm", FinalNorm, (shape,)),
        Layer("head", Head, (shape, model.tie_embeddings)),
    ]


class SequentialModel(nn.Module):
    """The list run in sequence: tokens [batch, sequence] -> logits [sequence, batch, padded vocabulary / tp]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.tied = shape.model.tie_embeddings
        built: dict[str, Any] = {layer.name: layer.build() for layer in layer_list(shape)}
        self.embedding: Embedding = built["embedding"]
        self.blocks = nn.ModuleList(module for name, module in built.items() if name.startswith("blocks."))
        self.final_norm: FinalNorm = built["final_norm"]
        self.head: Head = built["head"]

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embedding(tokens)
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(self.final_norm(hidden), self.embedding.weight if self.tied else None)
