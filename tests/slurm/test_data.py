"""A corpus made by jobs on a real Slurm has the bytes of one made here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from configs.loader import load_file
from data_pipeline.parts import PHASES, share
from tests.conftest import Cli
from tests.data_pipeline import road
from tests.slurm.conftest import Slurm

CLUSTER = "cluster: {partition: main, array_tasks: 3, time: 00:20:00}\n"


def test_arrays_make_the_same_bytes_as_one_process_here(slurm: Slurm, login: Cli, tmp_path: Path) -> None:
    road.write_raw(tmp_path)
    road.write_config(tmp_path)
    (tmp_path / "rig.yaml").write_text(CLUSTER)
    done = login("submit", "data.yaml", "data.workers=0", "--cluster", "rig.yaml", "--json")
    assert done.returncode == 0, done.stderr
    jobs = json.loads(done.stdout)
    assert [job["name"] for job in jobs] == [f"data-{phase}" for phase in (*PHASES, "finish")]
    assert [job["parts"] for job in jobs] == [0, 3, 0, 3, 0]
    here = road.millrace(tmp_path, "data", "run", "data.yaml", "data.dir=here")
    assert here.returncode == 0, here.stderr
    last = jobs[-1]["id"]
    assert slurm.wait(last, "COMPLETED", "FAILED", "CANCELLED") == "COMPLETED", login("jobs").stdout
    assert road.content(tmp_path / "corpus") == road.content(tmp_path / "here")
    stats = json.loads((tmp_path / "corpus" / "stats.json").read_text())
    assert stats["workers"] == 1
    # The last job found everything made: by the arrays, each part of which had its share.
    told = login("logs", last).stdout
    units = len(list((tmp_path / "corpus/work/documents").rglob("*.arrow")))
    assert f"documents: {units} of {units} units are finished already, 0 to do" in told
    shards = len(list((tmp_path / "corpus/shards").rglob("*.arrow")))
    assert f"shards: {shards} of {shards} units are finished already, 0 to do" in told
    for part in range(3):
        log = (tmp_path / "corpus/work/jobs" / f"job-{jobs[1]['id']}_{part}.log").read_text()
        assert "documents: done" in log and "finished already" not in log
    listed = json.loads(login("jobs", "--json").stdout)
    assert {job["state"] for job in listed if job["submission"] == jobs[0]["id"]} == {"COMPLETED"}
    modes = {path.stat().st_mode & 0o77 for path in [tmp_path / "corpus/work/jobs", *(tmp_path / "corpus").glob("*")]
             if path.is_dir()}  # fmt: skip
    assert modes == {0}


def test_a_phase_that_fails_stops_what_waits_for_it_and_the_same_command_goes_on(
    slurm: Slurm, login: Cli, tmp_path: Path
) -> None:
    road.write_raw(tmp_path, {"web/a": 30_000, "books": 30_000, "code": 30_000})
    road.write_config(tmp_path)
    (tmp_path / "rig.yaml").write_text(CLUSTER)
    command = ("submit", "data.yaml", "tokenizer.vocab_size=400", "--cluster", "rig.yaml", "--json")
    done = login(*command, "cluster.flags={hold: ''}")
    assert done.returncode == 0, done.stderr
    jobs = json.loads(done.stdout)
    shutil.move(tmp_path / "raw" / "books.jsonl", tmp_path / "books.jsonl")
    slurm.run("scontrol", "release", *(job["id"] for job in jobs))
    assert slurm.wait(jobs[-1]["id"], "CANCELLED", "COMPLETED") == "CANCELLED"
    shown = json.loads(login("jobs", jobs[0]["id"], "--json").stdout)
    assert (shown["state"], shown["reason"]) == ("FAILED", "exit status 2") and "books.jsonl" in shown["why"]
    shutil.move(tmp_path / "books.jsonl", tmp_path / "raw" / "books.jsonl")
    again = login(*command)
    assert again.returncode == 0, again.stderr
    last = json.loads(again.stdout)[-1]["id"]
    assert slurm.wait(last, "COMPLETED", "FAILED", "CANCELLED") == "COMPLETED", login("jobs").stdout
    assert (tmp_path / "corpus" / "manifest.json").is_file()


def test_inputs_that_are_absent_are_refused_before_anything_is_submitted(
    slurm: Slurm, login: Cli, tmp_path: Path
) -> None:
    road.write_config(tmp_path)
    (tmp_path / "rig.yaml").write_text(CLUSTER)
    before = slurm.run("squeue", "-h")
    refused = login("submit", "data.yaml", "--cluster", "rig.yaml")
    assert refused.returncode == 2
    assert all(name in refused.stderr for name in ("raw/web/*.jsonl", "raw/books.jsonl", "raw/code.jsonl"))
    assert slurm.run("squeue", "-h") == before and not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--phase", "dedup"], "phases: list, documents, decide, shards"),
        (["--phase", "decide", "--part", "0/2"], "phase decide has no parts"),
        (["--phase", "documents", "--part", "2/2"], "i from 0 to n - 1"),
        (["--part", "1/2"], "phases: list"),
    ],
)
def test_parts_that_make_no_sense_are_refused(run_cli: Cli, tmp_path: Path, arguments: list[str], said: str) -> None:
    road.write_raw(tmp_path, {"web/a": 2000, "books": 2000, "code": 2000})
    road.write_config(tmp_path)
    refused = run_cli("data", "run", "data.yaml", *arguments)
    assert refused.returncode == 2 and said in refused.stderr and "Traceback" not in refused.stderr


def test_shards_before_their_plan_are_told_to_wait(run_cli: Cli, tmp_path: Path) -> None:
    road.write_raw(tmp_path, {"web/a": 2000, "books": 2000, "code": 2000})
    road.write_config(tmp_path)
    done = run_cli("data", "run", "data.yaml", "--phase", "shards")
    assert done.returncode == 1 and "--phase decide` comes before" in done.stderr
    assert load_file(tmp_path / "data.yaml").config.sources


@pytest.mark.parametrize("parts", [1, 2, 7, 20])
def test_shares_hold_everything_once_and_about_equally(parts: int) -> None:
    sizes = [1000, 10, 10, 990, 500, 480, 3, 2, 1, 700]
    shares = [share(sizes, lambda size: size, index, parts) for index in range(parts)]
    assert sorted(size for some in shares for size in some) == sorted(sizes)
    heaviest = max(sum(some) for some in shares)
    assert heaviest <= 4 / 3 * max(max(sizes), sum(sizes) / parts) + len(sizes)
