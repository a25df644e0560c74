"""train.compile is refused where nothing can compile, and may change between lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import UserError
from configs.loader import load
from pretrain.parallel.compile import problems
from pretrain.parallel.runtime import gpu_of
from pretrain.resume import differences
from tests.conftest import Cli


def test_a_machine_without_a_compiler_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    assert problems("cpu")[0].what == "train.compile on a CPU needs a C++ compiler, and there is no g++"
    assert problems("cuda")[0].what == "train.compile on a GPU needs a C compiler, and there is no gcc, clang or cc"
    named = tmp_path / "my-compiler"
    named.write_text("#!/bin/sh\n")
    named.chmod(0o700)
    for variable, device in (("CXX", "cpu"), ("CC", "cuda")):
        monkeypatch.setenv(variable, "my-compiler")
        assert not [p for p in problems(device) if "compiler," in p.what]


def test_a_run_without_a_compiler_ends_before_it_starts(run_cli: Cli, config: Path, tmp_path: Path) -> None:
    done = run_cli("train", config, "train.compile=true", env={"CXX": "no-such-compiler"})
    assert done.returncode == 2, done.stdout + done.stderr
    assert "train.compile on a CPU needs a C++ compiler, and there is no no-such-compiler" in done.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_compilation_may_change_between_lives() -> None:
    plain, compiled = (load("gpt-demo", [f"train.compile={value}"]).to_dict() for value in ("false", "true"))
    assert plain != compiled
    assert differences(plain, compiled) == [] == differences(compiled, plain)
    assert differences(plain, {**compiled, "train": {**compiled["train"], "seed": 7}})


def test_each_process_has_a_gpu_of_its_own_or_is_told() -> None:
    assert [gpu_of(rank, 2) for rank in (0, 1)] == [0, 1]
    with pytest.raises(UserError, match="process 2 of this node has no GPU of its own: it sees 2"):
        gpu_of(2, 2)
