"""Units of work: an input file, a fixed slice of a large one, or a group of small ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from configs.errors import Problem


def printable(path: str) -> str:
    """A path as Unicode: bytes of a file name that are none are written `\\xe9`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Member:
    """One of the small files that make up a grouped unit. relative_path: from the source's root."""

    relative_path: str
    path: str
    size: int


@dataclass(frozen=True)
class Piece:
    """A unit before it is hashed and numbered, as a source plans it.

    relative_path: of the file, or of the first member of a group. start, end: the bytes of the file (of the stored
    file, not of what it decodes to) that hold the unit's records; for a group 0 and the sum of its sizes.
    whole: no other unit reads this file. of_file: a slice is known by the hash of the whole file, without which its
    bytes mean nothing (the footer of Parquet). xxh3: 32 hex digits that stand for the hash of an input that is not
    read before its unit is (a remote one); else "".
    """

    relative_path: str
    path: str
    start: int
    end: int
    whole: bool
    members: tuple[Member, ...] = ()
    of_file: bool = False
    xxh3: str = ""


@dataclass(frozen=True)
class Unit:
    """A unit of work. index: its place among the units of its source. size: bytes. xxh3: 32 hex digits of the xxh3-128
    of its bytes; for a group, of its members' names, sizes and hashes."""

    source: str
    index: int
    relative_path: str
    path: str
    start: int
    end: int
    size: int
    xxh3: str
    whole: bool
    members: tuple[Member, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What the unit's fingerprint holds of its input (JSON)."""
        return {
            "source": self.source,
            "relative_path": printable(self.relative_path),
            "slice": [self.start, self.end],
            "size": self.size,
            "xxh3": self.xxh3,
        }

    def __str__(self) -> str:
        last = f" to {self.members[-1].relative_path}" if len(self.members) > 1 else ""
        part = "" if self.whole else f" bytes {self.start}-{self.end}"
        return printable(f"{self.source} unit {self.index}: {self.relative_path}{last}{part}")


@dataclass
class LeftOut:
    """Inputs that a source saw and does not read, for one reason (such as `max_bytes`)."""

    files: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.files += 1
        self.bytes += size


@dataclass
class Plan:
    """What a source found: pieces in relative path and slice order, what it left out by reason, and what is wrong."""

    pieces: list[Piece] = field(default_factory=list)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def unit_path(root: Path, unit: Unit, suffix: str = ".arrow") -> Path:
    """Where a unit's output lies below `root`: named by what the unit is, not by its place among others, so that a new
    input leaves the outputs of all others where they are. Below 1,000 units per directory up to 3 million units."""
    place = f"{printable(unit.relative_path)}\0{unit.start}\0{unit.members[-1].relative_path if unit.members else ''}"
    name = xxhash.xxh3_64_hexdigest(place.encode("utf-8", "surrogateescape"))
    return Path(root) / unit.source / name[:3] / f"{name}{suffix}"
