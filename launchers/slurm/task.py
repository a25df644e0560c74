"""What stands between srun and a rank: `python -m launchers.slurm.task COMMAND...` becomes the command.

Says in the words of torch.distributed what Slurm says in its own: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE.
MASTER_ADDR and MASTER_PORT come from the job's script. The standard library is all it needs, so it is quick.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping

_SIOCGIFADDR = 0x8915  # linux/sockios.h


def rank_environment(slurm: Mapping[str, str]) -> dict[str, str]:
    """What a rank needs to know, from the environment that srun gives a task. KeyError outside of a job step."""
    tasks_per_node = slurm["SLURM_STEP_TASKS_PER_NODE"]  # "2(x3),1"
    node = int(slurm["SLURM_NODEID"])
    environment = {
        "RANK": slurm["SLURM_PROCID"],
        "WORLD_SIZE": slurm["SLURM_NTASKS"],
        "LOCAL_RANK": slurm["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(_expand(tasks_per_node)[node]),
        "OMP_NUM_THREADS": slurm.get("OMP_NUM_THREADS") or slurm.get("SLURM_CPUS_PER_TASK") or "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TORCH_CPP_LOG_LEVEL": slurm.get("TORCH_CPP_LOG_LEVEL") or "ERROR",
    }
    # Left alone, gloo takes the interface that the host's own name resolves to: often none, or that of another network.
    if "GLOO_SOCKET_IFNAME" not in slurm and (interface := interface_towards(slurm.get("MASTER_ADDR", ""))):
        environment["GLOO_SOCKET_IFNAME"] = interface
    return environment


def _expand(counts: str) -> list[int]:
    """`2(x3),1` -> [2, 2, 2, 1]."""
    found: list[int] = []
    for part in counts.split(","):
        number, _, times = part.rstrip(")").partition("(x")
        found += [int(number)] * int(times or 1)
    return found


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


def main() -> None:
    os.environ.update(rank_environment(os.environ))
    if os.environ["LOCAL_RANK"] == "0":  # the log is named by the node's place in the job
        first, here = int(os.environ["RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
        ranks = f"rank {first}" if here == 1 else f"ranks {first}-{first + here - 1}"
        print(f"node {os.environ['SLURMD_NODENAME']}: {ranks} of {os.environ['WORLD_SIZE']}", flush=True)
    # Slurm announces the time limit and preemption by it; who does not listen must not die of it.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        print(f"fault: cannot start {sys.argv[1]}: {error.strerror}", file=sys.stderr)
        raise SystemExit(127) from None


if __name__ == "__main__":
    main()
