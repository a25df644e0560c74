"""One rank of a training run: `python -m pretrain.rank RUN_DIR`, started by a launcher that sets RANK, WORLD_SIZE, ...

RUN_DIR/config.yaml says everything; a run directory with a checkpoint is resumed.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

from configs.errors import MachineError, UserError
from configs.loader import load_file
from pretrain.parallel import runtime


def main(run_dir: Path, allow: list[str]) -> None:
    """Trains this rank's part of the run. Raises UserError and MachineError."""
    # Megatron-core and torch announce on every rank, at every import, what is not installed or will be renamed.
    for module in ("megatron", "torch", "deepspeed"):
        warnings.filterwarnings("ignore", module=module)
    runtime.prepare()
    import torch
    import torch.distributed as dist

    from pretrain import check, resume
    from pretrain.parallel.compile import problems as compile_problems

    loaded = load_file(run_dir / "config.yaml")
    world_size = int(os.environ["WORLD_SIZE"])
    if found := check.problems(loaded, world_size, allow):
        raise UserError(*found)
    if loaded.config.train.compile and (found := compile_problems(runtime.device().type)):
        raise UserError(*found)
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    ranks = runtime.start_groups(loaded.config.layout.tp, loaded.config.layout.pp)
    from pretrain.loop import Trainer

    # One rank looks, so that all agree though another life may be ending on another node.
    agreed: list[resume.Start | None] = [resume.find_start(run_dir) if ranks.rank == 0 else None]
    dist.broadcast_object_list(agreed, src=0)
    assert agreed[0] is not None
    Trainer(loaded, run_dir, ranks, agreed[0]).run()
    dist.barrier()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--allow", action="append", default=[])
    arguments = parser.parse_args()
    try:
        main(arguments.run_dir, arguments.allow)
    except (UserError, MachineError) as failure:
        print(failure, file=sys.stderr, flush=True)
        # Not sys.exit: peers may wait in a collective, and destroying groups would wait for them.
        os._exit(failure.exit_status)
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is on disk; tearing down libraries' threads and groups only costs time and may hang.
    os._exit(0)
