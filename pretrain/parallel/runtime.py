"""What has to be true of the process before deepspeed and megatron-core are imported, and the process groups after.

Import this module first on every rank, and call `prepare()` before importing anything that imports torch.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from configs.errors import Problem, UserError

_PREPARED = False


def prepare() -> None:
    """Sets the environment that deepspeed reads while it is imported, and mends what would hang or crash on a CPU."""
    global _PREPARED
    if _PREPARED:
        return
    _PREPARED = True
    # Some CPUs advertise AMX and die with SIGILL in bf16 matmuls.
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    # Megatron-core wants one hardware queue so that communication starts before the matmul it overlaps with.
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "1")
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        # Megatron-core's jit_fuser is torch.compile; without a GPU there is nothing to win and a compiler to need.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
        # Megatron-core allocates communication buffers on `torch.cuda.current_device()`.
        torch.cuda.current_device = lambda: torch.device("cpu")  # type: ignore[assignment,return-value]
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deepspeed
        import deepspeed.comm.torch

    deepspeed.utils.logger.setLevel(logging.ERROR)
    # Otherwise init JIT-compiles a shared-memory op; killed meanwhile, it leaves a lock that hangs every later run.
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]
    for noisy in ("megatron", "torch.distributed.elastic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


@dataclass(frozen=True)
class Ranks:
    """This process' place: global rank and world size, local rank, and its place on each axis of the layout."""

    rank: int
    world_size: int
    local_rank: int
    tp_rank: int
    dp_rank: int
    dp_size: int


def gpu_of(local_rank: int, count: int) -> int:
    """Which of the `count` GPUs that a process sees is its own. UserError where there are too few: NCCL shares none."""
    if local_rank >= count:
        what = f"process {local_rank} of this node has no GPU of its own: it sees {count}"
        hint = (f"start at most {count} processes per node, show each of them all GPUs of the node "
                "(CUDA_VISIBLE_DEVICES), or hide all of them to train on the CPU")  # fmt: skip
        raise UserError(Problem(what, hint=hint))
    return local_rank


def device() -> Any:
    """torch.device of this rank: its GPU where there are any, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda", gpu_of(int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()))
    return torch.device("cpu")


def be_deterministic() -> None:
    """The same bits from the same start, on a GPU too. Before the first matrix product: cuBLAS reads its workspace then,
    and without one of a fixed size torch refuses every product."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def start_groups(tp: int, pp: int, timeout_seconds: float = 600.0) -> Ranks:
    """Joins the process group of the environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) and splits it by axis."""
    import torch
    import torch.distributed as dist

    prepare()
    import deepspeed
    from megatron.core import parallel_state

    place = device()
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if not dist.is_initialized():
        backend = "nccl" if place.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_seconds))
    deepspeed.init_distributed(verbose=False)
    parallel_state.initialize_model_parallel(tp, pp)
    return Ranks(
        rank=dist.get_rank(),
        world_size=dist.get_world_size(),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        tp_rank=parallel_state.get_tensor_model_parallel_rank(),
        dp_rank=parallel_state.get_data_parallel_rank(),
        dp_size=parallel_state.get_data_parallel_world_size(),
    )


def start_single() -> Ranks:
    """The groups of one process that no launcher started (generation, evaluation): needs no port and no network."""
    import torch.distributed as dist

    prepare()
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    from megatron.core import parallel_state

    if not parallel_state.model_parallel_is_initialized():
        parallel_state.initialize_model_parallel(1, 1)
    return Ranks(rank=0, world_size=1, local_rank=0, tp_rank=0, dp_rank=0, dp_size=1)
