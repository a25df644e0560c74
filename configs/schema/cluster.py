"""The section that tells where a job runs: what it asks of Slurm, and what surrounds its commands. It decides nothing
about the result, so it enters no fingerprint and may differ between the lives of a run."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from configs.schema.section import Bytes, Section

_TIME = re.compile(r"(?:\d+-)?\d{1,2}(?::\d{2}){1,2}|\d+|\d+-\d{1,2}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Cluster(Section):
    """One kind of allocation on one cluster. An empty text or 0 leaves the choice to the site."""

    partition: str = Field(default="", description="partitions, separated by commas")
    account: str = Field(default="", description="who pays")
    qos: str = Field(default="", description="quality of service")
    nodes: int = Field(default=1, ge=1, description="nodes of a training job; a part of a data job takes one")
    gpus_per_node: int = Field(default=0, ge=0, description="of a training job")
    tasks_per_node: int = Field(
        default=0, ge=0, description="training processes per node; 0: one per GPU, at least one"
    )
    cpus_per_task: int = Field(default=1, ge=1, description="of a training process; of a part of a data job")
    memory: Bytes = Field(default=0, ge=0, description="per node, in whole MiB; 0: the site's default")
    time: str = Field(default="", description="limit, as Slurm writes it: minutes, HH:MM:SS or D-HH:MM:SS")
    constraint: str = Field(default="", description="features that nodes must have")
    exclude: str = Field(default="", description="nodes not to use, as n[1-3,7]")
    comment: str = Field(default="", description="kept by Slurm beside the job")
    flags: dict[str, str] = Field(default={}, description="more sbatch flags, as {reservation: night, exclusive: ''}")

    environment: dict[str, str] = Field(default={}, description="variables set for the job, in its script")
    pass_environment: list[str] = Field(
        default=[], description="variables that the job takes over from the submitting shell, beside PATH and the like"
    )
    modules: list[str] = Field(default=[], description="environment modules to load, in order")
    container: list[str] = Field(
        default=[], description="command that runs another inside a container, as [apptainer, exec, --nv, image.sif]"
    )
    python: str = Field(default="", description="interpreter of the job; empty: the one that submits")

    array_tasks: int = Field(default=64, ge=1, description="parts of a data job at the most; never more than its units")
    array_parallelism: int = Field(default=0, ge=0, description="parts of a data job that run at once; 0: all")
    folder: str = Field(default="", description="scripts and logs; empty: run.dir/logs, data.dir/work/jobs")

    @property
    def processes_per_node(self) -> int:
        return self.tasks_per_node or self.gpus_per_node or 1

    @property
    def cpus_per_node(self) -> int:
        """Of a training job: its one task per node starts all of the node's processes."""
        return self.cpus_per_task * self.processes_per_node

    @field_validator("time")
    @classmethod
    def _time(cls, time: str) -> str:
        if time and not _TIME.fullmatch(time):
            raise ValueError(f"{time!r} is not a time limit: write minutes, HH:MM:SS or D-HH:MM:SS, as 1-12:00:00")
        return time

    @field_validator("environment", "pass_environment")
    @classmethod
    def _names(cls, value: dict[str, str] | list[str]) -> dict[str, str] | list[str]:
        bad = [name for name in value if not _NAME.fullmatch(name)]
        if bad:
            raise ValueError(f"not names of variables: {', '.join(map(repr, bad))}")
        return value

    @field_validator("flags")
    @classmethod
    def _flags(cls, flags: dict[str, str]) -> dict[str, str]:
        bad = [name for name in flags if not re.fullmatch(r"[a-z][a-z0-9-]*", name)]
        if bad:
            raise ValueError(f"not long names of sbatch flags: {', '.join(map(repr, bad))}; write them without dashes")
        return flags

    @field_validator("partition", "account", "qos", "constraint", "exclude", "comment", "folder", "python")
    @classmethod
    def _one_line(cls, text: str) -> str:
        if not text.isprintable():
            raise ValueError(f"{text!r} is more than one line of text")
        return text
