"""Finished files to where others read them: a directory, or a store that fsspec reaches (s3, gs, hf, ...).

Each file is put once, whole, and then a small file beside it, `{name}.xxh3`, with its hash and size. A file whose
size and hash are there already is left alone: so a publication that was broken off goes on where it stopped, and giving
the command twice does nothing twice. On file systems that show a file while it is written, it is written under another
name first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import xxhash

from configs.errors import MachineError, Problem, TryLater, UserError
from data_pipeline.documents_manifest import DOCUMENTS, load_documents_manifest
from data_pipeline.progress import Progress
from data_pipeline.shards import load_manifest
from data_pipeline.shards.atomic import PARTIAL
from data_pipeline.shards.manifest import MANIFEST
from data_pipeline.sources.remote import file_system, shown

SIDECAR = ".xxh3"

_CHUNK = 1 << 20
_TRIES = 5
_BACKOFF_SECONDS = 0.5
_SHOWN_WHILE_WRITTEN = frozenset({"file", "local", "memory", "sftp", "ssh", "smb", "hdfs", "ftp"})


@dataclass
class Published:
    """Files and bytes put, and those that were there."""

    put: int = 0
    put_bytes: int = 0
    present: int = 0


def publish(files: Iterable[tuple[Path, str]], target: str, told: Callable[[int], None] = lambda by: None) -> Published:
    """Puts files below `target`, in their order (so the file that speaks of all others comes last).

    files: (path here, name there with `/` between folders). target: a directory or an address. told: called with the
    bytes of each file that is done. UserError: no such store, or it refuses. MachineError: a file here cannot be read.
    TryLater: the store does not answer.
    """
    system, root = file_system(target if "://" in target else f"file://{Path(target).expanduser().absolute()}")
    protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    done = Published()
    for path, name in files:
        if ".." in name.split("/") or name.startswith("/"):
            raise ValueError(f"{name!r} leads out of the target")
        place = f"{root.rstrip('/')}/{name}"
        size, digest = _hash(path)
        record = orjson.dumps({"bytes": size, "xxh3": digest}, option=orjson.OPT_APPEND_NEWLINE)
        if _try(partial(_same, system, place, record, size), place):
            done.present += 1
        else:
            hidden = bool(protocols & _SHOWN_WHILE_WRITTEN)
            _try(partial(_put, system, path, place, record, hidden), place)
            done.put, done.put_bytes = done.put + 1, done.put_bytes + size
        told(size)
    return done


def publish_corpus(directory: Path, target: str, progress: Progress) -> str:
    """Publishes a finished corpus, its manifest last; returns a line that says what was done. Errors as `publish`."""
    files = corpus_files(directory)
    with progress.stage("publish", sum(path.stat().st_size for path, _ in files)) as stage:
        done = publish(files, target, stage.advance)
    there = f", {done.present:,} were there" if done.present else ""
    return f"{shown(target)}: {done.put:,} files put{there}"


def corpus_files(directory: Path) -> list[tuple[Path, str]]:
    """The files of a corpus of shards or documents, the one that speaks of all others last."""
    if (directory / DOCUMENTS).exists() and not (directory / MANIFEST).exists():
        names = [*(entry.path for entry in load_documents_manifest(directory).files), DOCUMENTS]
    else:
        manifest = load_manifest(directory)
        shards = [entry.path for entries in manifest.splits.values() for entry in entries]
        names = [manifest.tokenizer_path, *shards, MANIFEST]
    return [(directory / name, name) for name in names]


def problems(target: str) -> list[Problem]:
    """What is wrong with an address to publish to; the store is not asked."""
    if "://" not in target:
        return []
    parts = urlsplit(target)
    if parts.username or parts.password:
        what = "the address holds a name or password: it would stand in saved configurations"
        return [Problem(what, shown(target), "give credentials in the environment")]
    try:
        file_system(target)
    except UserError as error:
        return error.problems
    return []


def _same(system: Any, place: str, record: bytes, size: int) -> bool:
    try:
        return bool(system.cat_file(place + SIDECAR) == record and system.info(place)["size"] == size)
    except FileNotFoundError:
        return False


def _put(system: Any, path: Path, place: str, record: bytes, hidden: bool) -> None:
    system.makedirs(place.rpartition("/")[0], exist_ok=True)
    if system.exists(place + SIDECAR):
        system.rm_file(place + SIDECAR)  # it would speak of another file while this one is put
    if hidden:
        folder, _, name = place.rpartition("/")
        attempt = f"{folder}/.{name}{PARTIAL}"
        system.put_file(str(path), attempt)
        if system.exists(place):
            system.rm_file(place)
        system.mv(attempt, place)
    else:
        system.put_file(str(path), place)
    system.pipe_file(place + SIDECAR, record)


def _hash(path: Path) -> tuple[int, str]:
    digest, size = xxhash.xxh3_128(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise MachineError(f"cannot read: {error.strerror or error}", str(path), go_on="make it again") from error
    return size, digest.hexdigest()


def _try(call: Callable[[], Any], place: str) -> Any:
    for tried in range(1, _TRIES + 1):
        try:
            return call()
        except Exception as error:  # each store's library has errors of its own
            if tried == _TRIES or isinstance(error, PermissionError):
                raise TryLater(
                    f"cannot publish: {type(error).__name__}: {str(error)[:300]}",
                    where=shown(place),
                    saved="every file published before",
                    go_on="see to the store and its credentials, then give the same command again",
                ) from error
            time.sleep(_BACKOFF_SECONDS * 2**tried)
    raise AssertionError
