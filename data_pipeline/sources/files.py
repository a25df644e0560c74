"""From `paths` of a source to a sorted list of files: literal files, globs and whole directories."""

from __future__ import annotations

import difflib
import glob
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from configs.errors import Problem
from configs.schema.source import Source
from data_pipeline.sources.stored import coding_of
from data_pipeline.units import LeftOut

_READ_CODINGS = ("plain", "gzip", "zstd")


@dataclass(frozen=True)
class InputFile:
    """relative_path: from the root of its entry (the longest directory without a glob), `/` between folders.
    coding: as `stored.coding_of`."""

    relative_path: str
    path: str
    size: int
    coding: str


@dataclass
class Found:
    """Files by relative path; what lies in listed directories and is of another kind; what is wrong."""

    files: list[InputFile] = field(default_factory=list)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def find_files(source: Source, suffixes: tuple[str, ...]) -> Found:
    """The files a source names. A directory stands for the files below it whose names end with one of `suffixes`,
    with or without .gz or .zst; hidden ones are left out. A file named outright, or by a glob, is read whatever its
    name. A path listed twice, or two files of equal relative path below two roots, is refused: their documents would
    be the same by id."""
    found = Found()
    by_path: dict[str, str] = {}
    by_relative: dict[str, str] = {}
    for entry in source.paths:
        root, paths = _expand(entry, suffixes, found)
        if not paths:
            if not any(problem.where == entry for problem in found.problems):
                found.problems.append(_nothing(entry, suffixes))
            continue
        for path in paths:
            absolute = str(Path(path).absolute())
            relative = os.path.relpath(path, root).replace(os.sep, "/")
            if absolute in by_path:
                what = (
                    f"the same file is listed twice in source {source.name!r}, by {by_path[absolute]!r} and {entry!r}"
                )
                found.problems.append(Problem(what, path, "list it once"))
            elif relative in by_relative:
                what = (
                    f"two files of source {source.name!r} have the relative path {relative!r}: their ids would be equal"
                )
                hint = "put them into two sources, or list a directory above both"
                found.problems.append(Problem(what, f"{by_relative[relative]} and {path}", hint))
            else:
                by_path[absolute], by_relative[relative] = entry, path
                _add(found, relative, absolute, path)
    found.files.sort(key=lambda file: os.fsencode(file.relative_path))
    return found


def _expand(entry: str, suffixes: tuple[str, ...], found: Found) -> tuple[str, list[str]]:
    """Root and files of one entry of `paths`."""
    path = os.path.expanduser(entry)  # noqa: PTH111 (Path would drop a final slash and read "" as ".")
    if os.path.isdir(path):  # noqa: PTH112
        return path, _below(path, suffixes, found)
    if os.path.lexists(path):
        return os.path.dirname(path) or ".", [path]  # noqa: PTH120
    if not glob.has_magic(path):
        found.problems.append(_missing(entry, Path(path)))
        return ".", []
    parts = Path(path).parts
    plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    root = os.path.join(*parts[:plain]) if plain else "."  # noqa: PTH118
    return root, sorted(name for name in glob.glob(path, recursive=True) if not os.path.isdir(name))  # noqa: PTH112, PTH207


def _below(directory: str, suffixes: tuple[str, ...], found: Found) -> list[str]:
    endings = tuple(suffix + coding for suffix in suffixes for coding in ("", ".gz", ".zst"))
    paths: list[str] = []

    def refuse(error: OSError) -> None:
        found.problems.append(Problem(f"cannot list the directory: {error.strerror}", str(error.filename)))

    for folder, folders, names in os.walk(directory, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118
            if name.lower().endswith(endings) and not name.startswith("."):
                paths.append(path)
            else:
                size = os.lstat(path).st_size
                found.left_out.setdefault("other or hidden files in a listed directory", LeftOut()).add(size)
    return paths


def _add(found: Found, relative: str, absolute: str, path: str) -> None:
    try:
        status = os.stat(absolute)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):
            found.problems.append(Problem("not a regular file", path, "name files, directories or globs"))
            return
        coding = coding_of(absolute)
    except OSError as error:
        found.problems.append(Problem(f"cannot read the input: {error.strerror}", path, "mend it, or leave it out"))
        return
    if coding not in _READ_CODINGS:
        what = f"{coding} compression is not read"
        found.problems.append(Problem(what, path, "compress it with gzip or zstd, or not at all"))
        return
    found.files.append(InputFile(relative, absolute, status.st_size, coding))


def _missing(entry: str, path: Path) -> Problem:
    hint = "check the path; relative ones start at the current directory"
    parent = path.parent
    if parent.is_dir():
        near = difflib.get_close_matches(path.name, os.listdir(parent), n=1)  # noqa: PTH208
        if near:
            hint = f"did you mean {os.path.join(parent, near[0])}?"  # noqa: PTH118
    return Problem("no such file or directory", entry, hint)


def _nothing(entry: str, suffixes: tuple[str, ...]) -> Problem:
    if glob.has_magic(entry):
        return Problem("the glob matches no file", entry, "check it; ** spans folders")
    return Problem("the directory holds no input", entry, f"files looked for: *{', *'.join(suffixes)} (.gz, .zst)")
