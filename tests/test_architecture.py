"""The rules of the house that a reader cannot see in any one file."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGES = ("millrace", "configs", "launchers", "data_pipeline", "pretrain", "benchmarks")
MAY_IMPORT = {
    "millrace": {"millrace", "benchmarks", "pretrain", "data_pipeline", "launchers", "configs"},
    "configs": {"configs"},
    "launchers": {"launchers", "configs"},
    "data_pipeline": {"data_pipeline", "launchers", "configs"},
    "pretrain": {"pretrain", "launchers", "configs", "data_pipeline"},
    "benchmarks": {"benchmarks", "pretrain", "data_pipeline", "launchers", "configs"},
}
# What a machine for training has; anything else is imported where it is used.
TRAINING_MACHINE = {
    "torch", "deepspeed", "megatron", "pyarrow", "numpy", "xxhash", "safetensors", "pydantic", "typer", "yaml",
}  # fmt: skip
# The contract between the two halves must be readable with these alone.
CONTRACT = {"numpy", "pyarrow", "xxhash"}


def files(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def every_file() -> list[Path]:
    return [file for package in PACKAGES for file in files(package)]


def imports(file: Path, at_import_only: bool = False) -> Iterator[str]:
    """Dotted names of the modules that a file imports, also inside functions unless `at_import_only`."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if for_types or (at_import_only and function):
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    return visit(ast.parse(file.read_text(), str(file)))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    ours = {*PACKAGES, "tests"}
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in files(package)
        for name in imports(file)
        if name.split(".")[0] in ours - MAY_IMPORT[package]
    ]
    assert wrong == []


def test_pretrain_knows_the_shards_and_the_codec_and_nothing_else_of_the_pipeline() -> None:
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in files("pretrain")
        for name in imports(file)
        if name.startswith("data_pipeline")
        and not name.startswith(("data_pipeline.shards.", "data_pipeline.tokenize.codec."))
    ]
    assert wrong == []


def test_pretrain_imports_only_what_a_machine_for_training_has() -> None:
    allowed = TRAINING_MACHINE | set(PACKAGES) | set(sys.stdlib_module_names)
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in [*files("pretrain"), *files("launchers"), *files("data_pipeline/shards")]
        for name in imports(file, at_import_only=True)
        if name.split(".")[0] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["data_pipeline.shards", "data_pipeline.tokenize.codec"])
def test_the_contract_is_read_with_numpy_pyarrow_and_xxhash_alone(module: str) -> None:
    """In a fresh interpreter that finds no other installed package."""
    program = f"""
import sys
from importlib.metadata import packages_distributions

foreign = set(packages_distributions()) - {CONTRACT | set(PACKAGES)}


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in foreign:
            raise ModuleNotFoundError(f"refused: {{name}}", name=name)


sys.meta_path.insert(0, Refuse())
import {module}
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_road_meets_models_without_engines() -> None:
    """Model code knows nothing of engines, compile or checkpoints."""
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in files("pretrain/model")
        for name in imports(file)
        if name.startswith(("deepspeed", "pretrain.checkpoint", "pretrain.parallel.engine", "pretrain.loop"))
    ]
    assert wrong == []


def test_a_file_is_read_in_one_sitting() -> None:
    long = {str(file.relative_to(REPOSITORY)): n for file in every_file() if (n := file.read_text().count("\n")) > 450}
    assert long == {}


def test_a_thing_lives_with_the_concept_that_owns_it() -> None:
    nowhere = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    paths = [p for package in PACKAGES for p in (REPOSITORY / package).rglob("*") if "__pycache__" not in p.parts]
    assert [str(p.relative_to(REPOSITORY)) for p in paths if p.stem in nowhere] == []


def test_packages_do_no_work_when_imported() -> None:
    """`__init__.py` holds a docstring only; that of the shards names the reader's side of the contract."""
    wrong = []
    for file in every_file():
        if file.name != "__init__.py" or file.parent == REPOSITORY / "data_pipeline" / "shards":
            continue
        body = ast.parse(file.read_text()).body
        if len(body) > 1 or (body and not (isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant))):
            wrong.append(str(file.relative_to(REPOSITORY)))
    assert wrong == []


def test_every_file_says_what_it_is_for() -> None:
    wrong = []
    for file in every_file():
        tree = ast.parse(file.read_text())
        if ast.get_docstring(tree) is None and tree.body:
            wrong.append(str(file.relative_to(REPOSITORY)))
    assert wrong == []


def test_no_pickle_in_any_format_of_ours() -> None:
    forbidden = ("pickle", "dill", "cloudpickle", "marshal", "shelve")
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in every_file()
        for name in imports(file)
        if name.split(".")[0] in forbidden
    ]
    assert wrong == []
    loads = [str(f.relative_to(REPOSITORY)) for f in every_file() if "torch.load(" in f.read_text()]
    assert loads == []
