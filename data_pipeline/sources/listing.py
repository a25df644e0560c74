"""Listing files: one path per line, as crawls publish theirs (`wet.paths.gz`)."""

from __future__ import annotations

import os
import urllib.parse
import zlib
from collections.abc import Iterator
from pathlib import Path

from configs.errors import Problem, UserError
from data_pipeline.sources.remote import is_remote, read_small, shown
from data_pipeline.sources.stored import Damaged, StoredFile

SUFFIXES = (".paths", ".paths.gz")

_LINE_BYTES = 1 << 16
_MAX_LINES = 10_000_000
_REMOTE_BYTES = 64_000_000


def is_listing(entry: str) -> bool:
    """Whether an entry of `paths` names a list of paths: by a leading `@`, or by its name."""
    return entry.startswith("@") or entry.lower().endswith(SUFFIXES)


def read_listing(entry: str, base: str) -> list[tuple[str, str]]:
    """(relative path, path or address) of each line; blank lines and those that begin with `#` are none.

    base: what relative lines start at; empty: where the listing lies. The relative path of a document is the line
    itself, of an absolute one its path without the leading `/`. UserError: no listing, or a damaged one.
    """
    path = entry.removeprefix("@")
    base = base or _folder(path)
    found = []
    for line in _lines(path):
        if is_remote(line):
            found.append((urllib.parse.unquote(urllib.parse.urlsplit(line).path).lstrip("/"), line))
        elif line.startswith("/"):
            found.append((line.lstrip("/"), line))
        elif ".." in line.split("/"):
            raise UserError(Problem(f"a line leads out of the base: {line[:200]!r}", shown(path), "write it in full"))
        elif is_remote(base):
            found.append((line, f"{base.rstrip('/')}/{line}"))
        else:
            found.append((line, os.path.join(os.path.expanduser(base), line)))  # noqa: PTH111, PTH118
    return found


def _lines(path: str) -> Iterator[str]:
    data = _remote_lines(path) if is_remote(path) else _local_lines(path)
    for count, raw in enumerate(data):
        if count >= _MAX_LINES:
            raise UserError(Problem(f"the listing has over {_MAX_LINES:,} lines", shown(path)))
        line = os.fsdecode(raw.strip())
        if line and not line.startswith("#"):
            yield line


def _local_lines(path: str) -> Iterator[bytes]:
    try:
        with StoredFile(os.path.expanduser(path)) as file:  # noqa: PTH111
            while (line := file.line(_LINE_BYTES)).size:
                if line.size > _LINE_BYTES:
                    raise UserError(Problem(f"a line of {line.size:,} bytes is no path", path, "is it a listing?"))
                yield line.data
    except OSError as error:
        raise UserError(Problem(f"cannot read the listing: {error.strerror}", path)) from error
    except Damaged as error:
        raise UserError(Problem(f"the listing is damaged at byte {error.offset}: {error.message}", path)) from error


def _remote_lines(path: str) -> Iterator[bytes]:
    data = read_small(path, _REMOTE_BYTES)
    if data.startswith(b"\x1f\x8b"):
        inflate = zlib.decompressobj(wbits=31)
        try:
            data = inflate.decompress(data, 16 * _REMOTE_BYTES)
        except zlib.error as error:
            raise UserError(Problem(f"the listing is damaged: {error}", shown(path))) from error
        if not inflate.eof:
            raise UserError(Problem("the listing is cut, or too large", shown(path)))
    yield from data.splitlines()


def _folder(path: str) -> str:
    return path.rpartition("/")[0] if is_remote(path) else str(Path(path).parent)
