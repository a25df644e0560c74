"""A job, and the batch script that says it to Slurm."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.schema.cluster import Cluster
from launchers.slurm.failure import RESTART

PART = "{part}"
"""In a word of a command: the number of the array's task, from 0."""

SIGNAL_SECONDS = 90
"""How long before its end a job hears of it (USR2); Slurm keeps to that within a minute."""

END_SECONDS = 40
"""Between the end of a job's first launcher and the last. torch's launcher gives a rank that is deaf to SIGTERM 30."""


@dataclass(frozen=True)
class Job:
    """One batch job: a command, started once, or in `parts` array tasks, or as the ranks of a process group.

    name: a word. ranks: start the command as nodes x processes_per_node ranks that can meet, by one launcher per node.
    after: places of the jobs of the same submission that must have ended well. works_on: the run or corpus that it writes.
    folder: of its script and logs. environment: variables for its script. note: what the user should know of it.
    """

    name: str
    command: Sequence[str]
    works_on: Path
    folder: Path
    ranks: bool = False
    parts: int = 0
    after: Sequence[int] = ()
    environment: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def output(self) -> str:
        """Where the batch script's own output goes, in Slurm's pattern."""
        return str(self.folder / ("job-%A_%a.log" if self.parts else "job-%j.log"))


def python(cluster: Cluster) -> list[str]:
    """The interpreter a job starts, safe from modules in the current folder."""
    return [cluster.python or sys.executable, "-P"]


def render(job: Job, cluster: Cluster, directory: Path) -> str:
    """The batch script, through submitit. directory: where the job starts, absolute."""
    from submitit.slurm.slurm import SlurmExecutor

    class Script(SlurmExecutor):
        """Only writes: also where there is no Slurm."""

        @classmethod
        def affinity(cls) -> int:
            return 1

    executor = Script(job.folder)
    executor.update_parameters(**_parameters(job, cluster, directory))
    return str(executor._make_submission_file_text(_command(job, cluster), ""))


def _parameters(job: Job, cluster: Cluster, directory: Path) -> dict[str, Any]:
    """What submitit is told; what it has no name for goes through `additional_parameters`."""
    more: dict[str, Any] = {
        "chdir": directory,
        "output": job.output,
        "open-mode": "append",  # a requeued job writes on
        "requeue": True,
        "export": "ALL",  # of what submit.py lets through
    }
    if job.parts:
        more["array"] = f"0-{job.parts - 1}" + (f"%{cluster.array_parallelism}" if cluster.array_parallelism else "")
    if job.after:
        more["kill-on-invalid-dep"] = "yes"  # or a job waits for ever on one that failed
    if cluster.memory:
        more["mem"] = f"{-(-cluster.memory // 2**20)}M"
    more |= {name: value or True for name, value in cluster.flags.items()}
    parameters: dict[str, Any] = {
        "job_name": job.name,
        "nodes": cluster.nodes if job.ranks else 1,
        "ntasks_per_node": 1,
        "cpus_per_task": cluster.cpus_per_node if job.ranks else cluster.cpus_per_task,
        "signal_delay_s": SIGNAL_SECONDS,
        "stderr_to_stdout": True,
        "use_srun": False,
        "wckey": None,
        "time": cluster.time or None,
        "gpus_per_node": (cluster.gpus_per_node or None) if job.ranks else None,
        "setup": _setup(job, cluster) or None,
        "additional_parameters": more,
    }
    for name in ("partition", "account", "qos", "constraint", "exclude", "comment"):
        parameters[name] = getattr(cluster, name) or None
    return parameters


def _setup(job: Job, cluster: Cluster) -> list[str]:
    lines = [f"export {name}={shlex.quote(value)}" for name, value in job.environment.items()]
    if cluster.modules:
        lines += [
            "# A batch shell is no login shell: `module` may have to be defined first.",
            'for f in "${MODULESHOME:-/usr/share/modules}/init/bash" /etc/profile.d/{modules,lmod,z00_lmod}.sh; do',
            '  type module >/dev/null 2>&1 || { [ -r "$f" ] && . "$f"; }',
            "done",
            f"module load {shlex.join(cluster.modules)} || exit 1",
        ]
    if job.ranks:
        port = shlex.join([*cluster.container, *python(cluster), "-m", "launchers.slurm.port"])
        lines += [
            f'[ -z "$SLURM_RESTART_COUNT" ] || echo "{RESTART} $SLURM_RESTART_COUNT"',
            "# The nodes meet at this one, the first: by the address Slurm has for it, at a port that stays held.",
            'export MASTER_ADDR="$(scontrol --oneliner show node "$SLURMD_NODENAME"'
            " | sed -n 's/.* NodeAddr=\\([^ ]*\\) .*/\\1/p')\"",
            f"exec {{held}}< <({port})",
            'read -r MASTER_PORT <&"$held" && export MASTER_PORT || exit 1',
        ]
    return lines


def _command(job: Job, cluster: Cluster) -> str:
    command = " ".join(_word(word) for word in [*cluster.container, *job.command])
    if not job.ranks:
        return command
    # When the first launcher has ended the others have so long to end too, and to say why, before Slurm ends them.
    srun = [
        "srun", "--export=ALL", f"--cpus-per-task={cluster.cpus_per_node}", "--kill-on-bad-exit=0",
        f"--wait={END_SECONDS}", "--open-mode=append", f"--output={job.folder / 'job-%j-node-%n.log'}",
    ]  # fmt: skip
    module = [*cluster.container, *python(cluster), "-m"]
    node = [*module, "launchers.slurm.node", str(cluster.processes_per_node), str(job.folder)]
    told = f'{shlex.join([*module, "launchers.slurm.failure", str(job.folder)])} "$SLURM_JOB_ID"'
    parts = [shlex.join(srun), shlex.join(node), " ".join(map(_word, job.command))]
    return " \\\n  ".join(parts) + f" || {{\n  status=$?\n  {told}\n  exit $status\n}}"


def _word(word: str) -> str:
    """Quoted for the shell; PART becomes the variable that holds it."""
    if not word:
        return "''"
    return '"$SLURM_ARRAY_TASK_ID"'.join(shlex.quote(part) if part else "" for part in re.split(re.escape(PART), word))
