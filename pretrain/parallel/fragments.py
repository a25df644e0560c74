"""The parts of weights and optimizer state that this rank owns, whatever DeepSpeed made of the parameters.

ZeRO cuts the flattened parameters anywhere; DeepSpeed's own accessors fail for a second parameter group (0.19.8 links the
optimizer's fragments once only), so the addresses of its fragments are used with the flat tensors themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pretrain.checkpoint.pieces import WEIGHT
from pretrain.model.logical import Segment, is_split
from pretrain.optimizer import STATE
from pretrain.parallel.engine import Engine


@dataclass(frozen=True)
class Fragment:
    """A run of one parameter's flattened local slice that lives on this rank.

    start: index of its first element in the flattened slice. tensors: WEIGHT and each optimizer state, 1-D float32 views of
    live memory. segments: those of the whole local slice. owned: whether this rank writes it (copies are written once).
    """

    parameter: str
    segments: list[Segment]
    start: int
    tensors: dict[str, Tensor]
    owned: bool


def kind(engine: Engine) -> str:
    """`plain` (torch's optimizer on the parameters), `zero` (ZeRO 1 and 2), `bf16` (fp32 masters and accumulation, ZeRO-1)
    or `zero3`."""
    name = type(engine.optimizer).__name__
    if isinstance(engine.optimizer, torch.optim.Optimizer) and not hasattr(engine.optimizer, "optimizer"):
        return "plain"
    kinds = {"DeepSpeedZeroOptimizer": "zero", "BF16_Optimizer": "bf16", "DeepSpeedZeroOptimizer_Stage3": "zero3"}
    found = kinds.get(name)
    if found is None:
        raise TypeError(f"no access to the fragments of DeepSpeed's {name}")
    return found


def flat_partitions(engine: Engine) -> list[Tensor]:
    """DeepSpeed's flat fp32 partition of each parameter group on this rank."""
    match kind(engine):
        case "zero":
            return engine.optimizer.single_partition_of_fp32_groups
        case "bf16":
            return engine.optimizer.fp32_groups_flat_partition
    return engine.optimizer.fp32_partitioned_groups_flat


def fragments(engine: Engine) -> Iterator[Fragment]:
    """Every fragment of this rank, in the order of the layer list. Optimizer state must exist (one step, or restore)."""
    how = kind(engine)
    flats = [] if how == "plain" else flat_partitions(engine)
    for name, parameter, parts in engine.parameter_segments():
        first_copy = is_split(name) or engine.ranks.tp_rank == 0
        if getattr(parameter, "ds_pipe_replicated", False):
            first_copy = False  # a tied copy on a later stage
        if how == "plain":
            state = engine.optimizer.state[parameter]
            tensors = {WEIGHT: parameter.data.view(-1), **{key: state[key].view(-1) for key in STATE}}
            yield Fragment(name, parts, 0, tensors, first_copy and engine.ranks.dp_rank == 0)
            continue
        if how == "zero3":
            found = _zero3_fragment(parameter)
            if found is not None:
                yield Fragment(name, parts, *found, first_copy)
            continue
        mapping = parameter._hp_mapping  # type: ignore[attr-defined]
        if mapping is None:
            continue  # nothing of this parameter lies in this rank's partition
        flat = flats[mapping.param_group_index]
        state = engine.optimizer.optimizer.state[flat]
        address = mapping.hp_fragment_address
        views = {WEIGHT: flat.data, **{key: state[key] for key in STATE}}
        tensors = {key: value.narrow(0, address.start, address.numel) for key, value in views.items()}
        yield Fragment(name, parts, mapping.lp_fragment_address.start, tensors, first_copy)


def _zero3_fragment(parameter: torch.nn.Parameter) -> tuple[int, dict[str, Tensor]] | None:
    """Start and live views of this rank's part of a ZeRO-3 parameter, the padding at its end cut off; None: only padding."""
    zero = parameter._z3_optimizer  # type: ignore[attr-defined]
    size = parameter.partition_numel()  # type: ignore[attr-defined]
    start = zero._get_param_partition_rank(parameter) * size
    count = min(size, parameter.ds_numel - start)  # type: ignore[attr-defined]
    if count <= 0:
        return None
    # The public accessors copy; these are the tensors the optimizer works on.
    views = {key: zero._get_fp32_opt_state_partition(parameter, release_swap_buffers=False, optim_state_key=key)[0]
             for key in (None, *STATE)}  # fmt: skip
    return start, {key or WEIGHT: view.narrow(0, 0, count) for key, view in views.items()}


@torch.no_grad()
def create_state(engine: Engine, step: int) -> None:
    """Makes the optimizer state of a fresh engine as after `step` updates, moments zero, ready to be filled."""
    if kind(engine) == "plain":
        optimizer, holders = engine.optimizer, [p for g in engine.optimizer.param_groups for p in g["params"]]
    else:
        optimizer, holders = engine.optimizer.optimizer, flat_partitions(engine)
    for holder in holders:
        moments = {key: torch.zeros_like(holder, dtype=torch.float32) for key in STATE}
        optimizer.state[holder] = {"step": torch.tensor(float(step), device=holder.device), **moments}
    if kind(engine) in ("zero", "bf16"):
        engine.optimizer._lazy_init_hp_params_optimizer_state()


@torch.no_grad()
def settle(engine: Engine, step: int) -> None:
    """After the fragments are filled: low-precision weights follow the masters, DeepSpeed's counters follow the step."""
    if kind(engine) in ("zero", "bf16"):
        engine.optimizer.update_lp_params()
    elif kind(engine) == "zero3":
        for group in range(len(flat_partitions(engine))):
            engine.optimizer._reassign_or_swap_out_partitioned_parameters(group)
        if persistent := engine.optimizer.persistent_parameters:
            persistent[0].all_gather(persistent)
    engine.deepspeed.global_steps = step
    engine.deepspeed.global_samples = step * engine.deepspeed.train_batch_size()
    engine.deepspeed.micro_steps = step * engine.layout.accumulation
    engine.deepspeed.skipped_steps = 0
