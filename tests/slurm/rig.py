"""A real Slurm of a few nodes on this machine: munge, MariaDB, slurmdbd, slurmctld and one slurmd per node.

`python -I rig.py DIRECTORY` starts it below DIRECTORY (a short path: Unix sockets lie there), prints one line of JSON
once jobs can be submitted, and stays. When its stdin ends, which it does however the process at the other end dies, it
kills everything that it started or that grew from it, removes DIRECTORY and ends. Needs no root, no systemd, no
container; listens on loopback only, on ports that were free. The nodes share this host: `n1`, `n2`, ... are names of
Slurm's alone and resolve nowhere. The standard library is all it needs.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PROGRAMS = (
    "munged",
    "munge",
    "mariadbd",
    "mariadb",
    "mariadb-install-db",
    "slurmdbd",
    "slurmctld",
    "slurmd",
    "sacctmgr",
    "sbatch",
)
NODES = ("n1", "n2", "n3")
CPUS, GPUS, MEMORY_MB = 8, 4, 16_000  # of each node, pretended
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PATIENCE_SECONDS = 60

SLURM_CONF = """\
ClusterName=rig
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
# A requeued job may not start again before its credential has expired: 120 s unless it is said here.
AuthInfo=socket={dir}/munge.sock,cred_expire=5
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool-%n
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd-%n.pid
SlurmctldLogFile={dir}/log/slurmctld.log
SlurmdLogFile={dir}/log/slurmd-%n.log
# The node lines below count, not what the machine has.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
EnforcePartLimits=ALL
SlurmdTimeout=10
TCPTimeout=2
MessageTimeout=15
KillWait=3
BatchStartTimeout=10
MinJobAge=86400
MaxArraySize=8
JobRequeue=1
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,requeue_setup_env_fail
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# Here and not in SchedulerParameters, where it is ignored without a word.
SlurmctldParameters=preempt_send_user_signal
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
# With munge this is the socket to reach the accounting daemon with.
AccountingStoragePass={dir}/munge.sock
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=limits
AccountingStoreFlags=job_comment
{nodes}
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=5 DefaultTime=30 MaxTime=600
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF DefaultTime=30 MaxTime=600
"""

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={dir}/munge.sock
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={accounting}
SlurmUser={user}
PidFile={dir}/slurmdbd.pid
LogFile={dir}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounting
CommunicationParameters=NoInAddrAny
"""


class Rig:
    """The daemons below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.host, self.user = socket.gethostname().split(".")[0], pwd.getpwuid(os.getuid()).pw_name
        self.environment = {
            "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "SLURM_CONF": str(directory / "slurm.conf"),
            "MYSQL_UNIX_PORT": str(directory / "mariadb.sock"),  # slurmdbd's only way to be told of a socket
        }
        self.held = [_free_port() for _ in range(2 + len(NODES))]
        self.ports = [held.getsockname()[1] for held in self.held]

    def start(self) -> None:
        """Brings everything up, or raises RuntimeError with the end of the log of what did not come."""
        for name in ("log", "state", *(f"spool-{node}" for node in NODES), "database"):
            (self.directory / name).mkdir(mode=0o700)
        self._write_configuration()
        self._munge()
        self._database()
        self._accounting()
        self._slurm()

    def _write_configuration(self) -> None:
        nodes = []
        for place, node in enumerate(NODES):
            nodes.append(
                f"NodeName={node} NodeHostname={self.host} NodeAddr=127.0.0.1 Port={self.ports[2 + place]} CPUs={CPUS} "
                f"Boards=1 SocketsPerBoard=1 CoresPerSocket={CPUS} ThreadsPerCore=1 RealMemory={MEMORY_MB} Gres=gpu:{GPUS}"
            )
        values = {
            "dir": self.directory, "host": self.host, "user": self.user, "nodes": "\n".join(nodes),
            "controller": self.ports[0], "accounting": self.ports[1],
        }  # fmt: skip
        (self.directory / "slurm.conf").write_text(SLURM_CONF.format(**values))
        database = self.directory / "slurmdbd.conf"
        database.touch(mode=0o600)  # slurmdbd refuses one that others may read
        database.write_text(SLURMDBD_CONF.format(**values))
        gpus = []
        for gpu in range(GPUS):
            device = self.directory / f"gpu{gpu}"
            device.symlink_to("/dev/null")  # slurmd asks for a character device, and no more
            gpus.append(f"Name=gpu File={device}")
        (self.directory / "gres.conf").write_text("AutoDetect=off\n" + "\n".join(gpus) + "\n")

    def _munge(self) -> None:
        key = self.directory / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        where = [f"--{name}-file={self.directory}/munge.{name}" for name in ("log", "pid", "seed")]
        self._daemon("munged", "-F", f"--key-file={key}", f"--socket={self.directory}/munge.sock", *where)

    def _database(self) -> None:
        data, own = self.directory / "database", f"--user={self.user}"
        log = (self.directory / "log" / "mariadb-install.log").open("w")
        self._run(
            "mariadb-install-db", "--no-defaults", own, f"--datadir={data}", "--skip-test-db", "--skip-name-resolve",
            "--auth-root-authentication-method=normal", "--innodb-log-file-size=4M", output=log,
        )  # fmt: skip
        self._daemon(
            "mariadbd", "--no-defaults", own, f"--datadir={data}", f"--socket={self.directory}/mariadb.sock",
            f"--pid-file={self.directory}/mariadb.pid", "--skip-networking", "--skip-log-bin", "--skip-grant-tables",
            "--performance-schema=OFF", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=4M",
            "--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0",
        )  # fmt: skip
        query = ("mariadb", "--no-defaults", f"--socket={self.directory}/mariadb.sock", "-e")
        self._until("mariadbd", lambda: self._succeeds(*query, "create database if not exists accounting"))

    def _accounting(self) -> None:
        self._until("munged", lambda: self._succeeds("munge", "-n", "-S", str(self.directory / "munge.sock")))
        self._daemon("slurmdbd", "-D", SLURM_CONF=str(self.directory / "slurmdbd.conf"))
        self._until("slurmdbd", lambda: self._succeeds("sacctmgr", "-i", "add", "cluster", "rig"))
        if self.user != "root":  # who is there from the first, and limits are for users that accounting knows
            self._run("sacctmgr", "-i", "add", "user", self.user, "account=root")

    def _slurm(self) -> None:
        self._daemon("slurmctld", "-D")
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node, log=f"slurmd-{node}")

        def ready() -> bool:
            states = self._output("sinfo", "-h", "-p", "main", "-N", "-o", "%N %T").splitlines()
            return sorted(states) == [f"{node} idle" for node in NODES]

        self._until("slurmctld", ready)

    def _daemon(self, program: str, *arguments: str, log: str = "", **environment: str) -> None:
        with (self.directory / "log" / f"{log or program}.out").open("w") as output:
            subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=self.directory, env={**self.environment, **environment}, preexec_fn=_die_with_parent,
            )  # fmt: skip

    def _run(self, *command: str, output: object = subprocess.DEVNULL) -> None:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,  # type: ignore[call-overload]
            env=self.environment, cwd=self.directory, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{command[0]} ended with status {done.returncode}\n{self._logs(command[0])}")

    def _succeeds(self, *command: str) -> bool:
        done = subprocess.run(command, env=self.environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        return done.returncode == 0

    def _output(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        return done.stdout.decode()

    def _until(self, program: str, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not true():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{program} did not come up in {_PATIENCE_SECONDS} s\n{self._logs(program)}")
            time.sleep(0.05)

    def _logs(self, program: str) -> str:
        paths = sorted((self.directory / "log").glob(f"{program}*"))
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-2000:]}" for path in paths)


def _free_port() -> socket.socket:
    """A socket that keeps a port from being given to anyone else, while a daemon may still listen on it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants(root: int) -> list[int]:
    """Processes that grew from `root`, by /proc; zombies included."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += mine
    return found


def kill_all() -> None:
    """Kills every descendant. As their subreaper this process inherits those whose parents died, so none escapes."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for process in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def main(arguments: Sequence[str]) -> int:
    """Starts the rig, waits for the end of stdin, and leaves nothing."""
    directory = Path(arguments[0])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C reaches pytest, whose end reaches us
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    began, status = time.monotonic(), 0
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)  # munge wants its socket to be in reach of all
    try:
        Rig(directory).start()
        print(json.dumps({"seconds": round(time.monotonic() - began, 2)}), flush=True)
    except (RuntimeError, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        status = 1
    if not status:
        while os.read(0, 1024):
            pass
    kill_all()
    shutil.rmtree(directory, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
