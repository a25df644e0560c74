"""Blocks compiled by torch.compile: fewer and larger kernels, and less Python between them.

One set of graphs serves all blocks of a rank, since they differ in values alone. Shapes are fixed: evaluation passes have
the shape of training's, so a life compiles for training and for evaluation and never again.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import Problem

if TYPE_CHECKING:
    from pretrain.model.layers import Block

RECOMPILE_LIMIT = 64
"""Variants of one function before torch gives up on compiling it and says nothing. The functions of Megatron-core that stay
beside the graph breaks of tensor parallelism are shared by linears of several shapes; a block needs about ten."""


def problems(device_type: str) -> list[Problem]:
    """What this machine lacks for train.compile on devices of that type (cpu, cuda). torch is not imported."""
    found = []
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if device_type == "cpu":
        named = os.environ.get("CXX", "g++")
        if shutil.which(named) is None:
            what = f"train.compile on a CPU needs a C++ compiler, and there is no {named}"
            found.append(Problem(what, "train.compile", "install g++, name another in CXX, or set train.compile=false"))
    else:  # Triton builds the launcher of each kernel
        named = os.environ.get("CC", "")
        if not any(shutil.which(name) for name in ((named,) if named else ("gcc", "clang", "cc"))):
            what = f"train.compile on a GPU needs a C compiler, and there is no {named or 'gcc, clang or cc'}"
            found.append(Problem(what, "train.compile", "install gcc, name another in CC, or set train.compile=false"))
    if not headers.is_file():
        what = f"train.compile needs the headers of Python, and there is no {headers}"
        found.append(Problem(what, "train.compile", "install Python's development package, or set train.compile=false"))
    return found


def enable(on_cpu: bool, deterministic: bool) -> None:
    """Turns torch.compile on in this process.

    On a CPU `runtime.prepare` has turned it off while Megatron-core was imported, whose own small compiled functions
    therefore stay plain Python.
    """
    import torch._dynamo
    import torch._inductor.config as inductor
    from megatron.core import parallel_state
    from megatron.core.tensor_parallel import layers, mappings

    os.environ.pop("TORCHDYNAMO_DISABLE", None)
    torch._dynamo.config.disable = False
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    if on_cpu:
        # A few kernels, and ranks that share the cores: a pool of compiler processes for each costs more than it gives.
        inductor.compile_threads = 1
    if deterministic and hasattr(inductor, "deterministic"):
        inductor.deterministic = True  # choices by measured time could differ from one life to the next

    warns: Any = layers.get_tensor_model_parallel_group_if_none

    def group_or_default(tp_group: Any, is_expert: bool = False, check_initialized: bool = True) -> Any:
        if tp_group is None and not is_expert:
            return parallel_state.get_tensor_model_parallel_group(check_initialized)
        return warns(tp_group, is_expert, check_initialized)

    if not getattr(warns, "plain", False):
        group_or_default.plain = True  # type: ignore[attr-defined]
        # Its row-parallel linear passes no group and so warns at each call, on rank 0 alone, which tears a block into
        # a dozen graphs there.
        for module in (layers, mappings):
            module.get_tensor_model_parallel_group_if_none = group_or_default


def compile_block(block: Block, seq_length: int, device: Any) -> None:
    """Compiles what `block` computes, at its first call. Hooks on the block stay outside, names of parameters as they are.

    Under ZeRO-3 the weights of the whole block are gathered at once: hooks on each module inside would break the graph at
    every one of them.
    """
    import torch

    # Made here, or a block's first call would be compiled without them and its second again.
    block.angles(torch.empty(seq_length // block.sequence_shards, device=device))
    block._z3_leaf = True  # type: ignore[assignment]
    block.forward = torch.compile(block.forward, dynamic=False)  # type: ignore[method-assign]


def counts() -> tuple[int, int]:
    """Graphs compiled so far in this process, and breaks between graphs that torch met while it traced."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())
