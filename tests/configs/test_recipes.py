"""`millrace recipe`: the presets as files one can read and start from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs import presets
from configs.loader import load
from tests.conftest import Cli


def test_ls_names_every_preset_with_its_kind_and_a_whole_sentence(run_cli: Cli) -> None:
    lines = run_cli("recipe", "ls").stdout.splitlines()
    assert len(lines) == len(presets.names())
    rows = json.loads(run_cli("recipe", "ls", "--json").stdout)
    assert [f"{row['kind']}/{row['name']}" for row in rows] == presets.names()
    for line, row in zip(lines, rows, strict=True):
        assert line.split(maxsplit=2) == [row["name"], row["kind"], row["says"]]
        assert row["says"].endswith("."), "the first line stands alone"


def test_cat_prints_the_file(run_cli: Cli) -> None:
    assert run_cli("recipe", "cat", "gpt3-125m").stdout == (presets.ROOT / "train/gpt3-125m.yaml").read_text()
    assert run_cli("recipe", "cat", "model/gpt3-125m").stdout == (presets.ROOT / "model/gpt3-125m.yaml").read_text()


def test_a_copy_is_the_same_configuration_and_nothing_is_overwritten(run_cli: Cli, tmp_path: Path) -> None:
    assert run_cli("recipe", "cp", "gpt3-1.3b", "mine.yaml").stdout == "mine.yaml\n"
    assert load(str(tmp_path / "mine.yaml")).to_dict() == load("gpt3-1.3b").to_dict()
    (tmp_path / "mine.yaml").write_text("mine")
    again = run_cli("recipe", "cp", "gpt3-1.3b", "mine.yaml")
    assert again.returncode == 2 and "mine.yaml exists already" in again.stderr and "Traceback" not in again.stderr
    assert (tmp_path / "mine.yaml").read_text() == "mine"
    assert run_cli("recipe", "cp", "gpt3-1.3b", ".").stdout == "gpt3-1.3b.yaml\n"


@pytest.mark.parametrize("arguments", [["cat", "gpt3-12m"], ["cp", "gpt3-12m", "x.yaml"], ["cat", "configs/x.yaml"]])
def test_a_name_that_is_no_preset_is_refused(run_cli: Cli, arguments: list[str]) -> None:
    done = run_cli("recipe", *arguments)
    assert done.returncode == 2 and "there is no preset" in done.stderr and "hint: " in done.stderr
    nowhere = run_cli("recipe", "cp", "gpt3-125m", "no/such/folder/x.yaml")
    assert nowhere.returncode == 2 and "cannot be written" in nowhere.stderr
