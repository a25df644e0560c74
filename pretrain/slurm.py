"""A training run as a job on Slurm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from configs.errors import Problem, UserError
from configs.loader import Loaded
from launchers.slurm.script import Job, python
from pretrain import check, resume
from pretrain.parallel import layout

_SHOWN = 4


def training_job(loaded: Loaded, allow: Sequence[str] = (), corpus: bool = True) -> Job:
    """The job that trains, checked. corpus: the data is there already.

    UserError: all that keeps the config from training on the cluster section's nodes, with what would fit.
    """
    if found := problems(loaded, allow, corpus) + check.disk_problems(loaded, corpus, whole_run=False):
        raise UserError(*found)
    run_dir = Path(loaded.config.run.dir).absolute()
    start, last = resume.find_start(run_dir), loaded.config.train.stop_after or loaded.config.train.steps
    if start.step >= last:
        what = f"nothing to do: the run in {run_dir} is at step {start.step} already"
        raise UserError(Problem(what, hint="raise train.stop_after or train.steps, or choose another run.dir"))
    command = [*python(loaded.config.cluster), "-m", "pretrain.rank", str(run_dir)]
    for key in allow:
        command += ["--allow", key]
    folder = Path(loaded.config.cluster.folder or run_dir / "logs").absolute()
    return Job("train", command, run_dir, folder, ranks=True)


def problems(loaded: Loaded, allow: Sequence[str] = (), corpus: bool = True) -> list[Problem]:
    """As `check.problems` for the processes that nodes x processes per node give, in words of the cluster section."""
    cluster = loaded.config.cluster
    nodes, each = cluster.nodes, cluster.processes_per_node
    found = check.problems(loaded, nodes * each, allow, corpus)
    if cluster.gpus_per_node and each > cluster.gpus_per_node:
        what = f"{each} processes per node share {cluster.gpus_per_node} GPUs"
        hint = f"use cluster.tasks_per_node={cluster.gpus_per_node}, or 0"
        found.append(Problem(what, loaded.where("cluster.tasks_per_node"), hint))
    if layout.problems(loaded.config, nodes * each):
        key = "gpus_per_node" if cluster.gpus_per_node and not cluster.tasks_per_node else "tasks_per_node"
        fitting = [f"cluster.nodes={n}" for n in _fitting(loaded, nodes, lambda n: n * each)]
        fitting += [f"cluster.{key}={n}" for n in _fitting(loaded, each, lambda n: nodes * n)]
        if fitting:
            noun = "GPU" if key == "gpus_per_node" else "process"
            what = f"the layout does not fit {_count(nodes, 'node')} x {_count(each, noun)} = {nodes * each}"
            shape = Problem(what, loaded.where("cluster.nodes"), f"what fits: {', '.join(fitting)}")
            found = [shape, *(replace(p, hint=p.hint.replace(" (--procs)", "")) for p in found)]
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'es' if noun == 'process' else 's'}" if number > 1 else f"{number} {noun}"


def _fitting(loaded: Loaded, asked: int, processes: Callable[[int], int]) -> list[int]:
    """The values nearest to `asked` with which the layout has no problem."""
    near = sorted(range(1, 2 * asked + 8), key=lambda n: (abs(n - asked), n))
    fits = [n for n in near if not layout.problems(loaded.config, processes(n))]
    return sorted(fits[:_SHOWN])
