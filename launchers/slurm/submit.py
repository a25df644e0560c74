"""Jobs into the queue."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs.errors import Problem, UserError
from configs.schema.cluster import Cluster
from configs.suggest import nearest
from launchers.slurm import records
from launchers.slurm.client import call, config_value, partitions, passed_environment, private_directory, require
from launchers.slurm.jobs import active
from launchers.slurm.records import Submitted
from launchers.slurm.script import Job, render


def dry_run(jobs: Sequence[Job], cluster: Cluster, directory: Path) -> str:
    """What `submit` would do: each script, byte for byte, below the command that would submit it."""
    shown = []
    for job in jobs:
        after = [f"${{{jobs[place].name}}}" for place in job.after]
        command = ["sbatch", "--parsable", *_dependency(after), f"{job.name}.sh"]
        note = f"\n# {job.note}" if job.note else ""
        shown.append(f"# {job.name}.sh: {' '.join(command)}{note}\n{render(job, cluster, directory)}")
    return "\n\n".join(shown)


def _dependency(ids: Sequence[str]) -> list[str]:
    return [f"--dependency=afterok:{':'.join(ids)}"] if ids else []


def refuse_busy(jobs: Sequence[Job]) -> None:
    """UserError where a job that waits or runs already works on the same run or corpus."""
    found = []
    for directory in dict.fromkeys(job.works_on for job in jobs):
        if busy := active(directory):
            record, state = busy
            what = f"job {record.id} ({record.name}, {state.lower()}) works on {directory} already"
            found.append(Problem(what, hint=f"end it by `millrace cancel {record.id}`, or choose another directory"))
    if found:
        raise UserError(*found)


def submit(
    jobs: Sequence[Job], cluster: Cluster, directory: Path, carried: Mapping[str, str] | None = None
) -> list[Submitted]:
    """Submits the jobs in order; they start in `directory`.

    carried: variables for the jobs that must not be written into scripts. UserError: what Slurm refuses; the jobs of
    the same call submitted before it are taken back.
    """
    require()
    name, largest = config_value("ClusterName"), int(config_value("MaxArraySize") or 0)
    if largest and any(job.parts > largest for job in jobs):
        what = f"an array of {max(job.parts for job in jobs)} tasks: this Slurm takes {largest} (MaxArraySize)"
        raise UserError(Problem(what, "cluster.array_tasks", f"use at most {largest}"))
    done: list[Submitted] = []
    try:
        for job in jobs:
            done.append(_submit(job, done, cluster, directory, carried or {}, name))
    except BaseException:
        if done:
            call("scancel", *(record.id for record in done))
            for record in done:
                records.forget(record)
        raise
    return done


def _submit(
    job: Job,
    done: Sequence[Submitted],
    cluster: Cluster,
    directory: Path,
    carried: Mapping[str, str],
    cluster_name: str,
) -> Submitted:
    private_directory(job.folder)
    script = job.folder / f".{job.name}-{uuid.uuid4().hex}.sh"
    script.touch(mode=0o600)
    script.write_text(render(job, cluster, directory))
    command = ["sbatch", "--parsable", *_dependency([done[place].id for place in job.after]), str(script)]
    try:
        answer = call(*command, environment={**passed_environment(cluster.pass_environment), **carried})
    except UserError as error:
        script.unlink()
        raise UserError(*(_explained(problem, cluster) for problem in error.problems)) from None
    except BaseException:
        script.unlink()
        raise
    id, _, _ = answer.strip().partition(";")
    named = job.folder / f"job-{id}.sh"
    script.rename(named)
    record = Submitted(
        id=id,
        submission=done[0].id if done else id,
        cluster=cluster_name,
        name=job.name,
        directory=str(job.works_on.absolute()),
        folder=str(job.folder.absolute()),
        script=str(named.absolute()),
        parts=job.parts,
        nodes=cluster.nodes if job.ranks else 1,
        tasks_per_node=cluster.processes_per_node if job.ranks else 1,
        submitted=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
    )
    records.write(record)
    return record


_REFUSALS = {
    "partition": "partition", "account": "account", "qos": "qos", "feature": "constraint", "time limit": "time",
    "memory": "memory", "node count": "nodes", "cpu count": "cpus_per_task", "gres": "gpus_per_node",
    "nodes listed": "exclude", "dependency": "", "node configuration": "nodes",
}  # fmt: skip
"""A word in Slurm's refusal -> the key of the cluster section that it most likely speaks of."""


def _explained(problem: Problem, cluster: Cluster) -> Problem:
    said = problem.what.lower()
    key = next((key for word, key in _REFUSALS.items() if word in said), "")
    hint = ""
    if key == "partition":
        known = partitions()
        near = nearest(cluster.partition, known) if cluster.partition else []
        hint = f"partitions here: {', '.join(near or known)}"
    return Problem(problem.what, f"cluster.{key}" if key else "", hint)
