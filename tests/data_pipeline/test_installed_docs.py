"""The embedded corpus: the texts of the running Python and its packages."""

import ast
import inspect
import io
import subprocess
import sys
import sysconfig
import tokenize
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.schema.data import Data
from configs.schema.source import Source
from configs.schema.tree import Config
from data_pipeline.inputs import list_inputs
from data_pipeline.sources import installed_docs
from tests.data_pipeline.raw import read

SOURCE = Source(name="docs", type="installed-docs", max_bytes=3_000_000)


def listing(source=SOURCE, **data):
    return list_inputs(Config(sources=[source], data=Data(**data)))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """An installation of our own making, as the source finds it."""

    def make(files):
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        roots = {"stdlib": tmp_path / "lib", "site-packages": tmp_path / "lib" / "site-packages"}
        monkeypatch.setattr(installed_docs, "roots", lambda: roots)

    return make


def literal_at(source, offset):
    """The cleaned text of the string literal that begins at a character of a source."""
    token = next(tokenize.generate_tokens(io.StringIO(source[offset:]).readline))
    assert token.type == tokenize.STRING, token
    return inspect.cleandoc(ast.literal_eval(token.string))


def test_the_standard_library_and_the_packages_are_found():
    roots = installed_docs.roots()
    assert roots["stdlib"] == Path(sysconfig.get_path("stdlib")).resolve()
    assert roots["site-packages"] == Path(sysconfig.get_path("purelib")).resolve()
    assert (roots["stdlib"] / "argparse.py").is_file() and (roots["site-packages"] / "pyarrow").is_dir()


def test_the_cap_holds_and_what_it_leaves_out_is_counted():
    found = listing()
    size = sum(unit.size for unit in found.units)
    assert 2_500_000 < size <= SOURCE.max_bytes
    everything = listing(SOURCE.model_copy(update={"max_bytes": 10**12}))
    left = found.left_out["docs"]["above max_bytes"]
    assert size + left.bytes == sum(unit.size for unit in everything.units)
    assert not everything.left_out["docs"]


def test_the_list_does_not_depend_on_the_order_of_the_file_system(monkeypatch):
    import os

    first = listing()
    walk = os.walk

    def backwards(*arguments, **more):
        for folder, folders, names in walk(*arguments, **more):
            folders.sort(reverse=True)
            names.sort(reverse=True)
            yield folder, folders, names

    monkeypatch.setattr(os, "walk", backwards)
    assert listing() == first


def test_units_are_groups_of_files_no_larger_than_asked():
    units = listing(unit_bytes=200_000).units
    assert len(units) >= 15
    assert all(unit.size <= 200_000 or len(unit.members) == 1 for unit in units)
    names = [member.relative_path for unit in units for member in unit.members]
    assert names == sorted(names)
    assert all(unit.size == sum(member.size for member in unit.members) for unit in units)


def test_documents_are_texts_and_docstrings_at_their_place():
    # Enough to reach the Python files, which come after the texts.
    source = SOURCE.model_copy(update={"max_bytes": 9_000_000})
    seen = {"text": 0, "docstring": 0}
    for unit in listing(source).units:
        records, tally = read(source, unit, max_bytes=10_000_000)
        assert tally.input_bytes == unit.size
        paths = {member.relative_path: Path(member.path) for member in unit.members}
        assert len({(r.relative_path, r.offset) for r in records}) == len(records)
        for record in records:
            path = paths[record.relative_path]
            if path.suffix != ".py":
                assert record.offset == 0
                assert record.text == path.read_bytes().decode("utf-8-sig")
                seen["text"] += 1
            elif seen["docstring"] < 500:
                literal = literal_at(path.read_text(encoding="utf-8-sig"), record.offset)
                # Of literals in a row, which Python joins, it is the first.
                assert record.text == literal or record.text.startswith(literal.rstrip()), (path, record.offset)
                seen["docstring"] += 1
    assert min(seen.values()) > 20


def test_each_docstring_is_one_record_and_nothing_is_imported(tree):
    code = '''"""Módule."""
import does_not_exist_anywhere
raise SystemExit("imported")

class A:
    r"""Class A."""

    def f(self):
        "é"; "not a docstring"

    async def g(self):
        x = """nor this"""

if True:
    def h():
        \'\'\'Inside
        a block.\'\'\'
'''
    tree({"lib/m.py": code})
    [unit] = listing().units
    records, _ = read(SOURCE, unit)
    assert [(r.text, r.relative_path) for r in records] == [
        ("Módule.", "stdlib/m.py"), ("Class A.", "stdlib/m.py"), ("é", "stdlib/m.py"),
        ("Inside\na block.", "stdlib/m.py"),
    ]  # fmt: skip
    for record in records:
        assert literal_at(code, record.offset) == record.text


def test_files_are_chosen_by_kind(tree):
    tree(
        {
            "lib/README": "a",
            "lib/LICENSE.txt": "a",
            "lib/doc/x.rst": "a",
            "lib/site-packages/p/guide.md": "a",
            "lib/site-packages/p-1.dist-info/METADATA": "a",
            "lib/site-packages/p-1.dist-info/top_level.txt": "a",
            "lib/site-packages/p-1.dist-info/RECORD": "a",
            "lib/site-packages/p/tests/t.py": '"""a"""',
            "lib/__pycache__/x.py": '"""a"""',
            "lib/data.bin": "a",
            "lib/empty.py": "",
        }
    )
    names = [member.relative_path for unit in listing().units for member in unit.members]
    assert names == [
        "site-packages/p-1.dist-info/METADATA",
        "site-packages/p/guide.md",
        "stdlib/LICENSE.txt",
        "stdlib/README",
        "stdlib/doc/x.rst",
    ]


def test_damaged_files_are_counted_and_the_others_read(tree):
    tree(
        {
            "lib/a.py": '"""fine"""',
            "lib/b.py": "def (:",
            "lib/c.py": b"x = '\0'",
            "lib/d.txt": b"\xff\xfe\xfa",
            "lib/e.py": '# -*- coding: latin-1 -*-\n"""caf\xe9"""'.encode("latin-1"),
            "lib/f.txt": "fine too",
            "lib/g.py": "(" * 5000,
        }
    )
    [unit] = listing().units
    records, tally = read(SOURCE, unit)
    assert [r.text for r in records] == ["fine", "café", "fine too"]
    assert {kind: damage.count for kind, damage in tally.damaged.items()} == {"not Python": 3, "invalid UTF-8": 1}


def test_a_changed_file_changes_its_unit_alone(tree):
    files = {f"lib/{n}.txt": f"{n}" * 400 for n in range(10)}
    tree(files)
    before = listing(unit_bytes=1000).units
    tree(files | {"lib/9.txt": "x" * 400})
    after = listing(unit_bytes=1000).units
    assert [unit.xxh3 for unit in before[:-1]] == [unit.xxh3 for unit in after[:-1]]
    assert before[-1].xxh3 != after[-1].xxh3


def test_paths_are_refused():
    with pytest.raises(UserError, match="takes no `paths`"):
        listing(SOURCE.model_copy(update={"paths": ["x"]}))


def test_a_cap_below_every_file_is_refused(tree):
    tree({"lib/a.txt": "x" * 100})
    with pytest.raises(UserError, match="raise max_bytes"):
        listing(SOURCE.model_copy(update={"max_bytes": 10}))


def test_a_virtual_environment_reads_the_library_it_was_made_from(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    code = "import sysconfig; print(sysconfig.get_path('stdlib')); print(sysconfig.get_path('purelib'))"
    done = subprocess.run([tmp_path / "v/bin/python", "-c", code], capture_output=True, text=True, check=True)
    stdlib, purelib = map(Path, done.stdout.split())
    assert (stdlib / "argparse.py").is_file() and purelib.is_relative_to(tmp_path)


def test_a_file_over_the_limit_is_one_rejection(tree):
    tree({"lib/a.txt": "x" * 500_000, "lib/b.txt": "fine"})
    [unit] = listing().units
    records, _ = read(SOURCE, unit, max_bytes=1000)
    assert [(r.text, r.too_large) for r in records] == [(None, 500_000), ("fine", 0)]
