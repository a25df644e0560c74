from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Cli

# Each of these takes a tenth of a second or more to import, some take seconds.
HEAVY = {
    "torch", "deepspeed", "megatron", "numpy", "pyarrow", "datasets", "mlflow", "pandas", "numba", "transformers",
    "pydantic", "rich", "sentencepiece", "submitit", "ftfy", "resiliparse", "fastwarc", "yaml", "asyncio",
}  # fmt: skip


def modules_after(statement: str) -> set[str]:
    """Top-level packages imported once `statement` has run in a fresh interpreter."""
    program = f"import sys\ntry:\n    {statement}\nexcept SystemExit:\n    pass\nprint(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["data", "run", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    typers_own = {"pydantic"} if len(arguments) > 1 else set()  # it describes a command's parameters with it
    assert modules_after(f"from millrace.cli import main; main({arguments})") & HEAVY <= typers_own


def test_check_does_not_import_torch(tmp_path: Path) -> None:
    imported = modules_after("from millrace.cli import main; main(['check', 'gpt-demo'])")
    assert "pydantic" in imported, "the check ran"
    assert imported & {"torch", "deepspeed", "megatron", "mlflow", "transformers", "datasets"} == set()


def test_help_names_every_command(run_cli: Cli) -> None:
    done = run_cli("--help")
    assert done.returncode == 0
    for command in ("demo", "data", "train", "generate", "trace", "bench", "check", "doctor", "recipe", "config"):
        assert f"\n  {command} " in done.stdout


def test_the_version_is_that_of_the_project(run_cli: Cli) -> None:
    import tomllib

    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert run_cli("--version").stdout == f"millrace {version}\n"


def test_config_prints_each_value_with_its_origin(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("include: [model/gpt-demo]\ntrain:\n  steps: 7\n")
    done = run_cli("config", "a.yaml", "optimizer.lr=1e-3")
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "steps: 7 # a.yaml:3" in lines
    assert "lr: 0.001 # command line" in lines
    assert "seed: 0 # default" in lines
    assert any(line.startswith("num_layers: 6 # ") and line.endswith("configs/model/gpt-demo.yaml:3") for line in lines)


def test_what_config_prints_is_a_configuration_again(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "again.yaml").write_text(run_cli("config", "gpt-demo", "run.name='a # b'").stdout)
    first = json.loads(run_cli("config", "gpt-demo", "run.name='a # b'", "--json").stdout)
    again = json.loads(run_cli("config", "again.yaml", "--json").stdout)
    assert again["config"] == first["config"]
    assert again["origins"]["run.name"].startswith("again.yaml:")


def test_check_passes_a_sound_configuration(run_cli: Cli) -> None:
    done = run_cli("check", "gpt-demo")
    assert (done.returncode, done.stdout) == (0, "gpt-demo: no problem found (data and training)\n"), done.stderr


def test_check_tells_every_problem_of_both_halves_at_once(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "include: [model/gpt-demo]\n"
        "layout: {tp: 3}\n"
        "train: {global_batch: 10, micro_batch: 4}\n"
        "sources: [{name: web, type: jsonl, paths: [absent.jsonl]}]\n"
    )
    done = run_cli("check", "a.yaml", "--procs", "6")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for part in (
        "model.num_heads 4, model.ffn_hidden_size 1024 and train.seq_length 1024 are not divisible by layout.tp 3\n",
        "a.yaml:2 layout.tp\n",
        "a.yaml:3 train.global_batch\n",
        "absent.jsonl\n",
        "a.yaml:4 sources.0.paths\n",
    ):
        assert part in done.stderr


def test_check_adds_the_findings_of_the_half_without_mistakes(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "include: [model/gpt-demo]\n"
        "layout: {tp: 3}\n"
        "clean: {languages: en}\n"
        "sources: [{name: web, type: jsonl, paths: [absent.jsonl]}]\n"
    )
    done = run_cli("check", "a.yaml")
    assert done.returncode == 2
    assert "clean.languages" in done.stderr
    assert "num_heads" in done.stderr
    assert "absent.jsonl" not in done.stderr, "checks of a half with mistakes would report on values nobody asked for"


def test_check_of_a_configuration_without_purpose_says_so(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("train: {steps: 1}\n")
    done = run_cli("check", "a.yaml")
    assert done.returncode == 2
    assert "neither `sources`" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trian"], "train"),
        (["config"], "CONFIG"),
        (["config", "gpt-demo", "--jsn"], "--json"),
        (["check", "gpt-demo", "--procs", "two"], "--procs"),
    ],
)
def test_a_command_line_that_cannot_be_understood_ends_with_status_2(
    run_cli: Cli, arguments: list[str], told: str
) -> None:
    done = run_cli(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_no_arguments_print_the_help(run_cli: Cli) -> None:
    assert "Commands:" in run_cli().stderr


def test_an_internal_fault_is_short_on_the_terminal_and_whole_in_a_file(tmp_path: Path) -> None:
    program = (
        "import millrace.cli, configs.loader\n"
        "def broken(*_): raise RuntimeError('a defect')\n"
        "configs.loader.load = broken\n"
        "millrace.cli.main(['config', 'gpt-demo'])\n"
    )

    def run(**env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", program],
            env={**os.environ, "TMPDIR": str(tmp_path), **env},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run()
    assert done.returncode == 1
    assert done.stderr.startswith("fault: RuntimeError: a defect\n")
    assert "Traceback" not in done.stderr
    (file,) = tmp_path.glob("millrace-*.traceback")
    assert str(file) in done.stderr
    assert file.read_text().endswith("RuntimeError: a defect\n")
    assert file.stat().st_mode & 0o077 == 0
    assert "Traceback (most recent call last)" in run(MILLRACE_TRACEBACK="1").stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("configs.errors.UserError('u')", 2),
        ("configs.errors.MachineError('m')", 1),
        ("configs.errors.TryLater('t')", 75),
        ("KeyboardInterrupt()", 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_status(error: str, status: int) -> None:
    program = (
        "import millrace.cli, configs.errors, configs.loader\n"
        f"def failing(*_): raise {error}\n"
        "configs.loader.load = failing\n"
        "millrace.cli.main(['config', 'gpt-demo'])\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_complete_commands(run_cli: Cli, shell: str) -> None:
    script = run_cli("--show-completion", shell, env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "_MILLRACE_COMPLETE" in script.stdout
    completed = run_cli(
        env={
            "_MILLRACE_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": "millrace con",
            "COMP_CWORD": "1",
            "_TYPER_COMPLETE_ARGS": "millrace con",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
    )
    assert "config" in completed.stdout
    assert "train" not in completed.stdout


def test_a_folder_named_configs_in_the_current_directory_does_not_shadow_ours(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").write_text("raise RuntimeError('shadowed')\n")
    assert run_cli("config", "gpt-demo").returncode == 0
