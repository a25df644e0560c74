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
from launchers.slurm import failure
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


def ranks(here: Path, program: str, **asked: object) -> Submitted:
    """A job of 2 x 2 ranks that run a Python program."""
    job = Job("ranks", [sys.executable, "-u", "-c", program], here, here / "logs", ranks=True)
    return submit([job], CLUSTER.model_copy(update=asked), here)[0]


def rank_logs(record: Submitted) -> dict[int, str]:
    """What each rank printed in its last life."""
    found = Path(record.folder).glob(f"job-{record.id}-node-*/rank-*.log")
    return {int(path.stem[5:]): path.read_text() for path in found if "." not in path.stem}


def alive(program: str) -> list[int]:
    """Processes whose command line holds the program."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if program.encode() in path.read_bytes() and b"launchers.slurm.node" not in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [process for process in found if process != os.getpid()]


def test_ranks_know_their_place_and_meet_at_a_port_that_is_theirs(slurm: Slurm, here: Path) -> None:
    """One task per node starts its ranks; the first node's launcher listens where all were told to, on a port that no one
    else was given meanwhile. Each node's ranks see the devices that Slurm gave to the node."""
    program = f"""
import json, os, socket, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURMD_NODENAME", "OMP_NUM_THREADS", "GLOO_SOCKET_IFNAME",
         "SLURM_PROCID", "CUDA_VISIBLE_DEVICES")
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
taken = socket.socket()
try:
    taken.bind(("", place[1]))
    sys.exit("the port was free for anyone")
except OSError:
    pass
socket.create_connection(place).close()
json.dump({{name: os.environ[name] for name in names}}, open(f"{here}/rank-" + os.environ["RANK"], "w"))
"""
    record = ranks(here, program, gpus_per_node=2, cpus_per_task=3)
    assert slurm.wait(record.id, "COMPLETED", "FAILED") == "COMPLETED", [path.read_text() for path in record.logs()]
    found = [json.loads((here / f"rank-{rank}").read_text()) for rank in range(4)]
    nodes = [place.pop("SLURMD_NODENAME") for place in found]
    assert nodes[0] == nodes[1] != nodes[2] == nodes[3]
    common = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "3", "GLOO_SOCKET_IFNAME": "lo",
              "CUDA_VISIBLE_DEVICES": "0,1"}  # fmt: skip
    assert found == [{"RANK": str(rank), "LOCAL_RANK": str(rank % 2), "SLURM_PROCID": str(rank // 2), **common}
                     for rank in range(4)]  # fmt: skip


def test_a_rank_killed_in_mid_run_fails_the_job_and_is_named(slurm: Slurm, login: Cli, here: Path) -> None:
    program = f"import os, time; print('rank', os.environ['RANK'], 'at work'); time.sleep(300) # {here}"
    record = ranks(here, program)
    until(lambda: "all" if [*rank_logs(record).values()].count("") == 0 and len(rank_logs(record)) == 4 else "",
          "four ranks", lambda: str(rank_logs(record)))  # fmt: skip
    for process in alive(program):
        if b"\0RANK=2\0" in b"\0" + Path(f"/proc/{process}/environ").read_bytes():
            os.kill(process, signal.SIGKILL)
    assert slurm.wait(record.id, "FAILED", "COMPLETED") == "FAILED"
    assert alive(program) == []
    shown = json.loads(login("jobs", record.id, "--json").stdout)
    assert shown["state"] == "FAILED"
    assert re.match(r"fault: rank 2 of 4 on n\d was killed by SIGKILL\nrank 2 at work\n", shown["why"]), shown["why"]
    batch = Path(record.folder, f"job-{record.id}.log").read_text()
    assert shown["why"] in batch, "the batch script's log tells it too"
    assert re.search(rf"^{record.id} .* FAILED .*: fault: rank 2 of 4 on n\d was killed", login("jobs").stdout, re.M)


@pytest.mark.slow
def test_the_failure_that_came_first_is_told_though_its_node_reports_last(slurm: Slurm, login: Cli, here: Path) -> None:
    """The peers of a rank that raises fail at once, while its own node waits for a rank that will not be stopped."""
    program = f"""
import os, signal, sys, time
rank = os.environ["RANK"]
if rank == "3":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf"); time.sleep(300)
if rank == "2":
    while not os.path.exists("{here}/logs/job-" + os.environ["SLURM_JOB_ID"] + "-node-1/rank-3.log"):
        time.sleep(0.1)
    time.sleep(1)
    open("{here}/gone", "w").close()
    raise ValueError("the cause")
while not os.path.exists("{here}/gone"):
    time.sleep(0.1)
time.sleep(0.5)
raise RuntimeError("connection closed by peer")
"""
    record = ranks(here, program)
    assert slurm.wait(record.id, "FAILED", "COMPLETED") == "FAILED"
    assert alive(program) == []
    shown = json.loads(login("jobs", record.id, "--json").stdout)
    assert re.match(r"fault: rank 2 of 4 on n\d ended with exit status 1\nTraceback", shown["why"])
    assert "ValueError: the cause\n" in shown["why"] and "RuntimeError" not in shown["why"]
    assert f"logs/job-{record.id}-node-1/rank-2.log" in shown["why"]
    assert "RuntimeError" in rank_logs(record)[0]
    assert "ValueError: the cause" in login("jobs").stdout


def test_a_launcher_killed_takes_its_ranks_with_it_and_is_named(slurm: Slurm, login: Cli, here: Path) -> None:
    program = f"import time; print('up'); time.sleep(300) # {here}"
    record = ranks(here, program)
    until(lambda: "all" if list(rank_logs(record).values()) == ["up\n"] * 4 else "", "four ranks",
          lambda: str(rank_logs(record)))  # fmt: skip
    (rank,) = [process for process in alive(program)
               if b"\0RANK=3\0" in b"\0" + Path(f"/proc/{process}/environ").read_bytes()]  # fmt: skip
    os.kill(int(Path(f"/proc/{rank}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    assert slurm.wait(record.id, "FAILED", "COMPLETED") == "FAILED"
    assert alive(program) == []
    why = json.loads(login("jobs", record.id, "--json").stdout)["why"]
    assert re.match(r"the launcher on n\d: killed\n", why), why


def test_the_first_failure_is_that_of_the_last_life(tmp_path: Path) -> None:
    (tmp_path / "job-7.log").write_text("srun: error: n1: task 0: Killed\nrestart 1\n")
    assert failure.first(tmp_path, "7") == ""
    for place, at in (("0", 20), ("1", 10)):
        logs = failure.rank_logs(tmp_path, "7", int(place))
        logs.mkdir()
        failure.write(logs, failure.Failure(f"n{place}", int(place), at, f"fault: rank {place}"))
    assert failure.first(tmp_path, "7") == "fault: rank 1"
    with (tmp_path / "job-7.log").open("a") as log:
        log.write("srun: error: n1: task 1: Killed\nsrun: error: n0: task 0: Exited with exit code 1\n")
    assert failure.first(tmp_path, "7") == "fault: rank 1", "srun hears of launchers in another order"
    failure.forget(failure.rank_logs(tmp_path, "7", 1))
    (tmp_path / "job-7-node-1.log").write_text("node n1: rank 1 of 2\n")
    assert failure.first(tmp_path, "7") == "the launcher on n1: killed\nnode n1: rank 1 of 2"


def test_what_slurm_announces_reaches_the_ranks_that_listen_and_harms_no_other(
    slurm: Slurm, login: Cli, here: Path
) -> None:
    program = f"""
import os, signal, sys, time
rank = int(os.environ["RANK"])
told = []
if rank % 2:
    signal.signal(signal.SIGUSR2, lambda *_: told.append(1))
print("up")
while len([name for name in os.listdir("{here}") if name.startswith("told-")]) < 2:
    time.sleep(0.1)
    if told:
        open(f"{here}/told-{{rank}}", "w").close()
"""
    record = ranks(here, program)
    until(lambda: "all" if list(rank_logs(record).values()) == ["up\n"] * 4 else "", "four ranks",
          lambda: str(rank_logs(record)))  # fmt: skip
    slurm.run("scancel", "--signal=USR2", record.id)  # as --signal=USR2@90 of the script does
    assert slurm.wait(record.id, "FAILED", "COMPLETED") == "COMPLETED", login("logs", record.id).stdout


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
    assert followed.stdout.count(" | up\n") == 2, "the first rank of each node"
    assert slurm.wait(record.id, "CANCELLED")
    until(lambda: "" if alive(program) else "none", "the ranks to end", lambda: str(alive(program)))
    assert re.search(rf"^{record.id} +ranks +CANCELLED +0 +n", login("jobs").stdout, re.MULTILINE)
    again = login("cancel", record.id)
    assert (again.returncode, again.stdout) == (0, f"job {record.id} is cancelled: nothing to cancel\n")


def test_restarts_are_counted_and_the_log_goes_on(slurm: Slurm, login: Cli, here: Path) -> None:
    program = f"import os, time; print('life', os.environ.get('SLURM_RESTART_COUNT', '0')); time.sleep(300) # {here}"
    record = ranks(here, program)
    until(lambda: "all" if list(rank_logs(record).values()) == ["life 0\n"] * 4 else "", "four ranks",
          lambda: str(rank_logs(record)))  # fmt: skip
    slurm.run("scontrol", "requeue", record.id)
    until(lambda: "yes" if "life 1" in login("logs", record.id).stdout else "", "a second life",
          lambda: login("jobs", record.id).stdout)  # fmt: skip
    state = states([record])[record.id]
    assert (state.state, state.restarts, state.alive) == ("RUNNING", 1, True)
    assert "life 0" in login("logs", record.id).stdout
    until(lambda: "all" if list(rank_logs(record).values()) == ["life 1\n"] * 4 else "", "four ranks again",
          lambda: str(rank_logs(record)))  # fmt: skip
    first = Path(record.folder, f"job-{record.id}-node-1", "rank-3.1.log")
    assert first.read_text() == "life 0\n"
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
    with pytest.raises(UserError, match=r"array of 3000 tasks: this Slurm takes 8 \(MaxArraySize\)"):
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
        "--partition=p", "--account=a", "--qos=q", "--nodes=3", "--ntasks-per-node=1", "--gpus-per-node=4",
        "--cpus-per-task=20", "--mem=6145M", "--time=1-02:03:04", "--constraint='c&d'", "--exclude='n[1-2]'",
        "--comment='it'\"'\"'s night'", "--exclusive", "--nice=7", "--job-name=j", f"--chdir={tmp_path}",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in text
    assert "export A='x $HOME '\"'\"'y'\"'\"''\n" in text
    assert "module load m/1 || exit 1\n" in text
    assert f"box in /opt/python -P -m launchers.slurm.node 4 {tmp_path} \\\n  run 'a b' || {{\n" in text
    parts = render(Job("j", ["run", f"{PART}/9"], tmp_path, tmp_path, parts=9), cluster, tmp_path)
    assert "#SBATCH --array=0-8%2\n" in parts and 'box in run "$SLURM_ARRAY_TASK_ID"/9\n' in parts
    assert "gpus" not in parts and "srun" not in parts
