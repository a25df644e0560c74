"""The layout of a run: how tp x pp x dp processes share the model and the batch. Pure arithmetic, no torch.

Everything that must divide is checked here, before any process starts; every problem names the nearest values that work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from configs.errors import Problem
from configs.schema.tree import Config


@dataclass(frozen=True)
class Layout:
    """What runs. `zero` is the stage in effect, `zero_requested` the one asked for; `accumulation` micro-batches a step."""

    tp: int
    pp: int
    dp: int
    zero: int
    zero_requested: int
    sequence_parallel: bool
    micro_batch: int
    accumulation: int

    @property
    def world_size(self) -> int:
        return self.tp * self.pp * self.dp

    def describe(self) -> str:
        asked = "" if self.zero == self.zero_requested else f" (zero {self.zero_requested} asked)"
        sequence = ", sequence parallel" if self.sequence_parallel else ""
        return f"tp {self.tp} x pp {self.pp} x dp {self.dp}, zero {self.zero}{asked}{sequence}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def resolve(config: Config, world_size: int) -> Layout:
    """The layout in effect. Expects a config that `problems` finds nothing wrong with."""
    layout, train = config.layout, config.train
    dp = world_size // (layout.tp * layout.pp)
    zero = layout.zero
    if train.precision == "bf16":
        zero = max(zero, 1)  # fp32 master weights and accumulation live in DeepSpeed's ZeRO-1 optimizer
    elif dp == 1:
        zero = 0  # nothing to shard: the same numbers without ZeRO's copies
    return Layout(
        tp=layout.tp,
        pp=layout.pp,
        dp=dp,
        zero=zero,
        zero_requested=layout.zero,
        sequence_parallel=layout.sequence_parallel and layout.tp > 1,
        micro_batch=train.micro_batch,
        accumulation=train.global_batch // (train.micro_batch * dp),
    )


def _nearest(value: int, candidates: Iterable[int], count: int = 4) -> str:
    found = sorted(sorted(set(candidates), key=lambda c: (abs(c - value), c))[:count])
    return ", ".join(map(str, found))


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def _indivisible(name: str, total_name: str, total: int, degree: int, keys: str) -> Problem:
    return Problem(
        f"{total_name} {total} is not divisible by {name} {degree}",
        keys,
        f"{name} may be {_nearest(degree, _divisors(total))}; or {total_name} "
        f"{_nearest(total, (k * degree for k in range(max(1, total // degree - 1), total // degree + 3)))}",
    )


def problems(config: Config, world_size: int) -> list[Problem]:
    """Everything that keeps `config` from running on `world_size` processes. `where` holds the dotted keys concerned."""
    found: list[Problem] = []
    layout, train, model = config.layout, config.train, config.model
    unit = layout.tp * layout.pp
    if world_size % unit:
        nearest = _nearest(world_size, (unit * k for k in range(1, world_size // unit + 3)))
        what = f"{world_size} processes cannot hold tp {layout.tp} x pp {layout.pp} = {unit} processes per replica"
        found.append(Problem(what, "layout.tp", f"start {nearest} processes (--procs), or choose tp x pp among "
                             f"{_nearest(unit, _divisors(world_size))}"))  # fmt: skip
    if layout.pp > 1:
        found.append(
            Problem(f"layout.pp {layout.pp}: pipeline parallelism is not built yet", "layout.pp", "use layout.pp=1")
        )
    if layout.zero > 1:
        found.append(
            Problem(f"layout.zero {layout.zero}: ZeRO 2 and 3 are not built yet", "layout.zero", "use layout.zero=1")
        )
    dp = max(1, world_size // unit)
    if train.global_batch % (dp * train.micro_batch):
        step = dp * train.micro_batch
        batches = _nearest(train.global_batch, (step * k for k in range(1, train.global_batch // step + 3)))
        fitting = [m for m in range(1, train.global_batch + 1) if train.global_batch % (dp * m) == 0]
        micro = f"; or train.micro_batch {_nearest(train.micro_batch, fitting)}" if fitting else ""
        found.append(Problem(
            f"train.global_batch {train.global_batch} is not divisible by dp x micro_batch = {dp} x {train.micro_batch}",
            "train.global_batch", f"train.global_batch may be {batches}{micro}"))  # fmt: skip
    if layout.sequence_parallel and layout.tp > 1 and train.seq_length % layout.tp:
        found.append(_indivisible("layout.tp", "train.seq_length", train.seq_length, layout.tp, "train.seq_length"))
    if train.stop_after > train.steps:
        found.append(Problem(f"train.stop_after {train.stop_after} lies beyond train.steps {train.steps}",
                             "train.stop_after", f"use at most {train.steps}, or 0 for no early stop"))  # fmt: skip
    if config.schedule.warmup_steps >= train.steps and config.schedule.warmup_steps:
        found.append(Problem(f"schedule.warmup_steps {config.schedule.warmup_steps} leaves no step of {train.steps}",
                             "schedule.warmup_steps", f"use at most {train.steps - 1}"))  # fmt: skip
    if model is None:
        return [*found, Problem("the config has no `model` section", "model", "include a model preset, e.g. gpt-demo")]
    if not model.head_dim and model.hidden_size % model.num_heads:
        found.append(_indivisible("model.num_heads", "model.hidden_size", model.hidden_size, model.num_heads,
                                  "model.num_heads"))  # fmt: skip
    if model.num_heads % model.kv_heads:
        found.append(_indivisible("model.num_kv_heads", "model.num_heads", model.num_heads, model.kv_heads,
                                  "model.num_kv_heads"))  # fmt: skip
    if model.position == "rope" and model.head_size % 2:
        found.append(Problem(f"rotary positions need an even head_dim, not {model.head_size}", "model.head_dim",
                             f"use {model.head_size + 1} or {max(2, model.head_size - 1)}"))  # fmt: skip
    for name, total in (("model.num_heads", model.num_heads), ("model.num_kv_heads", model.kv_heads),
                        ("model.ffn_hidden_size", model.ffn_size)):  # fmt: skip
        if total % layout.tp and not (name == "model.num_kv_heads" and not model.num_kv_heads):
            found.append(_indivisible("layout.tp", name, total, layout.tp, name))
    if model.position == "learned" and model.max_positions and model.max_positions < train.seq_length:
        found.append(Problem(f"train.seq_length {train.seq_length} is longer than model.max_positions {model.max_positions}",
                             "train.seq_length", f"use at most {model.max_positions}, or raise model.max_positions"))  # fmt: skip
    return found
