"""`millrace bench mfu` trains for real and reports what the run's own metrics say."""

import json

import pytest

from configs.schema.train import Model
from pretrain.flops import training_flops_per_token
from pretrain.parallel.compile import problems
from tests.conftest import absent

TINY = """
model: {num_layers: 2, hidden_size: 32, num_heads: 2}
train: {steps: 3, global_batch: 4, micro_batch: 2, seq_length: 16}
tokenizer: {vocab_size: 300}
data: {blend: {web: 2, books: 1}}
"""


def test_the_figures_are_those_of_a_real_run_and_agree_with_each_other(run_cli, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = ["bench", "mfu", "tiny.yaml", "optimizer.lr=1e-4", "--seq", "32", "--steps", "7", "--warmup", "2"]
    done = run_cli(*command, "--json", "out.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    values = {row["name"].split()[1]: row["value"] for row in found["results"]}
    assert list(values) == [
        "tokens_per_second",
        "step_seconds",
        "tflops_per_device",
        "mfu",
        "mfu_causal",
        "mfu_6n",
    ]
    # The median of 5 steps is one of them, and every figure is that step's.
    flops = training_flops_per_token(Model(num_layers=2, hidden_size=32, num_heads=2), 32, 300)
    rate = values["tokens_per_second"]
    assert rate == pytest.approx(4 * 32 / values["step_seconds"])
    assert values["tflops_per_device"] == pytest.approx(rate * flops.full / 1e12)
    assert values["mfu_causal"] / values["mfu"] == pytest.approx(flops.causal / flops.full)
    assert values["mfu_6n"] / values["mfu"] == pytest.approx(flops.six_n / flops.full)
    assert 0 < values["mfu"] < 1
    assert found["results"][0]["cpu_seconds"] > 0
    assert found["command"] == "millrace " + " ".join([*command, "--json", "out.json"])

    name = "tp1 pp1 dp1 zero0 fp32 seq32 batch4/2 vocab300 procs1"
    assert all(name in row["name"] for row in found["results"])
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        "config",
        "conditions",
        "tokens/s",
        "step",
        "ms",
        "TFLOP/s",
        *["MFU", "MFU", "causal", "MFU", "6N"],
    ]
    assert lines[2].startswith(f"tiny    {name}") and f"{100 * values['mfu']:.1f} %" in lines[2]
    assert "measured fp32 matmul peak of this process" in done.stdout and "median of 5 steps" in done.stdout
    assert "step      7/7" in done.stderr and "step      7/7" not in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "tiny.yaml"]


def test_steps_that_compile_are_said_and_not_measured(run_cli, tmp_path):
    if lacking := problems("cpu"):
        absent("; ".join(problem.what for problem in lacking))
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = ["bench", "mfu", "tiny.yaml", "train.compile=true", "--seq", "32", "--warmup", "0", "--json", "out.json"]
    done = run_cli(*command, "--steps", "4")
    assert done.returncode == 0, done.stderr
    assert "step      1  its " in done.stderr and "include compilation (graphs 1, breaks 0)" in done.stderr
    # Without a warm-up 4 steps would count; the first compiled.
    assert "median of 3 steps" in done.stdout
    found = json.loads((tmp_path / "out.json").read_text())
    assert all("procs1 compiled)" in row["name"] for row in found["results"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["--steps", "4", "--warmup", "4"], "--warmup 4 leaves none of --steps 4"),
        (["--json", "absent/out.json"], "there is no directory"),
        (["gpt-demo", "train.micro_batch=5"], "train.micro_batch"),
        (["installed-docs"], "has no `model` to train"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(run_cli, arguments, message):
    done = run_cli("bench", "mfu", *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
