"""Starting a training run on this machine. torch is imported by the launcher and the ranks, not here."""

from __future__ import annotations

import sys
from pathlib import Path

from configs.loader import Loaded
from pretrain import resume
from pretrain.parallel.layout import resolve


def prepare_run(loaded: Loaded) -> Path:
    """Makes the run directory and writes its config.yaml (what came from the environment stays a reference)."""
    run_dir = Path(loaded.config.run.dir)
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = run_dir / "config.yaml.new"
    temporary.write_text(loaded.to_yaml())
    temporary.replace(run_dir / "config.yaml")
    return run_dir


def train_here(loaded: Loaded, procs: int, allow: list[str], dry_run: bool) -> None:
    """Runs `procs` ranks of the training described by a checked config, to the end of this life."""
    run_dir = Path(loaded.config.run.dir)
    start = resume.find_start(run_dir)
    layout = resolve(loaded.config, procs)
    last = loaded.config.train.stop_after or loaded.config.train.steps
    where = f"step {start.step} of {start.checkpoint.path}" if start.checkpoint else "the beginning"
    print(f"run {run_dir}: {layout.describe()}, from {where} to step {last}", flush=True)
    if start.step >= last:
        print(f"nothing to do: the run is at step {start.step} already; raise train.stop_after or train.steps")
        return
    command = [sys.executable, "-m", "pretrain.rank", str(run_dir)]
    for key in allow:
        command += ["--allow", key]
    if dry_run:
        print("dry run, nothing started: " + " ".join(command))
        return
    prepare_run(loaded)
    from launchers.local import run_ranks

    run_ranks(command, procs, run_dir / "logs")
