"""The texts that come with every Python: a corpus for a first try, found on any machine without a download.

Read are the README, licence, change and metadata files, reST, Markdown and plain text files, and the docstrings
(found by `ast`; nothing is imported) of the standard library and of the distributions in site-packages. Tests of
packages and caches are not looked at.

Files are drawn in the order of a hash of their path until `max_bytes` are reached, documentation files before Python
ones: a mixture of all packages, the same wherever the same packages are installed, whatever the order in which the
file system lists them. What does not fit is counted. The drawn files are grouped, in order of their paths, into units
of at most `data.unit_bytes` or 4 MB, whichever is less.
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import xxhash

from configs.errors import Problem
from configs.schema.source import Source
from data_pipeline.pool import advance
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.units import LeftOut, Member, Piece, Plan, Unit

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ()

_TEXT_SUFFIXES = (".rst", ".md", ".txt")
_TEXT_NAMES = (
    "README",
    "LICENSE",
    "LICENCE",
    "COPYING",
    "NOTICE",
    "CHANGES",
    "CHANGELOG",
    "HISTORY",
    "METADATA",
    "NEWS",
)
# Name lists of a distribution's build, and word lists: text files that hold no text.
_NOT_TEXT = frozenset({"top_level.txt", "entry_points.txt", "sources.txt", "requires.txt", "dependency_links.txt"})
_PASSED_FOLDERS = frozenset({"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test", "testing"})
_UNIT_BYTES = 4_000_000


def roots() -> dict[str, Path]:
    """The folders read, by the name that begins their files' relative paths. In a virtual environment the standard
    library is that of the Python it was made from."""
    found: dict[str, Path] = {}
    for name, key in (("stdlib", "stdlib"), ("site-packages", "purelib"), ("platlib", "platlib")):
        path = Path(sysconfig.get_path(key)).resolve()
        if path.is_dir() and path not in found.values():
            found[name] = path
    return found


def plan(source: Source, unit_bytes: int) -> Plan:
    """Finds the files, draws `source.max_bytes` of them and groups them into units."""
    if source.paths:
        problem = Problem(
            f"source {source.name!r} of type installed-docs takes no `paths`, got {len(source.paths)}",
            hint="remove them, or choose the type of the files",
        )
        return Plan(problems=[problem])
    files = [member for name, root in roots().items() for member in _files(name, root)]
    files.sort(key=lambda file: (file.path.endswith(".py"), xxhash.xxh3_128_digest(os.fsencode(file.relative_path))))
    drawn, left_out, total = [], LeftOut(), 0
    for file in files:
        if total + file.size <= source.max_bytes:
            total += file.size
            drawn.append(file)
        else:
            left_out.add(file.size)
    drawn.sort(key=lambda file: os.fsencode(file.relative_path))
    result = Plan([_group(members) for members in _groups(drawn, min(unit_bytes, _UNIT_BYTES))])
    if left_out.files:
        result.left_out["above max_bytes"] = left_out
    if not drawn:
        what = f"source {source.name!r} found no documentation within max_bytes={source.max_bytes}"
        result.problems.append(Problem(what, ", ".join(map(str, roots().values())), "raise max_bytes"))
    return result


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
    """Text files are one record each (offset 0), Python files one per docstring (offset: its literal's character in
    the source, lines ending with one character)."""
    for member in unit.members:
        try:
            data = Path(member.path).read_bytes()
        except OSError as error:
            tally.damage("unreadable file", member.relative_path, 0, error.strerror or str(error))
            continue
        tally.input_bytes += len(data)
        advance(len(data))
        if len(data) > limits.record_bytes:
            tally.records += 1
            yield Record(member.relative_path, 0, too_large=len(data))
            continue
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if not member.path.endswith(".py"):
                tally.damage("invalid UTF-8", member.relative_path, error.start, str(error))
                continue
            # A Python file may declare another encoding; ast finds it.
            text = ""
        if not member.path.endswith(".py"):
            tally.records += 1
            yield Record(member.relative_path, 0, text=text)
            continue
        try:
            for offset, docstring in _docstrings(text or data):
                tally.records += 1
                yield Record(member.relative_path, offset, text=docstring)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            tally.damage("not Python", member.relative_path, 0, f"{type(error).__name__}: {error}")


def _files(name: str, root: Path) -> Iterator[Member]:
    for folder, folders, names in os.walk(root):
        folders[:] = [child for child in folders if child.lower() not in _PASSED_FOLDERS and not child.startswith(".")]
        for file in names:
            lower = file.lower()
            text = lower.endswith(_TEXT_SUFFIXES) or (file.upper().startswith(_TEXT_NAMES) and "." not in file)
            if not (lower.endswith(".py") or text) or lower in _NOT_TEXT or file.startswith("."):
                continue
            path = Path(folder, file)
            try:
                status = path.stat()
            except OSError:
                continue  # a link into nothing
            if status.st_size and path.is_file():
                relative = f"{name}/{path.relative_to(root).as_posix()}"
                yield Member(relative, str(path), status.st_size)


def _groups(files: list[Member], unit_bytes: int) -> Iterator[tuple[Member, ...]]:
    group: list[Member] = []
    size = 0
    for file in files:
        if group and size + file.size > unit_bytes:
            yield tuple(group)
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield tuple(group)


def _group(members: tuple[Member, ...]) -> Piece:
    size = sum(member.size for member in members)
    return Piece(members[0].relative_path, members[0].path, 0, size, whole=True, members=members)


def _docstrings(source: str | bytes) -> Iterator[tuple[int, str]]:
    """Offset and cleaned text of each docstring, in the order of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's code
        if isinstance(source, str):
            source = source.replace("\r\n", "\n").replace("\r", "\n")
            tree = ast.parse(source)
            lines = source.split("\n")
        else:
            tree = ast.parse(source)
            lines = source.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    found: list[tuple[int, str]] = []
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                literal = node.body[0]
                line = lines[literal.lineno - 1].encode()[: literal.col_offset].decode("utf-8", "replace")
                found.append((starts[literal.lineno - 1] + len(line), text))
        # Docstrings stand in statements only: expressions need not be searched.
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            children = getattr(node, block, None)
            if isinstance(children, list):
                todo.extend(children)
    yield from sorted(found)
