"""`millrace train` as its user runs it: resume is exact after a stop and after kill -9, refusals lose nothing."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.terminal import harmless
from data_pipeline.shards.manifest import Manifest, write_manifest
from pretrain.checkpoint.directory import INDEX, directories, newest, read_index, write_index
from pretrain.tracking.metrics import read_metrics
from tests.conftest import Cli, on_a_terminal
from tests.pretrain.data.corpus import write_corpus

EXACT = ("loss", "grad_norm", "lr", "consumed", "tokens", "eval_loss", "eval_perplexity")


def rows(run_dir: Path) -> list[dict[str, Any]]:
    """What must be equal between runs: the values that do not depend on time, in order, of the rows that hold."""
    found = []
    for row in read_metrics(run_dir):
        if exact := {key: row[key] for key in EXACT if key in row}:
            found.append({"step": row["step"], **exact})
    return found


# As data parallel with ZeRO-1, as tensor parallel, and alone.
LAYOUTS = [(1, 1), (2, 2), (2, 1)]


@pytest.mark.parametrize(("procs", "tp"), LAYOUTS, ids=lambda v: str(v))
def test_resume_after_stop_and_after_kill_equals_the_undisturbed_run(
    run_cli: Cli, config: Path, tmp_path: Path, procs: int, tp: int
) -> None:
    layout = ["--procs", str(procs), f"layout.tp={tp}"]
    whole = run_cli("train", config, *layout, f"run.dir={tmp_path / 'whole'}")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert [row["step"] for row in rows(tmp_path / "whole")] == [0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11, 12, 12]

    stopped = run_cli("train", config, *layout, "train.stop_after=5")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    found = newest(tmp_path / "run")
    assert found is not None and found.step == 5

    kill_in_mid_run(config, layout, tmp_path / "run")
    resumed = run_cli("train", config, *layout)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    # A stop also evaluates; the undisturbed run has no row of that.
    assert [r for r in rows(tmp_path / "run") if not (r["step"] == 5 and "eval_loss" in r)] == rows(tmp_path / "whole")
    assert same_state(tmp_path / "whole", tmp_path / "run")


def kill_in_mid_run(config: Path, layout: list[str], run_dir: Path) -> None:
    """Starts the run and kills the whole tree of it with SIGKILL once it has gone beyond step 8."""
    command = [sys.executable, "-P", "-m", "millrace", "train", str(config), *layout]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not any(row["step"] >= 8 for row in rows(run_dir) if "loss" in row):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0].decode()
            time.sleep(0.01)
    finally:
        # SIGKILL to the launcher alone: its ranks must die with it.
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def same_state(a: Path, b: Path) -> bool:
    """Whether the newest checkpoints of two runs hold the same bytes of weights and optimizer state."""
    first, second = newest(a), newest(b)
    assert first is not None and second is not None
    names = sorted(path.name for path in first.path.glob("*.safetensors"))
    assert names and names == sorted(path.name for path in second.path.glob("*.safetensors"))
    return all((first.path / name).read_bytes() == (second.path / name).read_bytes() for name in names)


def test_a_checkpoint_that_lost_count_of_the_samples_shows_in_the_curve(
    run_cli: Cli, config: Path, tmp_path: Path
) -> None:
    """`consumed` off by one, planted: the comparison that the tests above rest on sees it."""
    assert run_cli("train", config, f"run.dir={tmp_path / 'whole'}", "train.stop_after=7").returncode == 0
    assert run_cli("train", config, "train.stop_after=4").returncode == 0
    found = newest(tmp_path / "run")
    assert found is not None
    index = read_index(found.path)
    index["state"]["consumed"] += 1
    write_index(found.path, index)
    assert run_cli("train", config, "train.stop_after=7").returncode == 0
    whole, resumed = ([r["loss"] for r in rows(tmp_path / name) if "loss" in r] for name in ("whole", "run"))
    assert resumed[:4] == whole[:4]
    assert resumed[4:] != whole[4:]


def test_a_life_that_died_while_saving_is_continued_from_the_checkpoint_before(
    run_cli: Cli, config: Path, tmp_path: Path
) -> None:
    assert run_cli("train", config, "train.stop_after=8").returncode == 0
    kept = rows(tmp_path / "run")
    found = newest(tmp_path / "run")
    assert found is not None and found.step == 8
    (found.path / INDEX).unlink()  # as if killed before the index was written
    result = run_cli("train", config, "train.stop_after=8")
    assert result.returncode == 0, result.stderr
    assert "step 4" in result.stdout
    assert rows(tmp_path / "run") == kept
    assert {life for _, life, _ in directories(tmp_path / "run")} == {1, 2}


def test_another_layout_continues_the_run(run_cli: Cli, config: Path, tmp_path: Path) -> None:
    assert run_cli("train", config, f"run.dir={tmp_path / 'whole'}").returncode == 0
    assert run_cli("train", config, "--procs", "2", "layout.tp=2", "train.stop_after=6").returncode == 0
    result = run_cli("train", config, "--procs", "2", "layout.tp=1", "train.micro_batch=4")
    assert result.returncode == 0, result.stderr
    for a, b in zip(rows(tmp_path / "whole"), rows(tmp_path / "run"), strict=True):
        for key, bound in (("loss", 1e-5), ("eval_loss", 1e-5), ("grad_norm", 1e-4)):
            if key in a:
                assert abs(a[key] - b[key]) <= bound * max(1.0, abs(a[key])), (a, b)


def test_a_change_that_decides_the_result_is_refused_unless_allowed(run_cli: Cli, config: Path, tmp_path: Path) -> None:
    assert run_cli("train", config, "train.stop_after=2").returncode == 0
    refused = run_cli("train", config, "optimizer.lr=0.02", "train.seed=5")
    assert refused.returncode == 2
    assert "optimizer.lr is 0.02, but the run to resume has 0.01" in refused.stderr
    assert "train.seed is 5, but the run to resume has 0" in refused.stderr
    assert "Traceback" not in refused.stderr
    allowed = run_cli(
        "train", config, "optimizer.lr=0.02", "train.seed=5", "--allow", "optimizer.lr", "--allow", "train.seed",
        "train.stop_after=3",
    )  # fmt: skip
    assert allowed.returncode == 0, allowed.stderr


def test_another_corpus_is_refused(run_cli: Cli, config: Path, corpus: Path, tmp_path: Path) -> None:
    assert run_cli("train", config, "train.stop_after=2").returncode == 0
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    from data_pipeline.shards import load_manifest

    manifest = load_manifest(other)
    write_manifest(other, Manifest(**{**vars(manifest), "parent": "0" * 32}))
    refused = run_cli("train", config, f"data.dir={other}")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert manifest.corpus_id in refused.stderr and "Traceback" not in refused.stderr


def test_what_is_not_validated_is_said(run_cli: Cli, config: Path, tmp_path: Path) -> None:
    """No split, or a source in it too short for one window."""
    train = {"words": [[900]], "notes": [[900]]}
    lengths = {"words": [[200]], "notes": [[5]]}
    for name, splits in (("none", {"train": train}), ("short", {"train": train, "validation": lengths})):
        write_corpus(tmp_path / name, splits)
        (tmp_path / name / "tokenizer").mkdir()
        (tmp_path / name / "tokenizer" / "tokenizer.model").touch()
    alone = run_cli("train", config, "train.stop_after=1", f"data.dir={tmp_path / 'none'}", f"run.dir={tmp_path / 'a'}")
    assert alone.returncode == 0, alone.stderr
    assert "no evaluation: the corpus has no validation split\n" in alone.stdout
    assert not [row for row in read_metrics(tmp_path / "a") if "eval_loss" in row]
    short = run_cli(
        "train", config, "train.stop_after=1", f"data.dir={tmp_path / 'short'}", f"run.dir={tmp_path / 'b'}"
    )
    assert short.returncode == 0, short.stderr
    assert "validation notes: left out (" in short.stdout and "validation words" not in short.stdout
    assert [row["eval_tokens"] for row in read_metrics(tmp_path / "b") if "eval_loss" in row] == [6 * 32] * 2


def test_a_life_that_fails_is_closed_as_failed_in_the_tracker_and_the_next_as_finished(
    run_cli: Cli, config: Path, tmp_path: Path
) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom pretrain import loop, rank\n"
        "step = loop.Trainer.step\n"
        "def cut(self, batches):\n"
        "    if self.state.step == 3: raise OSError('the disk went away')\n"
        "    step(self, batches)\n"
        "loop.Trainer.step = cut\nrank.main(Path(sys.argv[1]), [])\n"
    )
    prepared = run_cli("train", config, "tracking.uri=''", "train.stop_after=2")
    assert prepared.returncode == 0, prepared.stderr
    tree = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    tree["train"]["stop_after"] = 5
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(tree))
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0",
             "GLOO_SOCKET_IFNAME": "lo"}  # fmt: skip
    failed = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path / "run")], env={**os.environ, **alone}, text=True,
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert failed.returncode != 0 and "the disk went away" in failed.stderr
    assert state_in_tracker(tmp_path / "run") == "FAILED"
    assert run_cli("train", config, "tracking.uri=''", "train.stop_after=5").returncode == 0
    assert state_in_tracker(tmp_path / "run") == "FINISHED"


def state_in_tracker(run_dir: Path) -> str:
    """The status of the one run in the tracker's own store."""
    with sqlite3.connect(run_dir / "mlflow.db") as store:
        ((status,),) = store.execute("select status from runs").fetchall()
    return str(status)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data.dir=nowhere"], "nowhere"),
        (
            ["layout.tp=3"],
            "model.num_heads 2, model.ffn_hidden_size 128 and train.seq_length 32 are not divisible by layout.tp 3",
        ),
        (["train.global_batch=7"], "train.global_batch 7 is not divisible by dp x micro_batch = 1 x 2"),
        (["train.seq_length=100000"], "100001"),
        (["model.vocab_size=200"], "smaller than the corpus' vocabulary of 400"),
    ],
)
def test_what_cannot_train_is_refused_before_anything_starts(
    run_cli: Cli, config: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = run_cli("train", config, *arguments)
    assert result.returncode == 2
    assert said in result.stderr and "hint: " in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_dry_run_starts_nothing(run_cli: Cli, config: Path, tmp_path: Path) -> None:
    result = run_cli("train", config, "--dry-run", "--procs", "2")
    assert result.returncode == 0 and "dp 2" in result.stdout and "from the beginning to step 12" in result.stdout
    assert not (tmp_path / "run").exists()


def test_the_model_beats_the_unigram_baseline_and_generates_text(run_cli: Cli, config: Path, tmp_path: Path) -> None:
    longer = ["train.steps=60", "checkpoint.every=0", "eval.every=0"]
    assert run_cli("train", config, *longer, "--procs", "2", "layout.tp=2").returncode == 0
    evaluations = [row for row in read_metrics(tmp_path / "run") if "eval_loss" in row]
    assert [row["step"] for row in evaluations] == [0, 60]
    assert evaluations[1]["eval_perplexity"] < evaluations[0]["unigram_perplexity"] < evaluations[0]["eval_perplexity"]
    first = run_cli("generate", tmp_path / "run", "--prompt", "the mill", "--tokens", "12")
    again = run_cli("generate", tmp_path / "run", "--prompt", "the mill", "--tokens", "12")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("the mill") and len(first.stdout) > len("the mill ")
    assert first.stdout == again.stdout
    hostile = ("generate", str(tmp_path / "run"), "--prompt", "the\x1b[2J\x9bmill", "--tokens", "2")
    raw = run_cli(*hostile).stdout
    assert "the\x1b[2J\x9bmill" in raw, "a file gets the text as it is"
    shown = on_a_terminal(sys.executable, "-P", "-m", "millrace", *hostile)
    assert shown.replace("\r", "") == harmless(raw) and "the\\x1b[2J\\x9bmill" in shown
