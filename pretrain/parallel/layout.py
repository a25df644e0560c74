"""The layout of a run: how tp x pp x dp processes share the model and the batch. Pure arithmetic, no torch.

Everything that must divide is checked here, before any process starts; every problem names the nearest values that work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import gcd
from typing import Any

from configs.errors import Problem
from configs.schema.train import Model
from configs.schema.tree import Config


@dataclass(frozen=True)
class Layout:
    """What runs. `zero` is the stage in effect, `zero_requested` the one asked for; `accumulation` micro-batches a step.

    stages: borders of the pipeline stages in the layer list (embedding, blocks, final norm, head): stage i holds entries
    [stages[i], stages[i + 1]).
    """

    tp: int
    pp: int
    dp: int
    zero: int
    zero_requested: int
    sequence_parallel: bool
    micro_batch: int
    accumulation: int
    stages: tuple[int, ...]

    @property
    def world_size(self) -> int:
        return self.tp * self.pp * self.dp

    def describe(self) -> str:
        asked = "" if self.zero == self.zero_requested else f" (zero {self.zero_requested} asked)"
        sequence = ", sequence parallel" if self.sequence_parallel else ""
        blocks = [b - a for a, b in pairwise((1, *self.stages[1:-1], self.stages[-1] - 2))]
        if len(set(blocks)) > 1:
            sequence += f", blocks by stage {' '.join(map(str, blocks))}"
        return f"tp {self.tp} x pp {self.pp} x dp {self.dp}, zero {self.zero}{asked}{sequence}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def block_parameters(model: Model) -> int:
    """Weights of one block's matrices, about: what balances the stages."""
    attention = model.hidden_size * model.head_size * 2 * (model.num_heads + model.kv_heads)
    return attention + model.hidden_size * model.ffn_size * (3 if model.activation == "swiglu" else 2)


def stage_borders(model: Model, vocab_size: int, pp: int) -> tuple[int, ...]:
    """Borders of `pp` stages in the layer list of num_layers + 3 entries.

    Every stage gets as many blocks where that divides; otherwise the largest stage is as small as can be, counted in
    parameters with embedding and head. No layer is ever left out.
    """
    layers, end = model.num_layers, model.num_layers + 3
    if layers % pp == 0:
        return (0, *(1 + stage * layers // pp for stage in range(1, pp)), end)
    block, vocabulary = block_parameters(model), vocab_size * model.hidden_size
    ends = {0: vocabulary, pp - 1: vocabulary}
    # The fewest blocks that keep a stage within a bound, greedily; the smallest bound that places all of them.
    candidates = sorted({ends.get(stage, 0) + n * block for stage in range(pp) for n in range(1, layers + 1)})
    for bound in candidates:
        room = [(bound - ends.get(stage, 0)) // block for stage in range(pp)]
        if min(room) >= 1 and sum(min(r, layers) for r in room) >= layers:
            break
    counts, left = [], layers
    for stage in range(pp):
        counts.append(min(room[stage], left - (pp - 1 - stage)))
        left -= counts[-1]
    return (0, *(1 + sum(counts[:stage]) for stage in range(1, pp)), end)


def resolve(config: Config, world_size: int, vocab_size: int = 0) -> Layout:
    """The layout in effect. Expects a config that `problems` finds nothing wrong with.

    vocab_size: of the corpus; where it is not known yet, that of the config.
    """
    layout, train = config.layout, config.train
    dp = world_size // (layout.tp * layout.pp)
    zero = layout.zero
    if dp == 1:
        zero = 0  # nothing to shard: the same numbers without ZeRO's copies
    if train.precision == "bf16" or layout.pp > 1:
        # Where fp32 master weights and accumulation live; and DeepSpeed clips wrongly under a pipeline at ZeRO-0.
        zero = max(zero, 1)
    assert config.model is not None
    vocabulary = vocab_size or config.model.vocab_size or config.tokenizer.vocab_size
    return Layout(
        tp=layout.tp,
        pp=layout.pp,
        dp=dp,
        zero=zero,
        zero_requested=layout.zero,
        sequence_parallel=layout.sequence_parallel and layout.tp > 1,
        micro_batch=train.micro_batch,
        accumulation=train.global_batch // (train.micro_batch * dp),
        stages=stage_borders(config.model, vocabulary, layout.pp),
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


def _tensor_parallel(config: Config, model: Model) -> list[Problem]:
    """What layout.tp has to divide, in one problem: the values it may have must suit all of it."""
    tp = config.layout.tp
    totals = {"model.num_heads": model.num_heads, "model.ffn_hidden_size": model.ffn_size}
    if model.num_kv_heads:
        totals["model.num_kv_heads"] = model.num_kv_heads
    if config.layout.sequence_parallel and tp > 1:
        totals["train.seq_length"] = config.train.seq_length
    wrong = {name: total for name, total in totals.items() if total % tp}
    if not wrong:
        return []
    suits_all = f"layout.tp may be {_nearest(tp, _divisors(gcd(*totals.values())))}"
    if len(wrong) == 1:
        [(name, total)] = wrong.items()
        near = _nearest(total, (k * tp for k in range(max(1, total // tp - 1), total // tp + 3)))
        return [Problem(f"{name} {total} is not divisible by layout.tp {tp}", name, f"{suits_all}; or {name} {near}")]
    *most, last = (f"{name} {total}" for name, total in wrong.items())
    return [Problem(f"{', '.join(most)} and {last} are not divisible by layout.tp {tp}", "layout.tp", suits_all)]


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
    if layout.pp > 1 and layout.zero > 1:
        found.append(Problem(f"layout.zero {layout.zero} cannot be combined with layout.pp {layout.pp}", "layout.zero",
                             "with a pipeline layout.zero may be 0 or 1; or use layout.pp=1"))  # fmt: skip
    if model is not None and layout.pp > model.num_layers:
        found.append(Problem(f"layout.pp {layout.pp} stages need at least as many blocks, the model has "
                             f"{model.num_layers}", "layout.pp", f"use at most layout.pp={model.num_layers}"))  # fmt: skip
    dp = max(1, world_size // unit)
    if train.global_batch % (dp * train.micro_batch):
        step = dp * train.micro_batch
        batches = _nearest(train.global_batch, (step * k for k in range(1, train.global_batch // step + 3)))
        fitting = [m for m in range(1, train.global_batch + 1) if train.global_batch % (dp * m) == 0]
        micro = f"; or train.micro_batch {_nearest(train.micro_batch, fitting)}" if fitting else ""
        found.append(Problem(
            f"train.global_batch {train.global_batch} is not divisible by dp x micro_batch = {dp} x {train.micro_batch}",
            "train.global_batch", f"train.global_batch may be {batches}{micro}"))  # fmt: skip
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
    found += _tensor_parallel(config, model)
    if model.position == "learned" and model.max_positions and model.max_positions < train.seq_length:
        found.append(Problem(f"train.seq_length {train.seq_length} is longer than model.max_positions {model.max_positions}",
                             "train.seq_length", f"use at most {model.max_positions}, or raise model.max_positions"))  # fmt: skip
    return found
