"""One real Slurm for all tests of this folder; see rig.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli, absent
from tests.pretrain.conftest import config, corpus  # noqa: F401 - fixtures
from tests.slurm.rig import PROGRAMS

DAEMONS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


class Slurm:
    """A running rig. `environment` is what a shell on its login node has."""

    def __init__(self, state: Path) -> None:
        temporary = Path("/tmp") if os.access("/tmp", os.W_OK) else Path(tempfile.gettempdir())
        self.directory = Path(tempfile.mkdtemp(prefix="mr-", dir=temporary))
        # A session of its own: what is sent to pytest's group must not keep it from cleaning up.
        self.supervisor = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("rig.py")), str(self.directory)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert self.supervisor.stdout is not None
        self.told = json.loads(self.supervisor.stdout.readline() or '{"error": "the rig died"}')
        self.environment = {"SLURM_CONF": str(self.directory / "slurm.conf"), "XDG_STATE_HOME": str(state)}

    def stop(self) -> None:
        """Takes everything away, and waits for it."""
        assert self.supervisor.stdin is not None and self.supervisor.stdout is not None
        self.supervisor.stdin.close()
        self.supervisor.wait(60)
        self.supervisor.stdout.close()

    def run(self, *command: str) -> str:
        """What a Slurm command prints."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def states(self, job: str) -> dict[str, str]:
        """State of a job, or of each part of an array, as the controller knows it."""
        shown = self.run("scontrol", "--oneliner", "show", "job", job)
        found = {}
        for line in shown.splitlines():
            fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
            found[fields.get("ArrayTaskId", "")] = fields["JobState"]
        return found

    def wait(self, job: str, *states: str, seconds: float = 240) -> str:
        """Waits until all parts of the job share one of the states; returns it."""
        return until(lambda: (lambda s: s.pop() if len(s) == 1 and s <= set(states) else "")(set(self.states(job).values())),
                     f"job {job} to be {' or '.join(states)}", lambda: str(self.states(job)), seconds)  # fmt: skip


def until(found: Callable[[], str], what: str, instead: Callable[[], str], seconds: float = 120) -> str:
    """The first value of `found` that is not empty."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}; found {instead()}"
        time.sleep(0.1)
    return value


CLUSTER = """
cluster:
  partition: main
  nodes: 2
  tasks_per_node: 2
  cpus_per_task: 1
  memory: 2GiB
  time: 00:20:00
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A cluster file for two nodes of two processes."""
    path = tmp_path / "rig.yaml"
    path.write_text(CLUSTER)
    return path


@pytest.fixture(scope="session")
def slurm_programs() -> None:
    """Skips, or fails under CI, where Slurm is not installed."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=DAEMONS) is None]
    if missing:
        absent(f"Slurm's {', '.join(missing)}: `make test-packages` installs them")


@pytest.fixture(scope="session")
def slurm(slurm_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A Slurm of three nodes with four fake GPUs each."""
    rig = Slurm(tmp_path_factory.mktemp("state"))
    try:
        assert "error" not in rig.told, rig.told["error"]
        yield rig
    finally:
        rig.stop()


@pytest.fixture
def login(slurm: Slurm, run_cli: Cli) -> Cli:
    """The `millrace` command on the login node."""

    def run(*arguments: str | Path, env: dict[str, str | None] | None = None, **options: object) -> object:
        return run_cli(*arguments, env={**slurm.environment, **(env or {})}, **options)  # type: ignore[arg-type]

    return run  # type: ignore[return-value]
