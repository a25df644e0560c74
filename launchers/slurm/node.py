"""What srun starts once on each node of a job: `python -m launchers.slurm.node PROCS FOLDER COMMAND...` runs the node's
PROCS ranks of the command by the local launcher.

One task per node, however many ranks: Slurm keeps one entry per node, and each node reads this program once. The node's
output is its own lines and those of its first rank; every rank has its log in FOLDER/job-N-node-K.
MASTER_ADDR and MASTER_PORT, where the launchers meet, come from the job's script.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs.errors import EXIT_INTERRUPTED
from launchers.local import Node, RankFailure, run_ranks_of
from launchers.slurm import failure
from launchers.slurm.client import private_directory

_SIOCGIFADDR = 0x8915  # linux/sockios.h


def node_of(slurm: Mapping[str, str]) -> Node:
    """This node's place, from the environment that srun gives a task. KeyError outside of a job's step."""
    life = slurm.get("SLURM_RESTART_COUNT") or "0"
    return Node(
        index=int(slurm["SLURM_NODEID"]),
        nodes=int(slurm["SLURM_STEP_NUM_NODES"]),
        name=slurm["SLURMD_NODENAME"],
        address=slurm["MASTER_ADDR"],
        port=int(slurm["MASTER_PORT"]),
        job=f"{slurm['SLURM_JOB_ID']}-{life}",
    )


def rank_environment(slurm: Mapping[str, str], procs: int) -> dict[str, str]:
    """What the ranks of a node find beside their places."""
    environment = {"TORCH_CPP_LOG_LEVEL": slurm.get("TORCH_CPP_LOG_LEVEL") or "ERROR"}
    if not slurm.get("OMP_NUM_THREADS") and slurm.get("SLURM_CPUS_PER_TASK"):
        environment["OMP_NUM_THREADS"] = str(max(1, int(slurm["SLURM_CPUS_PER_TASK"]) // procs))
    # Left alone, gloo takes the interface that the host's own name resolves to: often none, or that of another network.
    if "GLOO_SOCKET_IFNAME" not in slurm and (interface := interface_towards(slurm["MASTER_ADDR"])):
        environment["GLOO_SOCKET_IFNAME"] = interface
    return environment


def interface_towards(host: str) -> str:
    """The network interface through which this machine reaches `host`; "" where that cannot be told."""
    try:
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # a datagram socket: nothing is sent
            own = probe.getsockname()[0]
            for _, name in socket.if_nameindex():
                request = struct.pack("256s", name.encode()[:15])
                try:
                    if socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, request)[20:24]) == own:
                        return name
                except OSError:
                    continue  # an interface without an address
    except (OSError, ImportError):
        pass
    return ""


def main(arguments: Sequence[str]) -> int:
    """Runs the ranks to their end; the exit status that their failure has anywhere else."""
    procs, folder, command = int(arguments[0]), Path(arguments[1]), arguments[2:]
    node = node_of(os.environ)
    first = node.index * procs
    ranks = f"rank {first}" if procs == 1 else f"ranks {first}-{first + procs - 1}"
    print(f"node {node.name}: {ranks} of {node.nodes * procs}", flush=True)  # the log has the node's place for a name
    # Slurm announces the time limit and preemption by USR2, to every process of the step. It is for ranks that listen:
    # neither the launcher nor a rank that does not, which inherits this, may die of it.
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    logs = private_directory(failure.rank_logs(folder, os.environ["SLURM_JOB_ID"], node.index))
    failure.forget(logs)
    try:
        run_ranks_of(node, command, procs, logs, rank_environment(os.environ, procs))
    except RankFailure as error:
        failure.write(logs, failure.Failure(node.name, error.rank, error.at, str(error.told)))
        print(error.told, file=sys.stderr, flush=True)
        return error.told.exit_status
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
