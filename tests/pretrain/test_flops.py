"""FLOPs and parameters counted from a configuration are those that PyTorch counts in a running model."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention, silu
from torch.utils.flop_counter import FlopCounterMode

from configs.loader import load
from configs.schema.train import Model
from pretrain.flops import matmul_parameters, parameters, training_flops_per_token

GPT = Model(num_layers=3, hidden_size=64, num_heads=4, bias=True)
LLAMA = Model(
    num_layers=2,
    hidden_size=96,
    num_heads=6,
    num_kv_heads=2,
    head_dim=24,
    ffn_hidden_size=160,
    activation="swiglu",
    norm="rmsnorm",
    position="rope",
    tie_embeddings=False,
    bias=False,
)


class PlainBlock(nn.Module):
    """A transformer block in plain PyTorch, written from the papers, to count in. Rotation by position costs no matmul."""

    def __init__(self, m: Model):
        super().__init__()
        norm = nn.RMSNorm if m.norm == "rmsnorm" else nn.LayerNorm
        self.m, gated = m, m.activation == "swiglu"
        self.norm1, self.norm2 = norm(m.hidden_size), norm(m.hidden_size)
        self.q = nn.Linear(m.hidden_size, m.num_heads * m.head_size, bias=m.bias)
        self.k = nn.Linear(m.hidden_size, m.kv_heads * m.head_size, bias=m.bias)
        self.v = nn.Linear(m.hidden_size, m.kv_heads * m.head_size, bias=m.bias)
        self.o = nn.Linear(m.num_heads * m.head_size, m.hidden_size, bias=m.bias)
        self.gate = nn.Linear(m.hidden_size, m.ffn_size, bias=m.bias) if gated else None
        self.up = nn.Linear(m.hidden_size, m.ffn_size, bias=m.bias)
        self.down = nn.Linear(m.ffn_size, m.hidden_size, bias=m.bias)

    def forward(self, x):
        batch, length, _ = x.shape
        heads = [
            p(self.norm1(x)).view(batch, length, -1, self.m.head_size).transpose(1, 2) for p in (self.q, self.k, self.v)
        ]
        repeated = [t.repeat_interleave(self.m.num_heads // t.size(1), dim=1) for t in heads]
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        attended = scaled_dot_product_attention(*repeated, attn_mask=mask)
        x = x + self.o(attended.transpose(1, 2).reshape(batch, length, -1))
        y = self.norm2(x)
        return x + self.down(gelu(self.up(y)) if self.gate is None else silu(self.gate(y)) * self.up(y))


class Plain(nn.Module):
    def __init__(self, m: Model, vocab_size: int, positions: int):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, m.hidden_size)
        self.positions = nn.Embedding(positions, m.hidden_size) if m.position == "learned" else None
        self.blocks = nn.ModuleList(PlainBlock(m) for _ in range(m.num_layers))
        self.norm = (nn.RMSNorm if m.norm == "rmsnorm" else nn.LayerNorm)(m.hidden_size)
        self.head = nn.Linear(m.hidden_size, vocab_size, bias=False)
        if m.tie_embeddings:
            self.head.weight = self.tokens.weight

    def forward(self, ids):
        x = self.tokens(ids)
        if self.positions is not None:
            x = x + self.positions.weight[: ids.size(1)]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


@pytest.mark.parametrize(("model", "seq"), [(GPT, 32), (GPT, 200), (LLAMA, 32), (LLAMA, 200)])
def test_the_full_rule_is_what_torch_counts_in_forward_and_backward(model, seq):
    vocab, batch = 131, 2
    plain = Plain(model, vocab, seq)
    ids = torch.randint(vocab, (batch, seq + 1))
    # The fused kernels' backward computes the scores again, which is recompute: count with the plain one.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        cross_entropy(plain(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
    counted = training_flops_per_token(model, seq, vocab).full * batch * seq
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.parametrize("model", [GPT, LLAMA, GPT.model_copy(update={"tie_embeddings": False, "bias": False})])
def test_every_parameter_of_the_plain_model_is_counted(model):
    plain = Plain(model, 131, 48)
    assert parameters(model, 131, 48) == sum(p.numel() for p in plain.parameters())
    matrices = [p for name, p in plain.named_parameters() if p.dim() == 2 and not name.startswith("positions")]
    assert matmul_parameters(model, 131) == sum(p.numel() for p in matrices) - (
        0 if model.tie_embeddings else plain.tokens.weight.numel()
    )


def test_gpt3_125m_has_the_published_number_of_parameters():
    model = load("gpt3-125m").config.model
    # GPT-2's 124,439,808 ("124M") has 1,024 positions; GPT-3 Small differs by 2,048 of them.
    assert parameters(model.model_copy(update={"max_positions": 1024}), 50_257, 1024) == 124_439_808
    assert parameters(model, 50_257, 2048) == 125_226_240


def test_the_three_rules_differ_by_attention_alone():
    flops = training_flops_per_token(GPT, 1000, 131)
    assert flops.six_n == 6 * matmul_parameters(GPT, 131)
    assert flops.full - flops.six_n == 12 * 3 * 64 * 1000
    assert flops.causal - flops.six_n == 6 * 3 * 64 * 1000


def test_narayanans_formula_is_the_same_but_for_recompute():
    """Section 5.1 has 96 B s l h^2 (1 + s/6h + V/16lh), forward done twice; done once: 72 B s l h^2 (1 + s/6h + V/12lh)."""
    layers, h, s, vocab = 24, 1024, 2048, 51_200
    model = Model(num_layers=layers, hidden_size=h, num_heads=16)
    per_token = 72 * layers * h * h * (1 + s / (6 * h) + vocab / (12 * layers * h))
    assert training_flops_per_token(model, s, vocab).full == pytest.approx(per_token, rel=1e-12)


def test_a_vocabulary_fixed_by_the_model_counts_before_the_corpus():
    fixed = GPT.model_copy(update={"vocab_size": 500})
    assert matmul_parameters(fixed, 131) == matmul_parameters(GPT, 500)
    assert parameters(fixed, 131, 8) == parameters(GPT, 500, 8)


def test_counting_needs_no_torch():
    code = "import sys, pretrain.flops, pretrain.device; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
