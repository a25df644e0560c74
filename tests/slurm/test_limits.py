"""`millrace check --cluster` asks the queue what it would refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchers.slurm.limits import minutes
from tests.conftest import Cli
from tests.slurm.conftest import Slurm


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


def test_an_array_beyond_the_limit_is_told(slurm: Slurm, login: Cli, cluster: Path, tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number}.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "data.yaml").write_text(
        f"sources: [{{name: web, type: jsonl, paths: ['{tmp_path}/*.jsonl']}}]\ndata: {{dir: {tmp_path}/corpus}}\n"
    )
    done = login("check", "data.yaml", "--cluster", cluster, "cluster.array_tasks=1000")
    assert done.returncode == 2
    assert "error: an array of 210 tasks: this Slurm takes 64 (MaxArraySize)\n" in done.stderr
    assert "use at most cluster.array_tasks=64\n" in done.stderr
    assert login("check", "data.yaml", "--cluster", cluster).returncode == 0


def test_without_slurm_the_rest_is_checked_and_that_is_said(
    run_cli: Cli, config: Path, cluster: Path, tmp_path: Path
) -> None:
    done = run_cli("check", config, "--cluster", cluster, env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{config}: no problem found (training); its queue was not asked: there is no Slurm")
