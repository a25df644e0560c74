"""Slurm's own commands: run, and what they say where they fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs.errors import MachineError, Problem, TryLater, UserError

_PATIENCE_SECONDS = 60.0
_AWAY = ("Unable to contact slurm controller", "Socket timed out", "Connection refused", "Unable to connect")


def require() -> None:
    """UserError where this machine has no Slurm."""
    if shutil.which("sbatch") is None:
        raise UserError(
            Problem(
                "there is no Slurm on this machine: sbatch is not in PATH",
                hint="give the command on a login node of the cluster; --dry-run shows the script anywhere, and "
                "`millrace train` and `millrace data run` work here",
            )
        )


def call(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """The stdout of a Slurm command.

    UserError where Slurm refuses, in its words; TryLater where it does not answer; MachineError for anything else.
    """
    require()
    shown = command[0]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise MachineError(f"{shown} is not in PATH, though sbatch is") from None
    except subprocess.TimeoutExpired:
        raise TryLater(f"Slurm does not answer: {shown} waited {_PATIENCE_SECONDS:.0f} s") from None
    if done.returncode == 0:
        return done.stdout
    said = "\n".join(
        re.sub(r"^\w+: (?:error: |fatal: )?", "", line) for line in (done.stderr or done.stdout).strip().splitlines()
    )
    if any(sign in said for sign in _AWAY):
        raise TryLater(f"Slurm does not answer: {said}", go_on="`scontrol ping` tells when it is back")
    raise UserError(Problem(f"Slurm refuses: {said or f'{shown} ended with status {done.returncode}'}"))


PASSED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SLURM_CONF",
          "PYTHONPATH", "LD_LIBRARY_PATH", "MODULEPATH", "MODULESHOME", "XDG_CACHE_HOME", "HF_HOME", "SSL_CERT_FILE")  # fmt: skip
"""Variables of the submitting shell that every job takes over. All others stay behind: among them are secrets, and Slurm
keeps a job's environment."""


def passed_environment(names: Sequence[str]) -> dict[str, str]:
    """The environment for sbatch: PASSED and `names`, as far as they are set."""
    return {name: os.environ[name] for name in dict.fromkeys([*PASSED, *names]) if name in os.environ}


def config_value(name: str) -> str:
    """A value of `scontrol show config`, or ""."""
    for line in call("scontrol", "show", "config").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == name:
            return value.strip()
    return ""


def partitions() -> list[str]:
    """Names of the partitions that this user sees."""
    return [name.rstrip("*") for name in call("sinfo", "-h", "-o", "%P").split()]


def private_directory(path: Path) -> Path:
    """`path` as a directory for its owner alone, made if need be with what is missing above it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):  # mkdir's own `parents` are open to all
        folder.mkdir(mode=0o700, exist_ok=True)
    return path
