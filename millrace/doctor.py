"""`millrace doctor`: what a machine has for the road, as a block to paste into a report. Nothing of it is secret.

Only what is named here is told: no path, no host name, no user name, and of the environment the variables listed. What
cannot be found out is told with the reason, and ends nothing.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer

ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_DEVICE_MAX_CONNECTIONS", "PYTORCH_CUDA_ALLOC_CONF",
    "NVIDIA_VISIBLE_DEVICES", "NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "NCCL_IB_DISABLE", "NCCL_IB_HCA", "NCCL_P2P_DISABLE",
    "GLOO_SOCKET_IFNAME", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "TORCHDYNAMO_DISABLE", "CI",
    "SLURM_JOB_NUM_NODES", "SLURM_NTASKS", "SLURM_GPUS_ON_NODE", "SLURM_RESTART_COUNT", "MILLRACE_TRACEBACK", "NO_COLOR",
)  # fmt: skip
"""Variables that change how a run goes and hold numbers, switches and names of devices."""

PATIENCE_SECONDS = 60.0

_DEVICES = """
import json, torch
found = {"torch_cuda": torch.version.cuda, "devices": []}
if torch.cuda.is_available():
    found["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))
    for i in range(torch.cuda.device_count()):
        p = torch.cuda.get_device_properties(i)
        capability = f"{p.major}.{p.minor}"
        found["devices"].append({"name": p.name, "memory_bytes": p.total_memory, "capability": capability})
print(json.dumps(found))
"""


def examine(tracker: str = "") -> dict[str, Any]:
    """Everything that `doctor` tells, as plain values. tracker: URI to try instead of the environment's."""
    return {
        "millrace": metadata.version("millrace"),
        "system": _system(),
        "packages": _packages(),
        "accelerators": _accelerators(),
        "slurm": _slurm(),
        "disk_free_bytes": _disk(),
        "tracker": _tracker(tracker or os.environ.get("MLFLOW_TRACKING_URI", "")),
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }


def run(as_json: bool, tracker: str) -> None:
    """Prints the examination."""
    found = examine(tracker)
    typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(block(found)))


def block(found: dict[str, Any]) -> list[str]:
    """The examination for people: a name and a value on each line."""
    system, accelerators, slurm = found["system"], found["accelerators"], found["slurm"]
    lines = [
        ("millrace", found["millrace"]),
        ("python", f"{system['python']}, {system['os']}"),
        ("processor", f"{system['processor']}, {system['cores_usable']} of {system['cores']} cores usable"),
        ("memory", f"{_gib(system['memory_available_bytes'])} free of {_gib(system['memory_bytes'])}"
         + (f", limit {_gib(system['memory_limit_bytes'])}" if system["memory_limit_bytes"] else "")),
        ("disk free", ", ".join(f"{name} {_gib(size)}" for name, size in found["disk_free_bytes"].items())),
    ]  # fmt: skip
    if "problem" in accelerators:
        lines.append(("accelerators", f"cannot be told: {accelerators['problem']}"))
    else:
        cuda = f"CUDA {accelerators['torch_cuda']}" if accelerators["torch_cuda"] else "CPU build"
        names = [f"{d['name']} ({_gib(d['memory_bytes'])}, sm {d['capability']})" for d in accelerators["devices"]]
        counted = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
        nccl = f", NCCL {accelerators['nccl']}" if "nccl" in accelerators else ""
        lines.append(("accelerators", f"{', '.join(counted) or 'none'}; torch of {cuda}{nccl}"))
    if "problem" in slurm:
        lines.append(("slurm", slurm["problem"]))
    else:
        lines.append(("slurm", f"{slurm['version']}; partitions {', '.join(slurm['partitions']) or 'none'}"))
    lines.append(("tracker", found["tracker"]))
    lines += [("package", f"{name} {version or 'ABSENT'}") for name, version in found["packages"].items()]
    lines += [("environment", f"{name}={value}") for name, value in found["environment"].items()]
    return [f"{name:<13}{value}" for name, value in lines]


def _system() -> dict[str, Any]:
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE))
    model = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    limit = _text("/sys/fs/cgroup/memory.max").strip()
    return {
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}, {' '.join(platform.libc_ver())}".strip(),
        "processor": model[1] if model else platform.processor() or "unknown processor",
        "cores": os.cpu_count() or 1,
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_bytes": int(memory.get("MemTotal", 0)) * 1024,
        "memory_available_bytes": int(memory.get("MemAvailable", 0)) * 1024,
        "memory_limit_bytes": int(limit) if limit.isdigit() else 0,
    }


def _packages() -> dict[str, str]:
    """Version of each package that Millrace asks for, "" where it is absent."""
    found = {}
    for requirement in metadata.requires("millrace") or []:
        if "extra ==" in requirement:
            continue
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert match is not None
        try:
            found[match[0]] = metadata.version(match[0])
        except metadata.PackageNotFoundError:
            found[match[0]] = ""
    return found


def _accelerators() -> dict[str, Any]:
    """What torch sees, asked in a process of its own: a broken driver may hang or kill who asks."""
    try:
        done = subprocess.run([sys.executable, "-P", "-c", _DEVICES], capture_output=True, text=True,
                              timeout=PATIENCE_SECONDS, check=False, stdin=subprocess.DEVNULL)  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"problem": f"torch did not answer within {PATIENCE_SECONDS:.0f} s"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        return {"problem": f"torch failed: {last[0]}"}
    return json.loads(done.stdout.splitlines()[-1])


def _slurm() -> dict[str, Any]:
    if shutil.which("sinfo") is None:
        return {"problem": "none: sinfo is not in PATH"}
    try:
        version = subprocess.run(["sinfo", "--version"], capture_output=True, text=True, timeout=10, check=True)
        asked = ["sinfo", "--noheader", "--format", "%R: %D nodes, %G"]
        nodes = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except subprocess.TimeoutExpired:
        return {"problem": "Slurm does not answer within 10 s"}
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        return {"problem": f"sinfo failed: {said[-1] if said else error}"}
    return {"version": version.stdout.strip(), "partitions": nodes.stdout.strip().splitlines()}


def _disk() -> dict[str, int]:
    places = {"here": Path.cwd(), "temporary files": Path(tempfile.gettempdir()), "/dev/shm": Path("/dev/shm")}
    return {name: shutil.disk_usage(path).free for name, path in places.items() if path.is_dir()}


def _tracker(uri: str) -> str:
    """Whether the tracker's port takes a connection. A run goes on without it."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        kind = "a file or database, not tried" if uri else "sqlite in each run directory"
        return kind
    port = parts.port or (443 if parts.scheme == "https" else 80)
    where = f"{parts.scheme}://{parts.hostname}:{port}"  # whatever else stands in the URI may be a secret
    try:
        socket.create_connection((parts.hostname, port), timeout=3).close()
    except OSError as error:
        return f"{where} cannot be reached: {error.strerror or error}; a run goes on without it and loses no metric"
    return f"{where} takes connections"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
