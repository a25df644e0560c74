"""Is this corpus what its manifest says? Everything is read again: Arrow files carry no checksum of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from configs.errors import MachineError, Problem, UserError
from data_pipeline import account
from data_pipeline.documents_manifest import DOCUMENTS
from data_pipeline.progress import Progress
from data_pipeline.shards.atomic import file_xxh3
from data_pipeline.shards.manifest import MANIFEST, Manifest, ShardEntry, parse_manifest
from data_pipeline.shards.reader import ShardReader
from data_pipeline.tokenize.codec import Codec


@dataclass
class Verification:
    """What was checked and what is wrong. bytes: read from shards."""

    corpus_id: str = ""
    shards: int = 0
    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def counted(self) -> str:
        """How much was checked, in a few words."""
        return f"{self.shards:,} shards, {self.documents:,} documents, {self.tokens:,} tokens, {self.bytes:,} bytes"


def verify(directory: Path, report: Progress) -> Verification:
    """Rereads manifest, tokenizer and every shard. UserError: there is no corpus in `directory`."""
    found = Verification()
    path = directory / MANIFEST
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        hint = "name the directory that `millrace data run` wrote (data.dir)"
        raise UserError(Problem("no corpus here: manifest.json is missing", str(path), hint)) from None
    try:
        manifest = parse_manifest(data, str(path))
    except MachineError as error:
        found.problems.append(Problem(error.what, error.where))
        return found
    found.corpus_id = manifest.corpus_id
    if data != manifest.to_json():
        found.problems.append(Problem("its bytes are not those it was written with", str(path)))
    found.problems += [Problem(what, str(path)) for what in _sums(manifest)]
    found.problems += stats(directory, manifest.corpus_id)
    found.problems += _tokenizer(directory, manifest)
    entries = [(split, entry) for split, shards in manifest.splits.items() for entry in shards]
    with report.stage("verify", sum(entry.bytes for _, entry in entries)) as stage:
        for split, entry in entries:
            where = str(directory / entry.path)
            found.problems += [Problem(what, where) for what in _shard(directory, split, entry, manifest)]
            found.shards += 1
            found.documents += entry.documents
            found.tokens += entry.tokens
            found.bytes += entry.bytes
            stage.advance(entry.bytes)
    listed = {directory / entry.path for _, entry in entries}
    for extra in sorted((directory / "shards").rglob("*")):
        if extra.is_file() and extra not in listed and not extra.name.startswith("."):
            found.problems.append(Problem("not in the manifest", str(extra)))
    return found


def _sums(manifest: Manifest) -> Iterator[str]:
    entries = [entry for shards in manifest.splits.values() for entry in shards]
    yield from sums(manifest.stages, sum(entry.documents for entry in entries), "shards")
    if len({entry.path for entry in entries}) != len(entries):
        yield "a shard is listed twice"


def sums(stages: Sequence[account.Stage], documents: int, files: str) -> Iterator[str]:
    """What does not add up: documents in = kept + rejected at every stage, what one stage keeps, with its copies, the
    next one gets, and the last one kept the `documents` that the `files` hold."""
    before: dict[str, Any] | None = None
    for stage in stages:
        for what in ("documents", "bytes"):
            count, name = stage[what], stage["name"]
            rejected = sum(count["rejected"].values())
            # Extraction and cleaning change texts, so their bytes do not add up.
            if count["in"] != count["kept"] + rejected and (
                what == "documents" or name in ("filter", "dedup", "balance", "shards")
            ):
                yield f"stage {name}: {count['in']:,} {what} in, {count['kept']:,} kept, {rejected:,} rejected"
            if before is not None and (given := account.handed_on(before, what)) != count["in"]:
                yield f"stage {before['name']} handed on {given:,} {what}, stage {name} got {count['in']:,}"
        before = stage
    if before is not None and (given := account.handed_on(before)) != documents:
        yield f"stage {before['name']} kept {given:,} documents, the {files} hold {documents:,}"


def stats(directory: Path, corpus_id: str) -> Iterator[Problem]:
    """What is wrong with stats.json: it is that of the last run, whichever product that had."""
    path = directory / "stats.json"
    try:
        told = orjson.loads(path.read_bytes())["corpus_id"]
    except FileNotFoundError:
        return  # a corpus may travel without its statistics
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield Problem(f"cannot be read: {error}", str(path))
        return
    if told not in (corpus_id, *_named(directory / MANIFEST), *_named(directory / DOCUMENTS)):
        yield Problem(f"belongs to corpus {told}, the manifest is that of {corpus_id}", str(path))


def _named(path: Path) -> list[str]:
    """The corpus id that a manifest gives itself, if it can be read."""
    try:
        return [str(orjson.loads(path.read_bytes())["corpus_id"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _tokenizer(directory: Path, manifest: Manifest) -> Iterator[Problem]:
    path = directory / manifest.tokenizer_path
    try:
        digest, size = file_xxh3(path), path.stat().st_size
    except OSError as error:
        yield Problem(f"cannot be read: {error.strerror or error}", str(path))
        return
    pairs: dict[str, tuple[object, object]] = {
        "xxh3": (digest, manifest.tokenizer_hash),
        "size": (size, manifest.tokenizer_bytes),
    }
    if digest == manifest.tokenizer_hash:  # a damaged model is not handed to the library
        try:
            codec = Codec.load(path)
        except UserError as error:
            yield from error.problems
            return
        pairs["vocabulary"] = (codec.vocab_size, manifest.vocab_size)
        pairs["end-of-document id"] = (codec.end_of_document, manifest.end_of_document)
    for name, (got, want) in pairs.items():
        if want != got:
            yield Problem(f"{name} is {got}, the manifest says {want}", str(path))


def _shard(directory: Path, split: str, entry: ShardEntry, manifest: Manifest) -> Iterator[str]:
    path = directory / entry.path
    try:
        size = path.stat().st_size
        if size != entry.bytes:
            yield f"{size:,} bytes, the manifest says {entry.bytes:,}"
            return
        if (digest := file_xxh3(path)) != entry.xxh3:
            yield f"xxh3 is {digest}, the manifest says {entry.xxh3}"
            return
        # From here on the bytes are those that were written: what is found now was written wrong.
        reader = ShardReader(path)
        yield from _content(reader, split, entry, manifest)
    except OSError as error:
        yield f"cannot be read: {error.strerror or error}"
    except UserError as error:
        yield from (problem.what for problem in error.problems)
    except MachineError as error:
        yield error.what


def _content(reader: ShardReader, split: str, entry: ShardEntry, manifest: Manifest) -> Iterator[str]:
    info, tokens, offsets = reader.info, reader.tokens, reader.offsets
    pairs = {
        "source": (info.source, entry.source),
        "split": (info.split, split),
        "tokenizer": (info.tokenizer_hash, manifest.tokenizer_hash),
        "vocabulary": (info.vocab_size, manifest.vocab_size),
        "end-of-document id": (info.end_of_document, manifest.end_of_document),
        "number of documents": (reader.documents, entry.documents),
        "number of tokens": (len(tokens), entry.tokens),
    }
    for name, (got, want) in pairs.items():
        if got != want:
            yield f"{name} is {got}, the manifest says {want}"
    try:
        reader.validate()
    except (pa.ArrowException, ValueError) as error:
        yield f"not a valid Arrow batch: {error}"
        return
    if (np.diff(offsets) < 1).any():
        yield "a document without tokens"
    if len(tokens) and int(tokens.max()) >= info.vocab_size:
        yield f"token id {int(tokens.max())} outside a vocabulary of {info.vocab_size}"
    ends = np.flatnonzero(tokens == info.end_of_document)
    if not np.array_equal(ends, offsets[1:] - 1):
        yield "end-of-document ids do not stand at the ends of the documents, and there alone"
