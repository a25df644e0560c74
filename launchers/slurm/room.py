"""How many jobs the queue takes of this user now: the length of an array, and the limits of accounting.

Each task of an array counts as a job. Jobs that wait for others count too, so all of a submission must fit at once.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence
from dataclasses import dataclass

from configs.errors import Problem, UserError
from configs.schema.cluster import Cluster
from launchers.slurm.client import call, config_value


@dataclass(frozen=True)
class Room:
    """array: tasks of one array at the most, and array_by what says so. jobs: further ones that may be submitted, and
    jobs_by. None: no limit is known."""

    array: int | None = None
    array_by: str = ""
    jobs: int | None = None
    jobs_by: str = ""

    def fit(self, wanted: Sequence[int], others: int) -> tuple[list[int], list[str]]:
        """Lengths for the arrays `wanted` of a submission with `others` jobs beside them, and why each is shorter, or "".

        UserError where not even arrays of one task fit.
        """
        sizes = [min(size, self.array) if self.array is not None else size for size in wanted]
        reasons = [self.array_by if size < asked else "" for size, asked in zip(sizes, wanted, strict=True)]
        if problem := self.problem(len(wanted) + others):
            raise UserError(problem)
        if self.jobs is not None:
            left, waiting = self.jobs - others, sorted(range(len(sizes)), key=lambda place: sizes[place])
            while waiting:  # what a short array leaves is for the longer ones
                place = waiting.pop(0)
                share = left // (len(waiting) + 1)
                if sizes[place] > share:
                    sizes[place], reasons[place] = share, self.jobs_by
                left -= sizes[place]
        return sizes, reasons

    def problem(self, jobs: int) -> Problem | None:
        """What keeps so many jobs from being submitted."""
        if self.jobs is None or jobs <= self.jobs:
            return None
        what = f"{jobs} jobs at least are to be submitted: the queue takes {self.jobs} more ({self.jobs_by})"
        return Problem(what, hint="wait until some of your jobs have ended, or end them: `millrace jobs`")


def ask(cluster: Cluster) -> Room:
    """The room that there is. Raises as `client.call`: UserError (no Slurm here), TryLater (Slurm does not answer)."""
    longest = [(int(config_value("MaxArraySize") or 0), "MaxArraySize")]
    if more := re.search(r"\bmax_array_tasks=(\d+)", config_value("SchedulerParameters")):
        longest.append((int(more[1]), "max_array_tasks"))
    array, name = min((entry for entry in longest if entry[0] > 0), default=(None, ""))
    array_by = f"this Slurm takes arrays of {array} tasks ({name})" if array else ""
    if not re.search(r"limits|safe|all", config_value("AccountingStorageEnforce")):
        return Room(array, array_by)
    try:
        told = call("scontrol", "show", "assoc_mgr", f"users={getpass.getuser()}", "flags=assoc,qos")
    except UserError:  # kept private, or no accounting after all
        return Room(array, array_by)
    limits = _of_associations(told, cluster) + _of_qos(told, cluster)
    free = [(max(0, limit - used), f"{name} {limit} of {whose}, {used} in use") for name, limit, used, whose in limits]
    jobs, jobs_by = min(free, default=(None, ""))
    return Room(array, array_by, jobs, jobs_by)


def _of_associations(told: str, cluster: Cluster) -> list[tuple[str, int, int, str]]:
    """(limit's name, limit, jobs in use, whose) of the user's association and of the accounts above it."""
    records = [
        dict(re.findall(r"(\w+)=(\S*)", text))
        for text in re.split(r"^(?=ClusterName=)", told.partition("QOS Records")[0], flags=re.MULTILINE)
        if text.startswith("ClusterName=")
    ]
    mine = [record for record in records if record["UserName"]]
    wanted = [record for record in mine if record["Account"] == cluster.account] if cluster.account else [
        record for record in mine if record.get("DefAssoc") == "Yes"]  # fmt: skip
    # One for the partition alone goes before one for all.
    here = [record for record in wanted if record["Partition"] in cluster.partition.split(",")]
    chosen = (here or [record for record in wanted if not record["Partition"]])[:1]
    found = []
    for record in chosen:
        whose = f"user {record['UserName'].partition('(')[0]} in account {record['Account']}"
        found += [_limit(record, name, whose) for name in ("MaxSubmitJobs", "GrpSubmitJobs")]
        accounts = {other["Account"]: other for other in records if not other["UserName"]}
        account: str = record["Account"]
        while account in accounts:
            found.append(_limit(accounts[account], "GrpSubmitJobs", f"account {account}"))
            account = accounts.pop(account)["ParentAccount"].partition("(")[0]
    return [limit for limit in found if limit is not None]


def _limit(record: dict[str, str], name: str, whose: str) -> tuple[str, int, int, str] | None:
    """`MaxSubmitJobs=5(2)` is a limit of 5 of which 2 are in use; `N(2)` and nothing at all are none."""
    match = re.fullmatch(r"(\d+)\((\d+)\)", record.get(name, ""))
    return (name, int(match[1]), int(match[2]), whose) if match else None


def _of_qos(told: str, cluster: Cluster) -> list[tuple[str, int, int, str]]:
    """The same of the quality of service that is asked for by name. The limit of each user stands there only once the
    user has jobs under it, so it is asked of accounting."""
    for text in re.split(r"^(?=QOS=)", told.partition("QOS Records")[2], flags=re.MULTILINE):
        if cluster.qos and text.startswith(f"QOS={cluster.qos}("):
            whose = f"QOS {cluster.qos}"
            record = dict(re.findall(r"(\w+)=(\S*)", text))
            limits = [_limit(record, "GrpSubmitJobs", whose)]
            try:
                per_user = call("sacctmgr", "-n", "-P", "show", "qos", cluster.qos, "format=MaxSubmitPU").strip()
            except UserError:
                per_user = ""
            if per_user.isdigit():
                used = call("squeue", "--me", "-h", "-r", "-o", "%q").split().count(cluster.qos)
                limits.append(("MaxSubmitJobsPerUser", int(per_user), used, whose))
            return [limit for limit in limits if limit is not None]
    return []
