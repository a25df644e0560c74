"""`millrace doctor`: true about this machine, silent about secrets, and never stopped by what is broken."""

from __future__ import annotations

import json
import os
import shutil
import socket
from importlib.metadata import version
from pathlib import Path

import pytest

from millrace import doctor
from tests.conftest import Cli


def test_it_tells_versions_processors_disk_and_devices_and_no_secret(run_cli: Cli) -> None:
    env = {
        "HF_TOKEN": "hunter2",
        "MLFLOW_TRACKING_URI": "http://me:hunter2@127.0.0.1:9/?key=hunter2",
        "NCCL_DEBUG": "WARN",
    }
    done = run_cli("doctor", env=env)
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr and str(Path.home()) not in done.stdout
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    for name in ("millrace", "python", "processor", "memory", "disk", "accelerators", "slurm", "tracker"):
        assert lines[name], name
    for package in ("torch", "deepspeed", "megatron-core", "pyarrow", "mlflow", "sentencepiece", "submitit"):
        assert f"package      {package} {version(package)}\n" in done.stdout
    assert lines["tracker"].startswith("http://127.0.0.1:9 cannot be reached: ")
    assert "environment  NCCL_DEBUG=WARN\n" in done.stdout


def test_json_holds_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "_DEVICES", 'print(\'{"torch_cuda": null, "devices": []}\')')
    doctor.run(True, "")
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["torch"] == version("torch")
    assert found["system"]["cores_usable"] == len(os.sched_getaffinity(0))
    assert found["disk_free_bytes"]["here"] == pytest.approx(shutil.disk_usage(".").free, rel=0.1)
    assert found["accelerators"] == {"torch_cuda": None, "devices": []}
    text = "\n".join(doctor.block(found))
    assert f"torch {version('torch')}" in text and "none; torch of CPU build" in text


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import time; time.sleep(60)", "torch did not answer within 1 s"),
        ("raise RuntimeError('driver gone')", "torch failed: RuntimeError: driver gone"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "torch failed: exit status -4"),
    ],
)
def test_a_broken_driver_is_told_and_stops_nothing(monkeypatch: pytest.MonkeyPatch, program: str, said: str) -> None:
    monkeypatch.setattr(doctor, "_DEVICES", program)
    monkeypatch.setattr(doctor, "PATIENCE_SECONDS", 1.0 if "sleep" in program else 60.0)
    found = doctor.examine()
    assert found["accelerators"] == {"problem": said}
    assert any(said in line for line in doctor.block(found))


def test_a_tracker_that_listens_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert doctor._tracker(f"http://127.0.0.1:{port}") == f"http://127.0.0.1:{port} takes connections"
    assert "cannot be reached" in doctor._tracker(f"http://127.0.0.1:{port}")
    assert doctor._tracker("sqlite:////secret/place.db") == "a file or database, not tried"


def test_slurm_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sinfo = tmp_path / "sinfo"
    sinfo.write_text("#!/bin/sh\necho 'slurm_load_partitions: Unable to contact slurm controller' >&2\nexit 1\n")
    sinfo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Unable to contact slurm controller" in doctor._slurm()["problem"]
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert doctor._slurm() == {"problem": "none: sinfo is not in PATH"}
