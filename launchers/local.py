"""Ranks on this machine, through torch.distributed's launcher: all of a job, or those of one of its nodes.

Each rank writes stdout and stderr to its own file; the first of this machine is also shown live. When a rank fails the
others are stopped and the first failure is told first. No rank outlives the launcher, however that ends.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import signal
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from configs.errors import EXIT_TRY_LATER, EXIT_USER, MachineError, Problem, TryLater, UserError
from launchers.live import LiveLog

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing import LogsSpecs

_STOP_SECONDS = 10  # between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Node:
    """This machine's place among the `nodes` of a job: the `index`-th, from 0, called `name`. All launchers of the job
    meet at address:port, where the first of them listens, and know it by the same `job`."""

    index: int
    nodes: int
    name: str
    address: str
    port: int
    job: str


class RankFailure(Exception):
    """The rank of this machine that failed first. at: when its log fell silent, in nanoseconds since 1970.

    told: what to raise for it, a UserError or a MachineError.
    """

    def __init__(self, rank: int, at: int, told: UserError | MachineError) -> None:
        super().__init__(str(told))
        self.rank, self.at, self.told = rank, at, told


def run_ranks(command: Sequence[str], procs: int, log_dir: Path, env: Mapping[str, str] | None = None) -> None:
    """Run `procs` ranks of `command` to their end.

    Each finds RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT in its environment, beside this process' own
    and `env`. Logs: log_dir/rank-{r}.log; those of an earlier run are kept as rank-{r}.{n}.log.
    Raises UserError where a rank ended with status 2 (with the problems it printed), MachineError where one failed
    otherwise, KeyboardInterrupt after SIGINT, SIGTERM or SIGHUP to this process. Call it from the main thread.
    """
    try:
        run_ranks_of(None, command, procs, log_dir, env)
    except RankFailure as failure:
        raise failure.told from None


def run_ranks_of(
    node: Node | None, command: Sequence[str], procs: int, log_dir: Path, env: Mapping[str, str] | None = None
) -> None:
    """As `run_ranks` for the `procs` ranks of one node of a job, which has nodes x procs; None: the only one.

    Raises RankFailure where a rank of this node failed. At a good end it waits for the other nodes' ranks.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or every rank warns that 127.0.0.1 has no host name
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    log_dir.mkdir(parents=True, exist_ok=True)
    _keep_older(log_dir)
    first, world_size = (node.index * procs, node.nodes * procs) if node else (0, procs)
    logs = {rank: log_dir / f"rank-{rank}.log" for rank in range(first, first + procs)}
    settings = {
        **_meeting(node),
        "nproc_per_node": procs,
        "max_restarts": 0,
        "monitor_interval": 0.1,
        "logs_specs": _logs_specs(list(logs.values()), _rank_environment(procs, node) | dict(env or {})),
        "signals_to_handle": "SIGQUIT",  # ours are below: SIGINT would reach ranks as an exception they may sit out
        "shutdown_timeout": _STOP_SECONDS,
    }
    known = {field.name for field in dataclasses.fields(LaunchConfig)}
    config = LaunchConfig(**{name: value for name, value in settings.items() if name in known})
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it has to say is told below, once
    # The launcher substitutes ${local_rank} in arguments; ours are meant literally.
    arguments = [word.replace("$", "$$") for word in command]
    wrapper = ["-I", "-S", str(Path(__file__).with_name("rank.py")), str(os.getpid())]
    with LiveLog(logs[first]) as live:
        try:
            with _stop_signals(SignalException):
                elastic_launch(config, sys.executable)(*wrapper, *arguments)
        except SignalException:
            live.release()
            raise KeyboardInterrupt from None
        except ChildFailedError as error:
            failed = {rank: failure.exitcode for rank, failure in error.failures.items()}
            failed = _own(failed, {rank: failure.timestamp for rank, failure in error.failures.items()})
            silent = {rank: logs[rank].stat().st_mtime_ns for rank in failed}
            rank = min(failed, key=lambda rank: (silent[rank], rank))
            raise RankFailure(rank, silent[rank], _told(rank, failed, logs[rank], world_size, node)) from None
        live.release()


def _meeting(node: Node | None) -> dict[str, Any]:
    """How the launchers of a job find each other."""
    if node is None:  # the store binds a free port itself: none is guessed
        alone = {"rdzv_backend": "c10d", "rdzv_endpoint": "127.0.0.1:0", "local_addr": "127.0.0.1"}
        return {"min_nodes": 1, "max_nodes": 1, "run_id": uuid.uuid4().hex, **alone}
    host = f"[{node.address}]" if ":" in node.address else node.address
    together = {"rdzv_backend": "static", "rdzv_endpoint": f"{host}:{node.port}", "rdzv_configs": {"rank": node.index}}
    return {"min_nodes": node.nodes, "max_nodes": node.nodes, "run_id": node.job, **together}


@contextmanager
def _stop_signals(exception: type[Exception]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end the ranks by SIGTERM, which also stops one that waits inside a collective."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(handled, signal.SIG_IGN)  # a second Ctrl-C does not interrupt the cleaning up
        raise exception(f"received signal {number}", signal.SIGTERM)

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGQUIT] = signal.getsignal(signal.SIGQUIT)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rank_environment(procs: int, node: Node | None) -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
    defaults = {"OMP_NUM_THREADS": str(max(1, cores // procs))}
    if node is None and loopback is not None:
        # gloo would look the host's name up, which fails on a machine without network
        defaults["GLOO_SOCKET_IFNAME"] = loopback
    return {name: os.environ.get(name, value) for name, value in defaults.items()} | {
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _logs_specs(logs: Sequence[Path], environment: Mapping[str, str]) -> LogsSpecs:
    """Where the launcher sends the output of its ranks (by their order on this machine), and the one place where it lets
    their environment be added to."""
    from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs

    class RankLogs(LogsSpecs):
        def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
            for rank_environment in envs.values():
                rank_environment.update(environment)
            return LogsDest(
                stdouts={place: str(path) for place, path in enumerate(logs)},
                stderrs=dict.fromkeys(range(len(logs)), ""),  # rank.py joins it to stdout
                error_files={place: f"{path}.error.json" for place, path in enumerate(logs)},
            )

        @property
        def root_log_dir(self) -> str:
            return str(logs[0].parent)

    return RankLogs()


def _keep_older(log_dir: Path) -> None:
    """Rename the logs of an earlier run of this directory: rank-0.log -> rank-0.1.log, -> rank-0.2.log, ..."""
    for path in log_dir.glob("rank-*.log"):
        if re.fullmatch(r"rank-\d+\.log", path.name):
            taken = [int(p.name.split(".")[1]) for p in log_dir.glob(f"{path.stem}.*.log")]
            path.rename(path.with_name(f"{path.stem}.{max(taken, default=0) + 1}.log"))


# --- what a failure says ------------------------------------------------------------------------------------------


def _own(failures: Mapping[int, int], seen: Mapping[int, int]) -> dict[int, int]:
    """Rank -> exit status of those that failed by themselves; of them the first is the one whose log fell silent first.

    Peers of a dead rank notice through the collective they wait in, and write their own errors after it. Others are
    stopped by us: they end by SIGTERM, or by SIGKILL half a minute after the first was seen. seen: when, in seconds.
    """
    late = min(seen.values()) + _STOP_SECONDS
    ours = {
        rank for rank, status in failures.items()
        if status == -signal.SIGTERM or (status == -signal.SIGKILL and seen[rank] > late)
    }  # fmt: skip
    return {rank: status for rank, status in failures.items() if rank not in ours} or dict(failures)


def _told(
    rank: int, failures: Mapping[int, int], log: Path, world_size: int, node: Node | None
) -> UserError | MachineError:
    """What to say of the rank that failed first. failures: rank -> exit status, of all that failed here by themselves."""
    status = failures[rank]
    text = log.read_text(encoding="utf-8", errors="replace")
    if status == EXIT_USER and (problems := parse_problems(text)):
        return UserError(*problems)
    how, go_on = f"ended with exit status {status}", ""
    if status < 0:
        name = signal.Signals(-status).name
        how = f"was killed by {name}"
        if name == "SIGKILL":
            go_on = "the kernel kills so when memory runs out: see `dmesg`, or try a smaller train.micro_batch"
        elif name == "SIGILL":
            go_on = "this CPU may lack an instruction it advertises: try ONEDNN_MAX_CPU_ISA=AVX512_CORE"
    others = [str(r) for r in sorted(failures) if r != rank]
    after = f"; after it rank {', '.join(others)}" if others else ""
    on = f" on {node.name}" if node else ""
    what = f"rank {rank} of {world_size}{on} {how}{after}\n{last_words(text)}".rstrip()
    kind = TryLater if status == EXIT_TRY_LATER else MachineError
    return kind(what, where=f"{log} (every rank has its log beside it)", go_on=go_on)


def parse_problems(text: str) -> list[Problem]:
    """The problems that a UserError printed at the end of a log, as `str(UserError)` writes them."""
    problems: list[Problem] = []
    for block in re.findall(r"^error: .*(?:\n  (?:-->|hint:) .*)*", text, flags=re.MULTILINE):
        what, *details = block.split("\n")
        where = "".join(d.removeprefix("  --> ") for d in details if d.startswith("  --> "))
        hint = "".join(d.removeprefix("  hint: ") for d in details if d.startswith("  hint: "))
        problems.append(Problem(what.removeprefix("error: "), where, hint))
    return problems


def last_words(text: str, lines: int = 15) -> str:
    """The last traceback of a log with the exceptions that led to it, else a fault's message, else the last lines."""
    starts = [m.start() for m in re.finditer(r"^Traceback \(most recent call last\):$", text, flags=re.MULTILINE)]
    fault = text.rfind("\nfault: ") + 1 or (0 if text.startswith("fault: ") else -1)
    if fault >= 0 and (not starts or fault > starts[-1]):
        return text[fault:].rstrip()
    if not starts:
        return "\n".join(text.rstrip().split("\n")[-lines:])
    begin = len(starts) - 1
    while begin > 0 and re.search(
        r"^(?:During handling of the above exception|The above exception was the direct cause)",
        text[starts[begin - 1] : starts[begin]],
        flags=re.MULTILINE,
    ):
        begin -= 1
    return text[starts[begin] :].rstrip()
