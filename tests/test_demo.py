"""The whole road, from installed documentation to a sample of text, on a machine without any network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli, absent

# Become a process whose only network is its own loopback, then the command.
ALONE = """
import ctypes, errno, fcntl, os, socket, struct, sys
NEWUSER, NEWNET = 0x10000000, 0x40000000  # linux/sched.h
libc, uid, gid = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
if libc.unshare(NEWNET) != 0:
    if libc.unshare(NEWUSER | NEWNET) != 0:
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        open(f"/proc/self/{name}", "w").write(text)
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
assert [name for _, name in socket.if_nameindex()] == ["lo"], socket.if_nameindex()
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    assert error.errno == errno.ENETUNREACH, error
print("alone", flush=True)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

SMALL = [
    "sources.0.max_bytes=4MB", "data.unit_bytes=1MB", "shards.target_bytes=1MB", "split.validation=0.05",
    "tokenizer.vocab_size=2000", "tokenizer.train_bytes=1MB",
    "train.steps=30", "train.seq_length=128", "train.global_batch=8", "train.micro_batch=8", "schedule.warmup_steps=3",
    "model.num_layers=2", "model.hidden_size=128", "eval.samples=32",
]  # fmt: skip


def run_alone(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`millrace ...` in an empty network namespace, with no CI variable and no home to find caches in."""
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "HF_HUB_OFFLINE")}
    (cwd / "home").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, "-P", "-m", "millrace", *arguments],
        cwd=cwd,
        env=environment | {"HOME": str(cwd / "home"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    if done.stderr.startswith("unshare: "):
        absent(f"network namespaces are not allowed here ({done.stderr.strip()})")
    assert done.stdout.startswith("alone\n"), done.stderr
    return done


def shown(output: str, name: str) -> str:
    (value,) = re.findall(rf"^  {name} +(.*)$", output, flags=re.MULTILINE)
    return value


def test_the_demo_needs_no_network_and_ends_with_its_figures(tmp_path: Path) -> None:
    done = run_alone(tmp_path, "demo", "--out", "here", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr

    manifest = json.loads((tmp_path / "here/corpus/manifest.json").read_text())
    rows = [json.loads(line) for line in (tmp_path / "here/run/metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    evaluations = [row for row in rows if "eval_loss" in row]
    assert len(losses) == 30
    assert losses[-1] < losses[0] - 1, "it learns"
    assert evaluations[-1]["eval_perplexity"] < evaluations[0]["eval_perplexity"] / 2

    out = done.stdout
    documents = manifest["stages"][0]["documents"]["in"]
    assert shown(out, "documents").startswith(f"{documents:,} in, ")
    assert shown(out, "loss").startswith(f"{losses[0]:.3f} at step 1, {losses[-1]:.3f} at step 30 ")
    assert shown(out, "perplexity").startswith(f"{evaluations[-1]['eval_perplexity']:,.1f} on validation text")
    assert f"unigram {evaluations[0]['unigram_perplexity']:,.0f}" in shown(out, "perplexity")
    for split in ("train", "validation", "test"):
        tokens = sum(shard["tokens"] for shard in manifest["splits"][split])
        assert f"{split} {tokens:,}" in shown(out, "tokens")
    assert "measured" in shown(out, "MFU"), "the peak of a CPU is named for what it is"
    assert re.search(r"\ncommand: millrace generate .*\nThis function returns", out), "a sample of its text"
    assert (tmp_path / "here/corpus/report.html").is_file()
    assert "mlflow ui --backend-store-uri sqlite:///" in out
    experiment, run = re.findall(r"/#/experiments/(\w+)/runs/(\w+)/model-metrics", out)[0]
    assert (tmp_path / "here/run/tracker-run-id").read_text().strip() == run
    assert experiment.isdigit()
    assert "Traceback" not in out + done.stderr

    again = run_alone(tmp_path, "demo", "--out", "here", *SMALL)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing to do" in again.stdout
    assert again.stdout.partition("== done")[2].partition("\n")[2] == out.partition("== done")[2].partition("\n")[2]


def test_a_mistake_in_any_part_of_the_demo_is_told_before_it_starts(run_cli: Cli, tmp_path: Path) -> None:
    done = run_cli("demo", "layout.tp=3", "train.global_batch=5")
    assert done.returncode == 2
    assert "num_heads" in done.stderr
    assert "global_batch" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_as_shipped_learns_as_promised(run_cli: Cli, tmp_path: Path) -> None:
    from millrace.demo import facts

    done = run_cli("demo", timeout=1700)
    assert done.returncode == 0, done.stdout + done.stderr
    found = facts(tmp_path / "demo/corpus", tmp_path / "demo/run")
    assert found["vocab_size"] >= 8000
    assert found["first_loss"] - found["last_loss"] >= 2.5
    assert found["perplexity"] < found["unigram_perplexity"] < found["untrained_perplexity"]
    assert 0 < found["mfu"] < 1
