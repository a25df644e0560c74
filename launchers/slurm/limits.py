"""What a cluster would refuse, asked before anything is submitted: partitions, their sizes and times."""

from __future__ import annotations

import re
from collections.abc import Callable

from configs.errors import Problem
from configs.schema.cluster import Cluster
from configs.suggest import nearest
from launchers.slurm.client import call


def problems(cluster: Cluster, where: Callable[[str], str], nodes: int) -> list[Problem]:
    """nodes: of the largest job. where: key -> the place to mend it.

    Raises as `client.call`: UserError (no Slurm here), TryLater (Slurm does not answer).
    """
    found = []
    known = _partitions()
    asked = [name for name in cluster.partition.split(",") if name]
    for name in asked:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near[0]}?" if near else f"partitions here: {', '.join(known)}"
            found.append(Problem(f"this Slurm has no partition {name!r}", where("cluster.partition"), hint))
    if not asked:
        asked = [name for name, told in known.items() if told.get("Default") == "YES"]
    there = [(name, known[name]) for name in asked if name in known]
    # Slurm starts a job in whichever of the partitions allows it.
    if there and all(nodes > _nodes(told) for _, told in there):
        name, told = max(there, key=lambda entry: _nodes(entry[1]))
        what = f"{nodes} nodes: partition {name} gives a job at most {_nodes(told)}"
        found.append(Problem(what, where("cluster.nodes"), f"use at most cluster.nodes={_nodes(told)}"))
    if cluster.time and there and all(minutes(cluster.time) > minutes(told.get("MaxTime", "")) for _, told in there):
        name, told = max(there, key=lambda entry: minutes(entry[1].get("MaxTime", "")))
        what = f"a time limit of {cluster.time}: partition {name} allows {told['MaxTime']}"
        hint = f"use cluster.time={told['MaxTime']}; a run that ends early is resumed by submitting it again"
        found.append(Problem(what, where("cluster.time"), hint))
    return found


def minutes(time: str) -> float:
    """Slurm's ways to write a time (sbatch(1), --time) as minutes; infinite for UNLIMITED and the like."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", time)
    if match is None:
        return float("inf")
    days, *rest = match.groups()
    first, second, third = (int(part) if part else 0 for part in rest)
    if days is not None:  # D-HH[:MM[:SS]]
        return int(days) * 1440 + first * 60 + second + third / 60
    if rest[2] is not None:  # HH:MM:SS
        return first * 60 + second + third / 60
    return first + second / 60  # MM[:SS]


def _partitions() -> dict[str, dict[str, str]]:
    """`scontrol show partition`: name -> its words."""
    lines = call("scontrol", "--oneliner", "show", "partition").splitlines()
    told = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
    return {words["PartitionName"]: words for words in told if "PartitionName" in words}


def _nodes(told: dict[str, str]) -> float:
    """Nodes that one job may have."""
    limits = [told.get("MaxNodes", ""), told.get("TotalNodes", "")]
    return min((int(limit) for limit in limits if limit.isdigit()), default=float("inf"))
