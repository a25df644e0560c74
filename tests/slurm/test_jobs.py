"""Jobs of any command: started as ranks that meet, followed, cancelled, killed, run in parts."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.schema.cluster import Cluster
from launchers.slurm.jobs import states
from launchers.slurm.records import Submitted
from launchers.slurm.script import PART, Job, render
from launchers.slurm.submit import submit
from tests.conftest import Cli
from tests.slurm.conftest import Slurm, until

CLUSTER = Cluster(partition="main", nodes=2, tasks_per_node=2, time="10")


@pytest.fixture
def here(slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory to work on, and this process on the login node."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def ranks(here: Path, program: str) -> Submitted:
    """A job of 2 x 2 ranks that run a Python program."""
    job = Job("ranks", [sys.executable, "-c", program], here, here / "logs", ranks=True)
    return submit([job], CLUSTER, here)[0]


def alive(program: str) -> list[int]:
    """Processes whose command line holds the program."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if program.encode() in path.read_bytes() and b"launchers.slurm.task" not in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [process for process in found if process != os.getpid()]


def test_ranks_know_their_place_and_meet_at_a_port_that_is_theirs(slurm: Slurm, here: Path) -> None:
    """Rank 0 listens where all were told to, on a port that no one else was given meanwhile."""
    program = f"""
import json, os, socket, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURMD_NODENAME", "OMP_NUM_THREADS", "GLOO_SOCKET_IFNAME")
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if os.environ["RANK"] == "0":
    taken = socket.socket()
    try:
        taken.bind(("", place[1]))
        sys.exit("the port was free for anyone")
    except OSError:
        pass
    with socket.create_server(("", place[1])) as server:
        for _ in range(3):
            server.accept()
else:
    for attempt in range(100):
        try:
            socket.create_connection(place)
            break
        except OSError:
            import time; time.sleep(0.1)
    else:
        sys.exit("nobody listens")
json.dump({{name: os.environ[name] for name in names}}, open(f"{here}/rank-" + os.environ["RANK"], "w"))
"""
    record = ranks(here, program)
    assert slurm.wait(record.id, "COMPLETED", "FAILED") == "COMPLETED", [path.read_text() for path in record.logs()]
    found = [json.loads((here / f"rank-{rank}").read_text()) for rank in range(4)]
    nodes = [place.pop("SLURMD_NODENAME") for place in found]
    assert nodes[0] == nodes[1] != nodes[2] == nodes[3]
    common = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    assert found == [{"RANK": str(rank), "LOCAL_RANK": str(rank % 2), **common} for rank in range(4)]


def test_a_rank_killed_in_mid_run_fails_the_job_and_is_named(slurm: Slurm, login: Cli, here: Path) -> None:
    program = f"import os, time; print('rank', os.environ['RANK'], 'at work'); time.sleep(300) # {here}"
    record = ranks(here, program)
    until(lambda: "all" if login("logs", record.id).stdout.count("at work") == 4 else "", "four ranks",
          lambda: str(record.logs()))  # fmt: skip
    for process in alive(program):
        if b"\0RANK=2\0" in b"\0" + Path(f"/proc/{process}/environ").read_bytes():
            os.kill(process, signal.SIGKILL)
    assert slurm.wait(record.id, "FAILED", "COMPLETED") == "FAILED"
    assert alive(program) == []
    shown = json.loads(login("jobs", record.id, "--json").stdout)
    assert (shown["state"], shown["why"].split("\n")[1:]) == ("FAILED", ["rank 2 at work"])
    assert re.match(r"task 2 on n\d: killed\n", shown["why"])


def test_cancel_ends_a_running_job_on_all_nodes(slurm: Slurm, login: Cli, here: Path) -> None:
    """Also ranks that ask not to be interrupted; the log that is followed ends with the job."""
    program = (
        f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(300) # {here}"
    )
    record = ranks(here, program)
    until(lambda: "all" if len(alive(program)) == 4 else "", "four ranks", lambda: str(record.logs()))
    assert "RUNNING" in login("jobs").stdout
    assert login("cancel", record.id).stdout == f"cancelled {record.id} (ranks)\n"
    followed = login("logs", "-f", record.id)
    assert followed.stdout.count(": up\n") == 4
    assert slurm.wait(record.id, "CANCELLED")
    until(lambda: "" if alive(program) else "none", "the ranks to end", lambda: str(alive(program)))
    assert re.search(rf"^{record.id} +ranks +CANCELLED +0 +n", login("jobs").stdout, re.MULTILINE)
    again = login("cancel", record.id)
    assert (again.returncode, again.stdout) == (0, f"job {record.id} is cancelled: nothing to cancel\n")


def test_restarts_are_counted_and_the_log_goes_on(slurm: Slurm, login: Cli, here: Path) -> None:
    program = f"import os, time; print('life', os.environ.get('SLURM_RESTART_COUNT', '0')); time.sleep(300) # {here}"
    record = ranks(here, program)
    until(lambda: "all" if len(alive(program)) == 4 else "", "four ranks", lambda: str(record.logs()))
    slurm.run("scontrol", "requeue", record.id)
    until(lambda: "yes" if "life 1" in login("logs", record.id).stdout else "", "a second life",
          lambda: login("jobs", record.id).stdout)  # fmt: skip
    state = states([record])[record.id]
    assert (state.state, state.restarts, state.alive) == ("RUNNING", 1, True)
    assert "life 0" in login("logs", record.id).stdout
    assert login("cancel", record.id).returncode == 0


def test_parts_of_an_array_run_each_once_and_fail_each_alone(slurm: Slurm, login: Cli, here: Path) -> None:
    job = Job("parts", ["sh", "-c", 'echo "part $0"; test "$0" != 2/5', f"{PART}/5"], here, here / "logs", parts=5)
    later = Job("later", ["true"], here, here / "logs", after=[0])
    first, second = submit([job, later], CLUSTER, here)
    until(lambda: "" if states([first])[first.id].alive else "over", "the parts", lambda: str(slurm.states(first.id)))
    assert [path.read_text() for path in first.logs()] == [f"part {part}/5\n" for part in range(5)]
    assert states([first])[first.id].state == "COMPLETED 4, FAILED 1"
    # What waits for it can never start, and says so instead of waiting for ever.
    assert slurm.wait(second.id, "CANCELLED") == "CANCELLED"
    table = login("jobs").stdout
    assert re.search(rf"^{first.id} +parts +COMPLETED 4, FAILED 1 .*exit status 1", table, re.MULTILINE)


def test_jobs_submitted_before_a_refusal_are_taken_back(slurm: Slurm, here: Path) -> None:
    good = Job("good", ["sleep", "100"], here, here / "logs")
    bad = Job("bad", ["true"], here, here / "logs", parts=3)
    with pytest.raises(UserError, match=r"array of 3000 tasks: this Slurm takes 64 \(MaxArraySize\)"):
        submit([good, Job("wide", ["true"], here, here / "logs", parts=3000)], CLUSTER, here)
    before = slurm.run("squeue", "-h", "-o", "%i %j")
    flags = CLUSTER.model_copy(update={"flags": {"dependency": "afterok:nonsense"}})
    with pytest.raises(UserError, match="Slurm refuses"):
        submit([good, bad], flags, here)
    until(lambda: "same" if slurm.run("squeue", "-h", "-o", "%i %j") == before else "", "the queue to be as before",
          lambda: slurm.run("squeue"))  # fmt: skip


def test_every_key_of_the_section_reaches_the_script(tmp_path: Path) -> None:
    cluster = Cluster(
        partition="p", account="a", qos="q", nodes=3, gpus_per_node=4, cpus_per_task=5, memory=6 * 2**30 + 1,
        time="1-02:03:04", constraint="c&d", exclude="n[1-2]", comment="it's night", flags={"exclusive": "", "nice": "7"},
        modules=["m/1"], container=["box", "in"], python="/opt/python", array_parallelism=2,
    )  # fmt: skip
    text = render(
        Job("j", ["run", "a b"], tmp_path, tmp_path, ranks=True, environment={"A": "x $HOME 'y'"}), cluster, tmp_path
    )
    for line in (
        "--partition=p", "--account=a", "--qos=q", "--nodes=3", "--ntasks-per-node=4", "--gpus-per-node=4",
        "--cpus-per-task=5", "--mem=6145M", "--time=1-02:03:04", "--constraint='c&d'", "--exclude='n[1-2]'",
        "--comment='it'\"'\"'s night'", "--exclusive", "--nice=7", "--job-name=j", f"--chdir={tmp_path}",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in text
    assert "export A='x $HOME '\"'\"'y'\"'\"''\n" in text
    assert "module load m/1 || exit 1\n" in text
    assert "box in /opt/python -P -m launchers.slurm.task \\\n  run 'a b'\n" in text
    parts = render(Job("j", ["run", f"{PART}/9"], tmp_path, tmp_path, parts=9), cluster, tmp_path)
    assert "#SBATCH --array=0-8%2\n" in parts and 'box in run "$SLURM_ARRAY_TASK_ID"/9\n' in parts
    assert "gpus" not in parts and "srun" not in parts
