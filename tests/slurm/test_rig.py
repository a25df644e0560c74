from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.slurm.conftest import Slurm


def processes_of(directory: Path) -> list[str]:
    """Command lines of the processes that know of `directory`, by their arguments or their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                known = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(directory).encode() in known:
                found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


def listening() -> set[tuple[str, str]]:
    """(address, port) of the TCP sockets that listen, in the kernel's hexadecimal."""
    rows = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {(row[1].split(":")[0], row[1].split(":")[1]) for row in rows if row[3] == "0A"}


def test_jobs_run_on_several_nodes_and_are_accounted_for(slurm: Slurm) -> None:
    assert slurm.run("srun", "-N3", "sh", "-c", "echo $SLURMD_NODENAME; sleep 1").split() != []
    job = slurm.run("sbatch", "--parsable", "-N2", "-o", "/dev/null", "--gpus-per-node=4", "--wrap", "sleep 1").strip()
    assert slurm.wait(job, "COMPLETED") == "COMPLETED"
    assert "COMPLETED|gres/gpu=8" in slurm.run("sacct", "-X", "-n", "-P", "-j", job, "-o", "State,AllocTRES").replace(
        "billing=2,cpu=2,", "").replace(",mem=200M,node=2", "")  # fmt: skip


def test_it_listens_on_loopback_only(slurm: Slurm) -> None:
    conf = (slurm.directory / "slurm.conf").read_text()
    ours = {f"{int(word.split('=')[1]):04X}" for word in conf.split() if word.startswith(("Port=", "SlurmctldPort="))}
    assert len(ours) == 4
    mine = {(address, port) for address, port in listening() if port in ours}
    assert {port for _, port in mine} == ours
    assert {address for address, _ in mine} == {"0100007F"}


@pytest.mark.skipif(os.getuid() != 0, reason="all tests here run without root already")
def test_it_needs_no_root(slurm_programs: None) -> None:
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    if python is None:
        pytest.skip("no python3 that another user may start")
    nobody = pwd.getpwnam("nobody")
    home = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))
    home.rmdir()
    as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "text": True, "cwd": "/"}
    program = Path(__file__).with_name("rig.py").read_text()
    rig = subprocess.Popen(
        [python, "-I", "-c", program, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **as_nobody
    )  # type: ignore[call-overload]
    assert rig.stdout is not None and rig.stdin is not None
    try:
        assert "seconds" in rig.stdout.readline()
        ran = subprocess.run(
            ["srun", "-N2", "sh", "-c", "id -un; sleep 1"],
            env={**os.environ, "SLURM_CONF": str(home / "slurm.conf")}, capture_output=True, timeout=60, **as_nobody,
        )  # type: ignore[call-overload]  # fmt: skip
        assert ran.stdout == "nobody\nnobody\n", ran.stderr
    finally:
        rig.stdin.close()
        rig.wait(60)
        rig.stdout.close()
    assert not home.exists()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_nothing_is_left_of_it(slurm_programs: None, tmp_path: Path, how: str) -> None:
    """Neither by an end in order nor by SIGKILL to the tests, in mid-job, with a process that left its session."""
    hosts = Path("/etc/hosts").read_bytes()
    program = (
        "import sys, pathlib\nfrom tests.slurm.conftest import Slurm\n"
        f"rig = Slurm(pathlib.Path({str(tmp_path)!r}))\n"
        "assert 'error' not in rig.told, rig.told\n"
        "rig.run('sbatch', '-o', '/dev/null', '-N2', '-n2', '--wrap', 'setsid sleep 1001 & srun -n2 sleep 1000')\n"
        "print(rig.directory, flush=True)\nsys.stdin.read()\nrig.stop()\n"
    )
    tests = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert tests.stdout is not None and tests.stdin is not None
    directory = Path(tests.stdout.readline().strip())
    assert directory.is_dir() and str(directory) != "."
    deadline = time.monotonic() + 30
    while sum("sleep 100" in line for line in processes_of(directory)) < 3:
        assert time.monotonic() < deadline, processes_of(directory)
        time.sleep(0.1)
    tests.send_signal(signal.SIGKILL) if how == "kill" else tests.stdin.close()
    tests.wait(60)
    tests.stdout.close()
    deadline = time.monotonic() + (30 if how == "kill" else 5)
    while directory.exists() or processes_of(directory):
        assert time.monotonic() < deadline, processes_of(directory)
        time.sleep(0.1)
    assert Path("/etc/hosts").read_bytes() == hosts
