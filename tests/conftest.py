"""What every test may ask for: the public corpora, and the command line as its user starts it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# Before any library is imported: no test talks to anyone.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}

Cli = Callable[..., subprocess.CompletedProcess[str]]


def absent(reason: str) -> NoReturn:
    """A component that a test needs is missing: a reason to skip on a laptop, a failure where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing under CI: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all that tests start puts its temporary files, by a path short enough for sockets; pytest removes it."""
    folder = tmp_path_factory.mktemp("t")
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"], tempfile.tempdir = str(folder), str(folder)
    yield folder
    tempfile.tempdir = before[1]
    if before[0] is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before[0]


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of public test data, read only. It is data beside the project, so its absence skips everywhere."""
    folder = Path(os.environ.get("MILLRACE_CORPORA") or REPOSITORY.parent / "shared" / "corpora")
    if not folder.is_dir():
        pytest.skip(f"no public corpora at {folder}; MILLRACE_CORPORA names their folder")
    return folder


@pytest.fixture
def run_cli(tmp_path: Path) -> Cli:
    """`run_cli("config", "gpt-demo", cwd=..., env={...}, timeout=seconds)`: the `millrace` command in its own process,
    as in a shell; stdout and stderr apart, as text. An `env` value of None takes the variable away."""

    def run(
        *arguments: str | Path,
        cwd: Path | None = None,
        env: dict[str, str | None] | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        environment: dict[str, str | None] = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", **(env or {})}
        return subprocess.run(
            [sys.executable, "-P", "-m", "millrace", *map(str, arguments)],
            cwd=cwd or tmp_path,
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


def on_a_terminal(*command: str, **environment: str) -> str:
    """What a command prints on a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env={**os.environ, **environment}
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # the other end is closed
            pass
        process.wait(60)
    os.close(ours)
    return shown.decode()
