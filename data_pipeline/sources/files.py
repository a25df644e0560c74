"""From `paths` of a source to a sorted list of files: files, globs, directories, addresses, and lists of all these."""

from __future__ import annotations

import difflib
import glob
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from configs.errors import Problem, UserError
from configs.schema.source import Source
from data_pipeline.sources import remote
from data_pipeline.sources.listing import is_listing, read_listing
from data_pipeline.sources.stored import CODING_SUFFIXES, coding_of
from data_pipeline.units import LeftOut

REMOTE = "remote"
"""The coding of a file whose bytes have not been looked at: it is one unit."""

_OTHERS = "other or hidden files in a listed directory"
_MISSING_SHOWN = 10
_KINDS = {
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather"),
    "csv": (".csv", ".tsv"),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "warc": (".warc", ".wet", ".arc"),
    "text": (".txt", ".text", ".md", ".rst"),
}


@dataclass(frozen=True)
class InputFile:
    """relative_path: from the root of its entry (the longest directory without a glob), `/` between folders.
    coding: as `stored.coding_of`, or REMOTE. xxh3: of a remote file, what stands for the hash of its bytes."""

    relative_path: str
    path: str
    size: int
    coding: str
    xxh3: str = ""

    @property
    def remote(self) -> bool:
        return self.coding == REMOTE


@dataclass
class Found:
    """Files by relative path; what lies in listed directories and is of another kind; what is wrong."""

    files: list[InputFile] = field(default_factory=list)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def find_files(source: Source, suffixes: tuple[str, ...]) -> Found:
    """The files a source names. A directory stands for the files below it whose names end with one of `suffixes`,
    with or without that of a coding; hidden ones are left out. A file named outright, by a glob or by a listing file,
    is read whatever its name. A path listed twice, or two files of equal relative path below two roots, is refused:
    their documents would be the same by id."""
    found = Found()
    taken = _Taken(source.name, found)
    for entry in source.paths:
        try:
            if is_listing(entry):
                _listed(entry, source.base, taken)
            elif remote.is_remote(entry):
                _elsewhere(entry, suffixes, taken)
            else:
                _here(entry, suffixes, taken, source.type)
        except UserError as error:
            found.problems += error.problems
    found.files.sort(key=lambda file: os.fsencode(file.relative_path))
    if source.max_files and len(found.files) > source.max_files:
        left = found.left_out.setdefault("beyond max_files", LeftOut())
        for file in found.files[source.max_files :]:
            left.add(file.size)
        del found.files[source.max_files :]
    return found


class _Taken:
    """Files found so far, each once."""

    def __init__(self, source: str, found: Found) -> None:
        self._source, self.found = source, found
        self._by_path: dict[str, str] = {}
        self._by_relative: dict[str, str] = {}

    def take(self, relative: str, path: str, entry: str) -> bool:
        """Whether a file is new; its problem is noted where it is not."""
        if path in self._by_path:
            entries = f"{remote.named(self._by_path[path])!r} and {remote.named(entry)!r}"
            what = f"the same file is listed twice in source {self._source!r}, by {entries}"
            self.found.problems.append(Problem(what, remote.named(path), "list it once"))
        elif relative in self._by_relative:
            what = f"two files of source {self._source!r} have the relative path {relative!r}: their ids would be equal"
            both = f"{remote.named(self._by_relative[relative])} and {remote.named(path)}"
            self.found.problems.append(Problem(what, both, "put them into two sources, or list a directory above both"))
        else:
            self._by_path[path], self._by_relative[relative] = entry, path
            return True
        return False

    def leave_out(self, size: int) -> None:
        self.found.left_out.setdefault(_OTHERS, LeftOut()).add(size)


def _here(entry: str, suffixes: tuple[str, ...], taken: _Taken, kind: str) -> None:
    entry_path = entry.removeprefix("file://")
    problems = len(taken.found.problems)
    root, paths = _expand(entry_path, suffixes, taken.found)
    if not paths and len(taken.found.problems) == problems:
        taken.found.problems.append(_nothing(entry_path, suffixes, kind))
    for path in paths:
        absolute = str(Path(path).absolute())
        relative = os.path.relpath(path, root).replace(os.sep, "/")
        if taken.take(relative, absolute, entry):
            _add(taken.found, relative, absolute, path)


def _elsewhere(entry: str, suffixes: tuple[str, ...], taken: _Taken) -> None:
    endings = _endings(suffixes)
    files = remote.list_remote(entry, lambda name: name.lower().endswith(endings), taken.leave_out)
    if not files:
        hint = f"files looked for: *{', *'.join(suffixes)}, also compressed"
        taken.found.problems.append(Problem("the address holds no input", remote.shown(entry), hint))
    for file in files:
        if taken.take(file.relative_path, file.url, entry):
            taken.found.files.append(InputFile(file.relative_path, file.url, file.size, REMOTE, file.xxh3))


def _listed(entry: str, base: str, taken: _Taken) -> None:
    """The files of a listing; of those that are not there, the first few are told by name."""
    away, missing = [], []
    lines = read_listing(entry, base)
    if not lines:
        taken.found.problems.append(Problem("the listing names no file", entry))
    for relative, path in lines:
        if remote.is_remote(path):
            if taken.take(relative, path, entry):
                away.append((relative, path))
        elif not os.path.isfile(path):  # noqa: PTH113
            missing.append(path)
        elif taken.take(relative, str(Path(path).absolute()), entry):
            _add(taken.found, relative, str(Path(path).absolute()), path)
    if missing:
        more = f", {', '.join(missing[1:_MISSING_SHOWN])}" if len(missing) > 1 else ""
        what = f"{len(missing):,} of {len(lines):,} files of the listing are not there: {missing[0]}{more}"
        taken.found.problems.append(Problem(what, entry, "relative lines start at the source's `base`"))
    for file in remote.look_up(away):
        taken.found.files.append(InputFile(file.relative_path, file.url, file.size, REMOTE, file.xxh3))


def _endings(suffixes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(suffix + coding for suffix in suffixes for coding in ("", *CODING_SUFFIXES))


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
    endings = _endings(suffixes)
    paths: list[str] = []

    def refuse(error: OSError) -> None:
        found.problems.append(Problem(f"cannot list the directory: {error.strerror}", str(error.filename)))

    seen: set[str] = set()  # folders by their real place: links are followed, and may lead in a circle
    for folder, folders, names in os.walk(directory, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118
            if name.lower().endswith(endings) and not name.startswith("."):
                paths.append(path)
            else:
                size = os.lstat(path).st_size
                found.left_out.setdefault(_OTHERS, LeftOut()).add(size)
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
    found.files.append(InputFile(relative, absolute, status.st_size, coding))


def _missing(entry: str, path: Path) -> Problem:
    hint = "check the path; relative ones start at the current directory"
    parent = path.parent
    if parent.is_dir():
        near = difflib.get_close_matches(path.name, os.listdir(parent), n=1)  # noqa: PTH208
        if near:
            hint = f"did you mean {os.path.join(parent, near[0])}?"  # noqa: PTH118
    return Problem("no such file or directory", entry, hint)


def _nothing(entry: str, suffixes: tuple[str, ...], kind: str) -> Problem:
    if glob.has_magic(entry):
        return Problem("the glob matches no file", entry, "check it; ** spans folders")
    hint = f"files looked for: *{', *'.join(suffixes)}, also compressed"
    other = _likely(entry, kind)
    return Problem("the directory holds no input", entry, f"{hint}; did you mean type: {other}?" if other else hint)


def _likely(directory: str, kind: str) -> str:
    """The type whose files a directory holds most of; "" where it holds none."""
    counts: dict[str, int] = {}
    for _, _, names in os.walk(os.path.expanduser(directory), followlinks=False):  # noqa: PTH111
        for other, suffixes in _KINDS.items():
            if other != kind:
                counts[other] = counts.get(other, 0) + sum(n.lower().endswith(_endings(suffixes)) for n in names)
    best = max(counts, key=lambda other: counts[other], default="")
    return best if counts.get(best) else ""
