"""The same values in our layer list and in transformers' GPT-2 and Llama: logits and gradients side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pretrain.model.loss import summed_loss
from tests.distributed.cases import FAMILIES, SEQUENCE, VOCAB, make_config, make_engine

GPT2 = {
    "embedding.tokens.weight": "transformer.wte.weight",
    "embedding.positions.weight": "transformer.wpe.weight",
    "final_norm": "transformer.ln_f",
    "attention_norm": "ln_1",
    "mlp_norm": "ln_2",
    "attention.output": "attn.c_proj",
    "mlp.up": "mlp.c_fc",
    "mlp.down": "mlp.c_proj",
}
LLAMA = {
    "embedding.tokens.weight": "model.embed_tokens.weight",
    "head.weight": "lm_head.weight",
    "final_norm": "model.norm",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}


def reference(family: str) -> nn.Module:
    """transformers' model of the same shape, in float32, without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    size = FAMILIES[family]
    if family == "gpt":
        return GPT2LMHeadModel(GPT2Config(
            vocab_size=VOCAB, n_positions=SEQUENCE, n_embd=size["hidden_size"], n_layer=size["num_layers"],
            n_head=size["num_heads"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, hidden_size=size["hidden_size"], intermediate_size=size["ffn_hidden_size"],
        num_hidden_layers=size["num_layers"], num_attention_heads=size["num_heads"], rms_norm_eps=1e-5,
        num_key_value_heads=size["num_kv_heads"], max_position_embeddings=SEQUENCE, tie_word_embeddings=False))  # fmt: skip


def counterpart(family: str, name: str, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The view of the reference's tensor that logical tensor `name` corresponds to, in our orientation."""
    names = GPT2 if family == "gpt" else LLAMA
    prefix, kind = "", name
    if name.startswith("blocks."):
        _, index, kind = name.split(".", 2)
        prefix = f"transformer.h.{index}." if family == "gpt" else f"model.layers.{index}."
    if kind in names:
        return tensors[names[kind]]
    module, _, field = kind.rpartition(".")
    if family == "gpt" and module.startswith("attention.") and module != "attention.output":
        part = ("q", "k", "v").index(module[-1])
        fused = (
            tensors[f"{prefix}attn.c_attn.{field}"].T if field == "weight" else tensors[f"{prefix}attn.c_attn.{field}"]
        )
        return fused.chunk(3, dim=0)[part]
    found = tensors[f"{prefix}{names[module]}.{field}"]
    # GPT-2's linear layers hold [in, out].
    return found.T if family == "gpt" and field == "weight" and found.ndim == 2 else found


def compare(family: str) -> dict[str, Any]:
    """Largest difference of logits, and of each logical tensor's gradient, to transformers given the same values."""
    engine = make_engine(make_config(family, {"tp": 1}))
    ours, theirs = engine.module, reference(family)
    generator = torch.Generator().manual_seed(0)
    values = dict(theirs.named_parameters())
    with torch.no_grad():
        for _, parameter, parts in engine.parameter_segments():
            for part in parts:
                drawn = torch.randn(part.box_shape, generator=generator) * 0.1
                # Groups of heads are interleaved in our memory: a segment is a run of rows of the logical tensor.
                rows = slice(*part.box[0])
                parameter.view(-1)[part.offset : part.offset + part.numel] = drawn.reshape(-1)
                counterpart(family, part.name, values)[rows].copy_(drawn)
    tokens = torch.randint(0, VOCAB, (2, SEQUENCE + 1), generator=generator)
    logits = ours(tokens[:, :-1])
    summed_loss(logits.clone(), tokens[:, 1:]).backward()  # a clone: the loss works in place
    output = theirs(tokens[:, :-1]).logits
    nn.functional.cross_entropy(output.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum").backward()
    gradients = {name: value.grad for name, value in values.items() if value.grad is not None}
    gaps: dict[str, float] = {}
    for _, parameter, parts in engine.parameter_segments():
        assert parameter.grad is not None
        for part in parts:
            mine = parameter.grad.view(-1)[part.offset : part.offset + part.numel].view(part.box_shape)
            other = counterpart(family, part.name, gradients)[slice(*part.box[0])]
            gap = float(
                (mine - other).norm() / (other.norm() + 1e-3)
            )  # the gradient of k.bias is zero but for rounding
            gaps[part.name] = max(gap, gaps.get(part.name, 0.0))
    difference = (logits[:, :, :VOCAB].transpose(0, 1) - output).abs().max()
    return {
        "logits": float(difference),
        "gradients": gaps,
        "parameters": len(values),
        "padding_is_masked": bool((logits[:, :, VOCAB:] == float("-inf")).all()) and logits.size(-1) == 384,
    }
