"""A training run on a real Slurm, as its user submits and follows it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from pretrain.tracking.metrics import read_metrics
from tests.conftest import Cli
from tests.pretrain.test_train import rows, same_state
from tests.slurm.conftest import Slurm, until


def submitted(login: Cli, *arguments: str | Path) -> str:
    """The id of the job that `millrace submit` put into the queue."""
    done = login("submit", *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return str(json.loads(done.stdout)[-1]["id"])


def test_two_nodes_of_two_processes_train_as_four_processes_here(
    slurm: Slurm, login: Cli, config: Path, cluster: Path, tmp_path: Path
) -> None:
    job = submitted(login, config, "layout.tp=2", "--cluster", cluster)
    here = login("train", config, "layout.tp=2", "--procs", "4", f"run.dir={tmp_path / 'here'}")
    assert here.returncode == 0, here.stdout + here.stderr
    followed = login("logs", "-f", job)
    assert slurm.wait(job, "COMPLETED", "FAILED") == "COMPLETED", followed.stdout
    assert rows(tmp_path / "run") == rows(tmp_path / "here")
    assert len(rows(tmp_path / "run")) == 15
    assert same_state(tmp_path / "run", tmp_path / "here")
    for place in ("0", "1"):
        log = (tmp_path / "run" / "logs" / f"job-{job}-node-{place}.log").read_text()
        name = re.search(r"^node (n\d): ranks \d-\d of 4$", log, re.MULTILINE)
        assert name is not None
        assert login("logs", job, "--node", name[1]).stdout == log == login("logs", job, "--node", place).stdout
    assert re.search(r"^node-0 \| step +12/12  loss", followed.stdout, re.MULTILINE)
    ranks = sorted((tmp_path / "run" / "logs").glob(f"job-{job}-node-*/*"))
    assert [f"{path.parent.name[-1]}/{path.name}" for path in ranks] == [
        "0/rank-0.log", "0/rank-1.log", "1/rank-2.log", "1/rank-3.log"]  # fmt: skip
    assert (tmp_path / "run" / "logs" / f"job-{job}.sh").stat().st_mode & 0o77 == 0
    listed = json.loads(login("jobs", job, "--json").stdout)
    assert (listed["state"], listed["restarts"], listed["reason"]) == ("COMPLETED", 0, "")


@pytest.mark.slow
def test_a_requeued_run_goes_on_from_its_checkpoint_and_ends_as_if_undisturbed(
    slurm: Slurm, login: Cli, config: Path, cluster: Path, tmp_path: Path
) -> None:
    one = ("cluster.nodes=1", "cluster.tasks_per_node=1")
    longer = ("train.steps=600", "checkpoint.every=100", "eval.every=0")
    job = submitted(login, config, *longer, "--cluster", cluster, *one)
    until(lambda: "yes" if any(row.get("step", 0) >= 150 for row in read_metrics(tmp_path / "run")) else "", "step 150",
          lambda: login("logs", job).stdout)  # fmt: skip
    slurm.run("scontrol", "requeue", job)
    assert slurm.wait(job, "COMPLETED", "FAILED") == "COMPLETED", login("logs", job).stdout
    assert "resumed from" in login("logs", job).stdout
    assert json.loads(login("jobs", job, "--json").stdout)["restarts"] == 1
    threads = {"OMP_NUM_THREADS": "1"}  # sums in another order differ in the last bit
    here = login("train", config, *longer, f"run.dir={tmp_path / 'here'}", env=dict(threads))
    assert here.returncode == 0, here.stderr
    assert rows(tmp_path / "run") == rows(tmp_path / "here")


def test_the_script_of_a_dry_run_is_the_one_submitted(
    slurm: Slurm, login: Cli, config: Path, cluster: Path, tmp_path: Path
) -> None:
    shown = login("submit", config, "--cluster", cluster, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert not (tmp_path / "run").exists()
    job = submitted(login, config, "--cluster", cluster, "cluster.flags={hold: ''}")
    expected = shown.stdout.removesuffix("\n").partition("\n")[2].replace(
        "#SBATCH --kill", "#SBATCH --hold\n#SBATCH --kill").replace(
        "#SBATCH --job-name", "#SBATCH --hold\n#SBATCH --job-name")  # fmt: skip
    assert (tmp_path / "run" / "logs" / f"job-{job}.sh").read_text() == expected
    assert slurm.run("scontrol", "write", "batch_script", job, "-") == expected
    cancelled = login("cancel", job)
    assert cancelled.stdout == f"cancelled {job} (train)\n"
    assert slurm.wait(job, "CANCELLED")


def test_a_second_job_for_the_same_run_is_refused_and_cancel_makes_room(
    slurm: Slurm, login: Cli, config: Path, cluster: Path
) -> None:
    job = submitted(login, config, "--cluster", cluster, "cluster.flags={hold: ''}")
    refused = login("submit", config, "--cluster", cluster)
    assert refused.returncode == 2
    assert f"error: job {job} (train, pending) works on" in refused.stderr
    assert "JobHeldUser" in login("jobs").stdout
    assert login("cancel", job).returncode == 0
    assert slurm.wait(job, "CANCELLED")
    assert submitted(login, config, "--cluster", cluster, "cluster.flags={hold: ''}") != job


def test_a_job_that_fails_is_shown_with_the_words_of_the_rank_that_failed_first(
    slurm: Slurm, login: Cli, config: Path, cluster: Path, corpus: Path, tmp_path: Path
) -> None:
    """A corpus that is gone when the job starts."""
    moved = tmp_path / "moved"
    moved.symlink_to(corpus)
    job = submitted(login, config, f"data.dir={moved}", "--cluster", cluster, "cluster.flags={hold: ''}",
                    "cluster.nodes=1", "cluster.tasks_per_node=1")  # fmt: skip
    moved.unlink()
    slurm.run("scontrol", "release", job)
    assert slurm.wait(job, "FAILED", "COMPLETED") == "FAILED"
    shown = json.loads(login("jobs", job, "--json").stdout)
    assert (shown["state"], shown["reason"]) == ("FAILED", "exit status 2")
    assert shown["why"].startswith("error: ")
    assert str(moved) in shown["why"] and shown["why"].count("error: ") == 1
    assert "Traceback" not in shown["why"]
    text = login("jobs", job).stdout
    assert shown["why"] in text and "exit status 2" in text


def test_a_layout_that_does_not_fit_the_nodes_is_refused_with_what_would(
    slurm: Slurm, login: Cli, config: Path, cluster: Path, tmp_path: Path
) -> None:
    refused = login("submit", config, "--cluster", cluster, "cluster.nodes=3", "layout.tp=2")
    assert refused.returncode == 2
    assert "error: the layout does not fit 3 nodes x 2 processes = 6\n" in refused.stderr
    assert "--> command line: cluster.nodes=3\n" in refused.stderr
    assert "what fits: cluster.nodes=1, cluster.nodes=2, cluster.nodes=4" in refused.stderr
    assert "--procs" not in refused.stderr
    assert not (tmp_path / "run").exists()
    fits = login("submit", config, "--cluster", cluster, "cluster.nodes=4", "layout.tp=2", "--dry-run")
    assert fits.returncode == 0, fits.stderr


def test_more_processes_than_gpus_are_refused(login: Cli, config: Path, cluster: Path) -> None:
    refused = login("submit", config, "--cluster", cluster, "cluster.gpus_per_node=1", "--dry-run")
    assert refused.returncode == 2
    assert "error: 2 processes per node share 1 GPUs" in refused.stderr


def test_what_the_disks_tell_is_asked_before_a_job_is_submitted(
    run_cli: Cli, config: Path, corpus: Path, cluster: Path, tmp_path: Path
) -> None:
    """As by `millrace train`: shards that are gone, though the manifest is there."""
    shutil.copytree(corpus, tmp_path / "torn")
    (tmp_path / "torn" / "shards" / "validation" / "words-00000.arrow").unlink()
    torn = f"data.dir={tmp_path / 'torn'}"
    for command in (("submit", config, torn, "--cluster", cluster, "--dry-run"), ("train", config, torn, "--dry-run")):
        refused = run_cli(*command)
        assert refused.returncode == 2
        assert "error: 1 of 2 shards are not as the manifest says" in refused.stderr


def test_what_slurm_refuses_is_told_in_its_words_with_the_key(
    slurm: Slurm, login: Cli, config: Path, cluster: Path, tmp_path: Path
) -> None:
    refused = login("submit", config, "--cluster", cluster, "cluster.partition=mian")
    assert refused.returncode == 2
    assert "invalid partition specified: mian" in refused.stderr
    assert "--> command line: cluster.partition=mian\n" in refused.stderr
    assert "partitions here: main" in refused.stderr
    assert not [*(tmp_path / "run" / "logs").iterdir()]
    four = ("cluster.nodes=4", "cluster.tasks_per_node=1")
    assert "--> command line: cluster.nodes=4\n" in login("submit", config, "--cluster", cluster, *four).stderr


def test_without_slurm_there_is_one_clear_message(run_cli: Cli, config: Path, cluster: Path, tmp_path: Path) -> None:
    bare = {"PATH": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    for arguments in (("submit", config, "--cluster", cluster), ("jobs",)):
        refused = run_cli(*arguments, env=bare)
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: there is no Slurm on this machine: sbatch is not in PATH\n")
        assert refused.stderr.count("\n") == 2
    assert not (tmp_path / "run").exists()
    assert run_cli("submit", config, "--cluster", cluster, "--dry-run", env=bare).returncode == 0


def test_nothing_of_the_shell_reaches_a_job_but_what_is_named(
    slurm: Slurm, login: Cli, config: Path, cluster: Path, tmp_path: Path
) -> None:
    """Variables by name, those from the environment not written down, modules and container around the command."""
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "bash").write_text('module() { export LOADED="$*"; }\n')
    image = tmp_path / "image"
    image.write_text(f'#!/bin/sh\nenv > {tmp_path}/seen-$SLURM_PROCID\nexec "$@"\n')
    image.chmod(0o755)
    cluster.write_text(
        "cluster:\n  pass_environment: [SHOWN]\n  modules: [gcc, cuda/13]\n"
        f"  environment: {{PLAIN: 'a b', TOKEN: '${{env:HIDDEN}}'}}\n  container: [{image}]\n"
    )
    shell = {"SHOWN": "1", "UNNAMED": "do-not-pass", "HIDDEN": "s3cret", "MODULESHOME": str(tmp_path)}
    done = login("submit", config, "train.stop_after=1", "--cluster", cluster, "--json", env=dict(shell))
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)[0]
    assert slurm.wait(record["id"], "COMPLETED", "FAILED") == "COMPLETED", login("logs", record["id"]).stdout
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen-0").read_text().splitlines() if "=" in line)
    assert (seen["SHOWN"], seen["PLAIN"], seen["TOKEN"], seen["LOADED"]) == ("1", "a b", "s3cret", "load gcc cuda/13")
    assert "UNNAMED" not in seen
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if b"s3cret" in path.read_bytes() or b"do-not-pass" in path.read_bytes()]
