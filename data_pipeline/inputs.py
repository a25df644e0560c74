"""The inputs of a configuration as numbered units, each with the hash of its bytes.

The list of units is a function of the configuration and of the bytes of the inputs alone. Modification times only
key the cache of hashes, which may be deleted at any time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import orjson
import xxhash

from configs.errors import Problem, UserError
from configs.schema.tree import Config
from data_pipeline.output import write_json
from data_pipeline.progress import Progress
from data_pipeline.sources.registry import reader_of
from data_pipeline.sources.remote import is_remote, named
from data_pipeline.units import LeftOut, Piece, Plan, Unit, printable

_HASH_CHUNK = 1 << 20


@dataclass(frozen=True)
class Listing:
    """All units of a corpus, and what each source left out: by source, then by reason."""

    units: list[Unit]
    left_out: dict[str, dict[str, LeftOut]]


def list_units(config: Config, cache: Path | None = None) -> list[Unit]:
    """Units by source as configured, then relative path, then slice. cache: a file of hashes known from earlier runs
    (deletable). Raises UserError with everything wrong about the inputs."""
    return list_inputs(config, cache).units


def list_inputs(config: Config, cache: Path | None = None, report: Progress | None = None) -> Listing:
    """As `list_units`, with what was left out. report: where the hashing of the inputs shows how far it is."""
    plans = plan_sources(config)
    problems = [problem for plan in plans for problem in plan.problems]
    if problems:
        raise UserError(*problems)
    pieces = [(source, piece) for source, plan in zip(config.sources, plans, strict=True) for piece in plan.pieces]
    hashes = _hashes([piece for _, piece in pieces], cache, report or Progress(quiet=True))
    units, counts = [], dict.fromkeys((source.name for source in config.sources), 0)
    for (source, piece), xxh3 in zip(pieces, hashes, strict=True):
        units.append(
            Unit(
                source=source.name,
                index=counts[source.name],
                relative_path=piece.relative_path,
                path=piece.path,
                start=piece.start,
                end=piece.end,
                size=piece.end - piece.start,
                xxh3=xxh3,
                whole=piece.whole,
                members=piece.members,
            )
        )
        counts[source.name] += 1
    return Listing(units, {source.name: plan.left_out for source, plan in zip(config.sources, plans, strict=True)})


def plan_sources(config: Config) -> list[Plan]:
    """One plan per source. Inputs are looked up and cut, not hashed."""
    plans = [reader_of(source.type).plan(source, config.data.unit_bytes) for source in config.sources]
    seen: dict[str, str] = {}
    for source, plan in zip(config.sources, plans, strict=True):
        for path in {member.path for piece in plan.pieces for member in piece.members or [piece]}:
            other = seen.setdefault(path if is_remote(path) else os.path.realpath(path), source.name)
            if other != source.name:
                what = f"the same file is listed twice, by sources {other!r} and {source.name!r}"
                plan.problems.append(Problem(what, named(path), "list it in one source only"))
    return plans


def hash_range(path: str, start: int, end: int) -> str:
    """32 hex digits: xxh3-128 of the bytes [start, end) of a file."""
    digest = xxhash.xxh3_128()
    with Path(path).open("rb") as file:
        file.seek(start)
        left = end - start
        while left > 0 and (chunk := file.read(min(_HASH_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


class _HashCache:
    """Hashes by path, slice, size, times and inode: saves reading unchanged inputs again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        self._used: dict[str, str] = {}
        if path is not None:
            try:
                known = orjson.loads(Path(path).read_bytes())
                self._known = {str(key): str(value) for key, value in known.items()}
            except (OSError, ValueError, AttributeError):
                pass  # absent or damaged: hash again

    def hash(self, path: str, start: int, end: int) -> str:
        status = Path(path).stat()
        times = f"{status.st_mtime_ns}|{status.st_ctime_ns}"
        key = f"{printable(path)}|{start}|{end}|{status.st_size}|{times}|{status.st_ino}"
        value = self._known.get(key) or self._used.get(key) or hash_range(path, start, end)
        self._used[key] = value
        return value

    def save(self) -> None:
        if self._path is not None and self._used != self._known:
            write_json(self._path, self._used)


def _hashes(pieces: Sequence[Piece], cache_path: Path | None, report: Progress) -> list[str]:
    cache = _HashCache(cache_path)

    def of(piece: Piece) -> str:
        try:
            if piece.xxh3:
                return piece.xxh3
            if piece.of_file:
                return cache.hash(piece.path, 0, Path(piece.path).stat().st_size)
            if not piece.members:
                return cache.hash(piece.path, piece.start, piece.end)
            digest = xxhash.xxh3_128()
            for member in piece.members:
                row = f"{member.relative_path}\0{member.size}\0{cache.hash(member.path, 0, member.size)}\n"
                digest.update(row.encode("utf-8", "surrogateescape"))
            return digest.hexdigest()
        except OSError as error:
            what = f"cannot read the input: {error.strerror or error}"
            raise UserError(Problem(what, str(error.filename))) from error

    # Hashing releases the interpreter lock, and a few reads in flight keep a disk or network file system busy.
    with ThreadPoolExecutor(max_workers=4) as threads:
        hashes = []
        with report.stage("list", sum(piece.end - piece.start for piece in pieces)) as stage:
            for piece, digest in zip(pieces, threads.map(of, pieces), strict=True):
                hashes.append(digest)
                stage.advance(piece.end - piece.start)
    cache.save()
    return hashes
