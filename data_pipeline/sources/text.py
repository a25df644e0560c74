"""Plain text files: one document each, in any coding of bytes and of characters.

Small files share a unit. Where a group of files ends is decided by hashes of their paths, so that a file that is added
or taken away changes the groups around it and no others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import xxhash

from configs.schema.source import Source
from data_pipeline.pool import advance
from data_pipeline.sources.files import InputFile, find_files
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.sources.stored import Damaged, StoredFile
from data_pipeline.units import Member, Piece, Plan, Unit

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("lz4", "zstandard")
SUFFIXES = (".txt", ".text", ".md", ".rst")

_UNIT_BYTES = 16_000_000
# What opening a file costs, in bytes: so that empty files fill a unit too.
_FILE_COST = 4096


def plan(source: Source, unit_bytes: int) -> Plan:
    """Groups the files into units of at most `unit_bytes` or 16 MB, whichever is less; larger files stand alone."""
    found = find_files(source, SUFFIXES)
    pieces = []
    for group in _groups(found.files, min(unit_bytes, _UNIT_BYTES)):
        first = group[0]
        if len(group) == 1:
            pieces.append(Piece(first.relative_path, first.path, 0, first.size, whole=True, xxh3=first.xxh3))
            continue
        members = tuple(Member(file.relative_path, file.path, file.size) for file in group)
        size = sum(file.size for file in group)
        pieces.append(Piece(first.relative_path, first.path, 0, size, whole=True, members=members))
    return Plan(pieces, found.left_out, found.problems)


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
    """One record per file, offset 0. A file over the limit is measured and not held."""
    for member in unit.members or [Member(unit.relative_path, unit.path, unit.size)]:
        if not member.size and unit.members:
            tally.records += 1
            tally.damage("empty file", member.relative_path, 0, "0 bytes")
        if not member.size:
            continue
        record = _record(member, limits, tally)
        if record is not None:
            yield record


def _record(member: Member, limits: Limits, tally: SourceTally) -> Record | None:
    def told(by: int) -> None:
        tally.input_bytes += by
        advance(by)

    tally.records += 1
    with StoredFile(member.path, told=told) as file:
        try:
            data = file.read(limits.page_bytes + 1)
            if len(data) <= limits.page_bytes:
                return Record(member.relative_path, 0, plain=data)
            size = len(data)
            del data
            while piece := file.skip(1 << 30):
                size += piece
            return Record(member.relative_path, 0, too_large=size)
        except Damaged as damage:
            tally.damage("stream", member.relative_path, damage.offset, damage.message)
    return None


def _groups(files: list[InputFile], unit_bytes: int) -> Iterator[list[InputFile]]:
    group: list[InputFile] = []
    size = 0
    for file in files:
        cost = file.size + _FILE_COST
        if group and (size + cost > unit_bytes or file.remote or group[-1].remote):
            yield group
            group, size = [], 0
        group.append(file)
        size += cost
        # Behind each file a group ends with a probability that goes with its size: half a unit's bytes on average.
        chance = xxhash.xxh3_64_intdigest(os.fsencode(file.relative_path)) / 2**64
        if chance < 2 * cost / unit_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group
