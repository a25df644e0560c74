"""Every command of docs/checkpoints.md is executed, in its order, and the page's listing is what is really there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pretrain.checkpoint.directory import newest
from pretrain.tracking.metrics import read_metrics
from pretrain.tracking.mirror import metric_name
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "checkpoints.md").read_text()


def commands() -> list[tuple[str, str]]:
    """(command, what the page shows below it) of the console blocks."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown))
    return found


def test_every_command_of_the_page_works_as_shown(
    tmp_path: Path,
    corpus: Path,
) -> None:
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({
        "include": ["model/gpt-demo"], "data": {"dir": str(corpus)}, "model": {"num_layers": 2, "hidden_size": 128},
        "train": {"steps": 40, "seq_length": 32, "global_batch": 4, "micro_batch": 4},
        "optimizer": {"lr": 2e-3}, "run": {"dir": "run"}, "tracking": {"uri": "none"}, "eval": {"samples": 4},
    }))  # fmt: skip
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "120"}
    listed = commands()
    assert len(listed) == 5
    for command, shown in listed:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        refused = shown.startswith("error: ")
        assert done.returncode == (2 if refused else 0), f"$ {command}\n{done.stdout}"
        if refused:
            assert done.stdout == shown
        if command.startswith("ls"):
            names = r"\S+\.(?:json|safetensors)"
            assert re.findall(names, done.stdout) == re.findall(names, shown) != []
    found = newest(tmp_path / "run")
    assert found is not None and (found.step, found.life) == (40, 2)
    assert "resumed from run/checkpoints/step-00000020-life-0001: step 20" in done.stdout
    for row in (row for row in read_metrics(tmp_path / "run") if "checkpoint" in row):
        assert row["checkpoint_stall_seconds"] > 0 and row["checkpoint_seconds"] > 0
    assert metric_name("checkpoint_stall_seconds") == "checkpoint/stall_seconds"


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)([^)#]+)\)", PAGE))
def test_every_link_of_the_page_leads_somewhere(target: str) -> None:
    assert (REPOSITORY / "docs" / target).exists()


def test_the_page_counts_bytes_as_the_code_does() -> None:
    from configs.schema.train import Model
    from pretrain.flops import parameters

    model = Model(num_layers=2, hidden_size=128, num_heads=4)
    assert f"{parameters(model, 2000, 128):,} parameters" in PAGE
