"""`millrace check --cluster` asks the queue what it would refuse."""

from __future__ import annotations

import getpass
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.errors import UserError
from launchers.slurm.limits import minutes
from launchers.slurm.room import Room
from tests.conftest import Cli
from tests.data_pipeline import road
from tests.slurm.conftest import Slurm, until


@pytest.mark.parametrize(
    ("written", "meant"),
    [("30", 30), ("30:30", 30.5), ("10:00:00", 600), ("1-00", 1440), ("1-02:03", 1563), ("1-02:03:30", 1563.5)],
)
def test_times_are_read_as_slurm_reads_them(written: str, meant: float) -> None:
    assert minutes(written) == meant
    assert minutes("UNLIMITED") == float("inf")


def test_a_configuration_that_the_queue_takes_passes(slurm: Slurm, login: Cli, config: Path, cluster: Path) -> None:
    done = login("check", config, "--cluster", cluster)
    assert (done.returncode, done.stdout) == (0, f"{config}: no problem found (training and queue)\n"), done.stderr


def test_everything_that_the_queue_would_refuse_is_told_at_once(
    slurm: Slurm, login: Cli, config: Path, cluster: Path
) -> None:
    wishes = ["cluster.partition=main,urgnet", "cluster.nodes=4", "cluster.time=2-00:00:00"]
    done = login("check", config, "--cluster", cluster, *wishes)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "error: this Slurm has no partition 'urgnet'\n" in done.stderr and "did you mean urgent?" in done.stderr
    assert "error: 4 nodes: partition main gives a job at most 3\n" in done.stderr
    assert "use at most cluster.nodes=3\n" in done.stderr
    assert "error: a time limit of 2-00:00:00: partition main allows 10:00:00\n" in done.stderr
    assert "--> command line: cluster.time=2-00:00:00\n" in done.stderr


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A configuration of ten units."""
    for number in range(10):
        (tmp_path / f"{number}.jsonl").write_text('{"text": "a"}\n')
    path = tmp_path / "data.yaml"
    path.write_text(
        f"sources: [{{name: web, type: jsonl, paths: ['{tmp_path}/*.jsonl']}}]\ndata: {{dir: {tmp_path}/corpus}}\n"
    )
    return path


@pytest.fixture
def seven_jobs(slurm: Slurm) -> Iterator[None]:
    """A limit on the jobs that this user may have in the queue, and none of them there."""
    slurm.run("scancel", "--me")
    until(lambda: "" if slurm.run("squeue", "--me", "-h").strip() else "none", "an empty queue",
          lambda: slurm.run("squeue"))  # fmt: skip
    user = getpass.getuser()

    def limit(number: int) -> None:
        slurm.run("sacctmgr", "-i", "modify", "user", user, "where", "account=root", "set", f"MaxSubmitJobs={number}")
        told = f"MaxSubmitJobs={number if number >= 0 else ' '}"
        until(lambda: "yes" if told in slurm.run("scontrol", "show", "assoc_mgr", f"users={user}", "accounts=root",
              "flags=assoc").split(f"UserName={user}")[1] else "", "the limit", lambda: "not yet")  # fmt: skip

    limit(7)
    yield
    slurm.run("scancel", "--me")
    limit(-1)


HELD = "cluster.flags={hold: ''}"
MANY = "cluster.array_tasks=1000"


def sizes(done: subprocess.CompletedProcess[str]) -> list[int]:
    assert done.returncode == 0, done.stderr
    return [job["parts"] for job in json.loads(done.stdout)]


def test_an_array_beyond_the_limit_is_cut_to_it_and_that_is_said(
    slurm: Slurm, login: Cli, cluster: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        slurm.run("sbatch", "--array=0-8", "--hold", "-o", "/dev/null", "--wrap", "true")
    told = (
        "data-documents is an array of 8 instead of 10, which each do more: this Slurm takes arrays of 8 tasks "
        "(MaxArraySize)\n"
    )
    checked = login("check", data, "--cluster", cluster, MANY)
    assert checked.returncode == 0 and told in checked.stdout, checked.stderr
    assert told not in login("check", data, "--cluster", cluster, "cluster.array_tasks=8").stdout
    shown = login("submit", data, "--cluster", cluster, MANY, "--dry-run")
    assert told in shown.stdout and shown.stdout.count("#SBATCH --array=0-7\n") == 2, shown.stderr
    assert '"$SLURM_ARRAY_TASK_ID"/8\n' in shown.stdout
    done = login("submit", data, "--cluster", cluster, MANY, HELD, "--json")
    assert sizes(done) == [0, 8, 0, 8, 0] and told in done.stderr
    assert login("cancel", json.loads(done.stdout)[0]["id"]).returncode == 0


def test_a_submission_fits_into_what_accounting_lets_the_user_submit(
    slurm: Slurm, login: Cli, cluster: Path, data: Path, config: Path, seven_jobs: None, tmp_path: Path
) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        slurm.run("sbatch", "--array=0-7", "--hold", "-o", "/dev/null", "--wrap", "true")
    shown = login("submit", data, "--cluster", cluster, MANY, "--dry-run")
    assert shown.stdout.count("#SBATCH --array=0-1\n") == 2, shown.stderr
    done = login("submit", data, "--cluster", cluster, MANY, HELD, "--json")
    assert sizes(done) == [0, 2, 0, 2, 0]
    user = getpass.getuser()
    reason = f"MaxSubmitJobs 7 of user {user} in account root"
    assert f"an array of 2 instead of 30, which each do more: {reason}, 0 in use\n" in done.stderr
    full = f"are to be submitted: the queue takes 0 more ({reason}, 7 in use)\n"
    other = ("data.dir=other", "--cluster", cluster)
    for refused in (
        login("check", data, *other), login("submit", data, *other), login("check", config, "--cluster", cluster),
        login("submit", config, "--cluster", cluster),
    ):  # fmt: skip
        assert refused.returncode == 2 and full in refused.stderr, refused.stdout + refused.stderr
    assert not (tmp_path / "other").exists() and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_corpus_made_within_the_limits_has_the_bytes_of_one_made_here(
    slurm: Slurm, login: Cli, seven_jobs: None, tmp_path: Path
) -> None:
    road.write_raw(tmp_path)
    road.write_config(tmp_path)
    (tmp_path / "rig.yaml").write_text("cluster: {partition: main, time: 00:20:00}\n")
    done = login("submit", "data.yaml", "--cluster", "rig.yaml", "--json")
    assert sizes(done) == [0, 2, 0, 2, 0]
    last = json.loads(done.stdout)[-1]["id"]
    assert slurm.wait(last, "COMPLETED", "FAILED", "CANCELLED") == "COMPLETED", login("jobs").stdout
    assert road.millrace(tmp_path, "data", "run", "data.yaml", "data.dir=here").returncode == 0
    assert road.content(tmp_path / "corpus") == road.content(tmp_path / "here")


@pytest.mark.parametrize(
    ("room", "others", "fitted"),
    [
        (Room(), 3, [4, 12]),
        (Room(array=5), 3, [4, 5]),
        (Room(jobs=19), 3, [4, 12]),
        (Room(jobs=13), 3, [4, 6]),
        (Room(jobs=9), 3, [3, 3]),
        (Room(jobs=5), 3, [1, 1]),
        (Room(array=2, jobs=6), 3, [1, 2]),
    ],
)
def test_the_longest_array_gives_way_first(room: Room, others: int, fitted: list[int]) -> None:
    sizes, reasons = room.fit([4, 12], others)
    assert sizes == fitted
    assert room.jobs is None or sum(sizes) + others <= room.jobs
    assert len(reasons) == 2


def test_less_room_than_an_array_of_one_task_is_a_problem() -> None:
    with pytest.raises(UserError, match="5 jobs at least are to be submitted: the queue takes 4 more"):
        Room(jobs=4).fit([4, 12], 3)


def test_without_slurm_the_rest_is_checked_and_that_is_said(
    run_cli: Cli, config: Path, cluster: Path, tmp_path: Path
) -> None:
    done = run_cli("check", config, "--cluster", cluster, env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{config}: no problem found (training); its queue was not asked: there is no Slurm")
