"""A file exists whole or not at all: written under a name of this attempt alone, fsynced, renamed."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash

PARTIAL = ".partial"
"""Ends the temporary names, `.{name}.{host}.{process}.{lot}.partial`: what a killed attempt leaves is found by it."""


def attempt_path(path: Path) -> Path:
    """A hidden name beside `path` that no other attempt has: its file becomes `path` by a rename."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(6)}{PARTIAL}")


@contextmanager
def whole_or_absent(path: Path) -> Iterator[Path]:
    """Yields the temporary path to write to; on a clean exit it becomes `path`, on an exception it is removed."""
    make_directory(path.parent)
    temporary = attempt_path(path)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_directory(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_directory(path: Path) -> None:
    """Creates `path` and what is missing above it, readable by its owner only (mode 0700): corpora are private."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)


def fsync_directory(path: Path) -> None:
    """Makes a rename inside `path` survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_xxh3(path: Path) -> str:
    """xxh3-128 of a file's bytes, hex. Arrow has no checksum of its own: a flipped bit reads back as wrong tokens."""
    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
