"""What only a GPU can show: training there follows the CPU, in each precision, compiled or not, from the same checkpoints.

A GPU is no component that could be installed: without one these tests skip everywhere, with the reason.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

STEPS = 10
TRAIN = "tests.distributed.cases:train"
ROOT = Path(__file__).parents[2]
PLAIN: dict[str, Any] = {"layout": {"tp": 1, "zero": 0}, "steps": STEPS}

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: torch.cuda.is_available() is false on this machine"
)


def run(function: str, where: Path, gpu: bool = True, **arguments: Any) -> dict[str, Any]:
    """The case in a fresh process, as a world of one on the first GPU or on the CPU."""
    if function == TRAIN and gpu:
        arguments["device"] = "cuda"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    out = where / f"{len(list(where.iterdir()))}.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.cuda.rank", function, json.dumps(arguments), str(out)],
        env={**os.environ, **world, **({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})},
        cwd=ROOT, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def furthest(a: dict[str, Any], b: dict[str, Any], first: int = 0) -> float:
    """Largest distance of the two curves of losses, from that step on."""
    return max(abs(x - y) for x, y in zip(a["losses"][first:], b["losses"], strict=True))


def test_a_world_of_one_starts_by_itself_on_the_cpu(tmp_path: Path) -> None:
    found = run("tests.cuda.cases:groups", tmp_path, gpu=False)
    assert found == {"backend": "gloo", "world_size": 1, "sum": 1.0, "device": "cpu"}


@pytest.mark.parametrize("kv_heads", [8, 2])
def test_attention_is_fused_and_right_on_the_cpu(tmp_path: Path, kv_heads: int) -> None:
    found = run("tests.cuda.cases:attention", tmp_path, gpu=False, dtype="bfloat16", kv_heads=kv_heads)
    assert "aten::_scaled_dot_product_flash_attention_for_cpu_backward" in found["operators"]
    assert found["distance"] < 0.05


@needs_gpu
def test_a_world_of_one_starts_under_nccl(tmp_path: Path) -> None:
    found = run("tests.cuda.cases:groups", tmp_path)
    assert found == {"backend": "nccl", "world_size": 1, "sum": 1.0, "device": "cuda"}


@needs_gpu
@pytest.mark.parametrize("kv_heads", [8, 2])
def test_attention_in_bf16_is_flash_or_cudnn(tmp_path: Path, kv_heads: int) -> None:
    found = run("tests.cuda.cases:attention", tmp_path, dtype="bfloat16", kv_heads=kv_heads)
    fused = {f"aten::_scaled_dot_product_{name}_attention_backward" for name in ("flash", "cudnn")}
    assert fused & set(found["operators"]), found["operators"]
    assert found["distance"] < 0.05


@needs_gpu
@pytest.mark.parametrize("family", ["gpt", "llama"])
def test_float32_on_the_gpu_follows_the_cpu(tmp_path: Path, family: str) -> None:
    cpu = run(TRAIN, tmp_path, gpu=False, family=family, **PLAIN)
    gpu = run(TRAIN, tmp_path, family=family, **PLAIN)
    assert furthest(cpu, gpu) <= 1e-4
    assert abs(cpu["eval"] - gpu["eval"]) <= 1e-4


@needs_gpu
def test_bf16_stays_near_float32(tmp_path: Path) -> None:
    full = run(TRAIN, tmp_path, family="llama", **PLAIN)
    half = run(TRAIN, tmp_path, family="llama", precision="bf16", **PLAIN)
    assert 0 < furthest(full, half) < 0.05


@needs_gpu
@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-4), ("bf16", 0.02)])
def test_compiled_blocks_follow_the_plain_ones(tmp_path: Path, precision: str, bound: float, recompute: str) -> None:
    options = {"family": "llama", "precision": precision, "recompute": recompute, **PLAIN}
    plain, compiled = run(TRAIN, tmp_path, **options), run(TRAIN, tmp_path, compile=True, **options)
    assert plain["compiled"][0] == 0
    assert compiled["compiled"][0] > 0 and compiled["compiled"][1] == 0
    assert furthest(plain, compiled) <= bound


@needs_gpu
def test_deterministic_training_repeats_bit_for_bit(tmp_path: Path) -> None:
    first, second = (run("tests.cuda.cases:deterministic", tmp_path, steps=STEPS) for _ in range(2))
    assert first["losses"] == second["losses"] and first["norms"] == second["norms"]


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_checkpoint_written_on_the_gpu_resumes_on_the_cpu(tmp_path: Path, precision: str) -> None:
    options = {"family": "gpt", "layout": {"tp": 1, "zero": 1}, "precision": precision}
    saved = tmp_path / "run"
    run(TRAIN, tmp_path, steps=STEPS, save=str(saved), **options)
    whole = run(TRAIN, tmp_path, steps=STEPS + 5, **options)
    resumed = run(TRAIN, tmp_path, gpu=False, steps=STEPS + 5, load=str(saved), **options)
    assert furthest(whole, resumed, STEPS) <= (1e-4 if precision == "fp32" else 0.02)
