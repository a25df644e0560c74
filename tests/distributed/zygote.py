"""A process that has imported torch, deepspeed and megatron-core once and forks a fresh rank for every rank of a case.

Importing costs 7 to 9 CPU-seconds; a fork costs milliseconds. Nothing is computed before the fork, so no thread pool is
lost by it. Speaks JSON lines on stdin and stdout; started by `tests.distributed.ranks`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any


def rank_main(case: dict[str, Any], rank: int) -> None:
    """Runs the case's function as one rank, in a process of its own, with its output in a file of its own."""
    directory = Path(case["directory"])
    log = os.open(directory / f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(case["world_size"]), LOCAL_RANK=str(rank))
    import torch.distributed as dist

    # A file, not a port: nothing to collide with.
    rendezvous = f"file://{directory / 'rendezvous'}"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=case["world_size"])
    module, _, function = case["function"].partition(":")
    result = getattr(importlib.import_module(module), function)(**case["arguments"])
    (directory / f"rank-{rank}.json").write_text(json.dumps(result))


def run(case: dict[str, Any]) -> dict[str, Any]:
    """Forks the ranks, waits for them up to the case's timeout, kills what is left. Exit status of each rank."""
    children: dict[int, int] = {}
    for rank in range(case["world_size"]):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setpgid(0, 0)
                rank_main(case, rank)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        children[pid] = rank
    statuses: dict[int, int | str] = {}
    deadline = time.monotonic() + case["timeout"]
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            statuses[children.pop(pid)] = os.waitstatus_to_exitcode(status)
            if status:  # peers would wait in their collective for ever
                deadline = min(deadline, time.monotonic() + 5)
        elif time.monotonic() > deadline:
            for pid, rank in children.items():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                statuses[rank] = "killed at the time limit"
            children = {}
        else:
            time.sleep(0.005)
    return {"statuses": [statuses[rank] for rank in range(case["world_size"])]}


def main() -> None:
    # What a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import warnings

    warnings.filterwarnings("ignore")
    from pretrain.parallel import runtime

    runtime.prepare()
    import torch

    import pretrain.checkpoint.restore
    import pretrain.checkpoint.write
    import pretrain.parallel.pipeline
    import pretrain.parallel.sequential  # noqa: F401

    torch.set_num_threads(1)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
