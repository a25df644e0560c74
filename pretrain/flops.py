"""How many floating-point operations a model needs, from its configuration alone. No torch.

Counted are the operations of the model itself, a multiply-add as two: forward and backward, never recompute. So the
same run has the same FLOPs whatever the program does to save memory, and MFU can be compared between programs.
"""

from __future__ import annotations

from dataclasses import dataclass

from configs.schema.train import Model


@dataclass(frozen=True)
class FlopsPerToken:
    """Training FLOPs per token (forward and backward) by the three rules in use.

    full: 6N + 12 x layers x heads x head_dim x sequence: matmuls and all of the attention matrix (PaLM: Chowdhery et al.
    2022, appendix B; the same as Narayanan et al. 2021, section 5.1, without its recompute).
    causal: half of the attention matrix, which is what a causal kernel computes.
    six_n: 6N, matmuls with weights alone (Kaplan et al. 2020, section 2.1).
    """

    full: float
    causal: float
    six_n: float


def matmul_parameters(model: Model, vocab_size: int) -> int:
    """N: elements of the weights that are multiplied with, the output head once (tied or not), vocabulary unpadded.

    Looking up an embedding is no multiplication; norms and biases are left out, as their FLOPs are.
    """
    return model.num_layers * _block_weights(model) + model.hidden_size * (model.vocab_size or vocab_size)


def training_flops_per_token(model: Model, seq_length: int, vocab_size: int) -> FlopsPerToken:
    """FLOPs per token of training on sequences of `seq_length`. Backward counts twice forward, as it does in matmuls.

    Attention, forward, per layer and token: 2 x heads x head_dim x sequence for the scores and as much for their
    product with the values. Grouped key/value heads save weights, not these.
    """
    six_n = 6.0 * matmul_parameters(model, vocab_size)
    attention = 12.0 * model.num_layers * model.num_heads * model.head_size * seq_length
    return FlopsPerToken(full=six_n + attention, causal=six_n + attention / 2, six_n=six_n)


def parameters(model: Model, vocab_size: int, max_positions: int) -> int:
    """Every trained number of the model: unpadded vocabulary, a tied matrix once. max_positions: learned ones only."""
    hidden, vocabulary = model.hidden_size, model.vocab_size or vocab_size
    query, key_value = model.num_heads * model.head_size, model.kv_heads * model.head_size
    fc1 = model.ffn_size * (2 if model.activation == "swiglu" else 1)
    biases = query + 2 * key_value + hidden + fc1 + hidden if model.bias else 0
    norm = hidden if model.norm == "rmsnorm" else 2 * hidden
    total = model.num_layers * (_block_weights(model) + biases + 2 * norm) + norm
    total += vocabulary * hidden * (1 if model.tie_embeddings else 2)
    if model.position == "learned":
        total += (model.max_positions or max_positions) * hidden
    return total


def _block_weights(model: Model) -> int:
    query, key_value = model.num_heads * model.head_size, model.kv_heads * model.head_size
    attention = model.hidden_size * (query + 2 * key_value) + query * model.hidden_size
    return attention + model.hidden_size * model.ffn_size * (3 if model.activation == "swiglu" else 2)
