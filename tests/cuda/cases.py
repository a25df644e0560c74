"""What the rank of a test on a GPU runs beside training itself (tests.distributed.cases)."""

from __future__ import annotations

from typing import Any


def groups() -> dict[str, Any]:
    """The process group that a rank of a run makes by itself, and a sum over it."""
    import torch
    import torch.distributed as dist

    from pretrain.parallel import runtime

    ranks = runtime.start_groups(1, 1)
    one = torch.ones((), device=runtime.device())
    dist.all_reduce(one)
    return {"backend": dist.get_backend(), "world_size": ranks.world_size, "sum": float(one), "device": one.device.type}


def attention(dtype: str, kv_heads: int) -> dict[str, Any]:
    """Operators that the core attention of the model calls, forward and backward, and its distance from the plain formula."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from pretrain.model.attention import CoreAttention
    from pretrain.parallel import runtime

    place, sequence, heads, size = runtime.device(), 256, 8, 64
    generator = torch.Generator().manual_seed(0)
    shapes = [(sequence, 2, n, size) for n in (heads, kv_heads, kv_heads)]
    q, k, v = (
        torch.randn(shape, generator=generator).to(place, getattr(torch, dtype)).requires_grad_() for shape in shapes
    )
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        out = CoreAttention(None)(q, k, v)
        out.sum().backward()
    repeated = [t.float().repeat_interleave(heads // kv_heads, 2) for t in (k, v)]
    scores = torch.einsum("sbhd,tbhd->bhst", q.float(), repeated[0]) / size**0.5
    scores = scores.masked_fill(torch.ones(sequence, sequence, device=place).triu(1).bool(), float("-inf"))
    expected = torch.einsum("bhst,tbhd->sbhd", scores.softmax(-1), repeated[1]).flatten(2)
    return {
        "operators": sorted({event.key for event in seen.key_averages() if "scaled_dot_product" in event.key}),
        "distance": float((out.float() - expected).abs().max()),
    }


def deterministic(steps: int) -> dict[str, Any]:
    """The losses of the tiny model in bf16 with train.deterministic."""
    from pretrain.parallel import runtime
    from tests.distributed.cases import train

    runtime.be_deterministic()
    return train("llama", {"tp": 1}, steps, precision="bf16", device=str(runtime.device()))
