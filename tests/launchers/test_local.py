"""Real processes throughout: small Python programs as ranks, and a program that launches them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launchers.local import last_words, parse_problems

Launch = Callable[..., "subprocess.Popen[str]"]

LAUNCHER = """
import json, sys
from pathlib import Path
from configs.errors import MachineError, UserError
from launchers.local import run_ranks

command, procs, log_dir, env = json.loads(sys.argv[1])
try:
    run_ranks(command, procs, Path(log_dir), env)
except (UserError, MachineError) as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """Start a launcher of `procs` ranks that run the Python text `program`; logs go to tmp_path/logs."""

    def start(
        program: str, *arguments: str, procs: int = 2, env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        script, launcher = tmp_path / "rank_program.py", tmp_path / "launcher.py"
        script.write_text("import os, sys, time\nrank = int(os.environ['RANK'])\n" + textwrap.dedent(program))
        launcher.write_text(LAUNCHER)
        what = json.dumps([[sys.executable, str(script), *arguments], procs, str(tmp_path / "logs"), env or {}])
        return subprocess.Popen(
            [sys.executable, "-P", str(launcher), what],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids_when_running(folder: Path, procs: int, launcher: subprocess.Popen[str]) -> list[int]:
    """The ranks' process ids, once each has written its own to folder/{rank}.pid."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and launcher.poll() is None:
        files = [p for p in folder.glob("*.pid") if p.read_text()]
        if len(files) == procs:
            return [int(p.read_text()) for p in files]
        time.sleep(0.05)
    raise AssertionError(f"the ranks never ran: {launcher.communicate()}")


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


WRITE_PID_AND_SLEEP = """
import pathlib, tempfile
target = pathlib.Path(sys.argv[1], f"{rank}.pid")
partial = target.with_suffix(".partial")
partial.write_text(str(os.getpid()))
partial.rename(target)
time.sleep(600)
"""


def test_every_rank_knows_its_place_and_writes_its_own_log(launch: Launch, tmp_path: Path) -> None:
    process = launch(
        """
        names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "OMP_NUM_THREADS", "PYTHONSAFEPATH",
                 "MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "MINE"]
        print([os.environ[name] for name in names], int(os.environ["MASTER_PORT"]) > 0, sys.argv[1:])
        print("to stderr", file=sys.stderr)
        """,
        "${local_rank}",
        "$$ {x}",
        env={"MINE": "1", "OMP_NUM_THREADS": "3"},
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    for rank in range(2):
        expected = [str(rank), str(rank), "2", "127.0.0.1", "3", "1", "true", "1", "1"]
        lines = (tmp_path / "logs" / f"rank-{rank}.log").read_text().splitlines()
        assert lines == [f"{expected} True ['${{local_rank}}', '$$ {{x}}']", "to stderr"]
    assert out == (tmp_path / "logs" / "rank-0.log").read_text(), "rank 0, and no other, is shown on the terminal"
    assert err == ""


def test_ranks_share_the_cores(launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    process = launch("print(os.environ['OMP_NUM_THREADS'])", procs=2)
    out, err = process.communicate(timeout=120)
    assert out.strip() == str(max(1, len(os.sched_getaffinity(0)) // 2)), err


def test_the_first_failing_ranks_traceback_comes_first(launch: Launch, tmp_path: Path) -> None:
    process = launch(
        """
        import socket
        if rank == 1:
            listener = socket.create_server(("127.0.0.1", 0))
            partial = sys.argv[1] + ".partial"
            open(partial, "w").write(str(listener.getsockname()[1]))
            os.rename(partial, sys.argv[1])
            connection, _ = listener.accept()
            connection.recv(1)
            raise ValueError("the cause")
        while not os.path.exists(sys.argv[1]):
            time.sleep(0.01)
        peer = socket.create_connection(("127.0.0.1", int(open(sys.argv[1]).read())))
        print("rank 0 at work", flush=True)
        peer.send(b"x")
        peer.recv(1)  # returns when rank 1 is dead, as a collective would
        time.sleep(0.1)
        raise RuntimeError("connection closed by peer")
        """,
        str(tmp_path / "port"),
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.startswith("fault: rank 1 of 2 ended with exit status 1")
    assert "ValueError: the cause" in err
    assert "RuntimeError" not in out + err, "what followed from the failure stays in the log"
    assert f"{tmp_path}/logs/rank-1.log" in err
    assert out == "rank 0 at work\n"
    assert "RuntimeError" in (tmp_path / "logs" / "rank-0.log").read_text() or "after it" not in err


def test_a_users_mistake_in_every_rank_is_told_once_with_status_2(launch: Launch) -> None:
    process = launch(
        """
        print("starting")
        sys.stderr.write("error: 5 heads\\n  --> a.yaml:3 model.num_heads\\n  hint: 4 or 6\\nerror: no room\\n")
        sys.exit(2)
        """
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err == "error: 5 heads\n  --> a.yaml:3 model.num_heads\n  hint: 4 or 6\nerror: no room\n"
    assert out == "starting\n"


def test_a_rank_killed_by_a_signal_is_named_so(launch: Launch) -> None:
    process = launch("if rank == 0: time.sleep(600)\nos.kill(os.getpid(), 9)")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.startswith("fault: rank 1 of 2 was killed by SIGKILL")
    assert "memory" in err


def test_a_fault_that_passes_by_itself_keeps_its_status(launch: Launch) -> None:
    process = launch("print('fault: the disk is full', file=sys.stderr); sys.exit(75)", procs=1)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 75
    assert "fault: the disk is full" in err


def test_a_command_that_does_not_exist_is_told(tmp_path: Path) -> None:
    from configs.errors import MachineError
    from launchers.local import run_ranks

    with pytest.raises(MachineError, match="cannot start /nowhere/python"):
        run_ranks(["/nowhere/python"], 1, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_launcher_leaves_no_orphan(launch: Launch, tmp_path: Path, number: signal.Signals) -> None:
    # A rank that ignores SIGINT stands for one that waits inside a collective.
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    process = launch(deaf + WRITE_PID_AND_SLEEP, str(tmp_path))
    pids = pids_when_running(tmp_path, 2, process)
    assert all(alive(pid) for pid in pids)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert gone(pids)
    assert err == ""


def test_a_launcher_killed_by_force_leaves_no_orphan(launch: Launch, tmp_path: Path) -> None:
    process = launch(WRITE_PID_AND_SLEEP, str(tmp_path))
    pids = pids_when_running(tmp_path, 2, process)
    process.kill()
    process.communicate(timeout=60)
    assert gone(pids)


def test_logs_of_an_earlier_run_are_kept(launch: Launch, tmp_path: Path) -> None:
    for word in ("first", "second", "third"):
        process = launch(f"print('{word}')", procs=1)
        assert process.wait(timeout=120) == 0, process.communicate()
    found = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert found == {"rank-0.1.log": "first\n", "rank-0.2.log": "second\n", "rank-0.log": "third\n"}


def test_a_chain_of_exceptions_is_told_whole() -> None:
    program = "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e"
    err = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stderr
    earlier = "Traceback (most recent call last):\n  File \"x\", line 1\nOSError: retried\nretrying\n"
    assert last_words(earlier + err) == err.rstrip()


def test_last_words_without_a_traceback_are_the_last_lines() -> None:
    assert last_words("".join(f"{n}\n" for n in range(100)), lines=3) == "97\n98\n99"
    assert last_words("step 1\nfault: disk full\n  where: /x\n") == "fault: disk full\n  where: /x"


def test_problems_survive_the_way_through_a_log() -> None:
    from configs.errors import Problem, UserError

    problems = [Problem("a", "f:1 k", "h"), Problem("b"), Problem("c", hint="x: y")]
    assert parse_problems(f"step 1\n{UserError(*problems)}\n") == problems
