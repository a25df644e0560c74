"""From a token to the document it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from configs.errors import MachineError, Problem, UserError
from data_pipeline.shards import Manifest, ShardEntry, ShardReader, load_manifest

FORMS = "N, SPLIT:N, SPLIT/SOURCE:N or SHARD:N"

_CONTEXT_TOKENS = 16


@dataclass(frozen=True)
class Location:
    """Where a token lies. token: its id. Offsets count tokens, in the shard and in its document. text: around it."""

    token: int
    piece: str
    document_id: str
    url: str
    source: str
    split: str
    shard: str
    offset_in_shard: int
    document_in_shard: int
    offset_in_document: int
    document_tokens: int
    text: str


def locate(directory: Path, token: str) -> Location:
    """The document that token belongs to.

    token: `N` counts through the training split in manifest order, `validation:N` through another split,
    `train/books:N` through one source of it (as `pretrain` reads it), `shards/train/books-00000.arrow:N` in one shard.
    UserError: no such token. MachineError: a damaged corpus.
    """
    manifest = load_manifest(directory)
    split, entries, index = _parse(token, manifest)
    total = sum(entry.tokens for entry in entries)
    if index >= total:
        raise UserError(Problem(f"there is no token {index:,}: {split} has {total:,}", token, "tokens count from 0"))
    for entry in entries:
        if index < entry.tokens:
            return _read(directory, manifest, entry, index)
        index -= entry.tokens
    raise AssertionError("the sum of tokens was checked")


def _parse(token: str, manifest: Manifest) -> tuple[str, list[ShardEntry], int]:
    match = re.fullmatch(r"(?:(.+):)?([0-9][0-9_,]*)", token)
    if match is None:
        raise UserError(Problem(f"{token!r} does not name a token", "", f"write {FORMS}, N counting from 0"))
    place, index = match[1] or "train", int(re.sub("[_,]", "", match[2]))
    split, _, source = place.partition("/")
    every = [entry for shards in manifest.splits.values() for entry in shards]
    if place in manifest.splits:
        entries = manifest.splits[place]
    elif split in manifest.splits and source in manifest.sources:
        entries = [entry for entry in manifest.splits[split] if entry.source == source]
    else:
        entries = [entry for entry in every if entry.path == place or Path(entry.path).name == place][:1]
        if not entries:
            known = ", ".join([*manifest.splits, *(f"train/{name}" for name in manifest.sources)])
            raise UserError(Problem(f"the corpus has no {place!r}", token, f"write {FORMS}; it has {known}"))
    return place, entries, index


def _read(directory: Path, manifest: Manifest, entry: ShardEntry, index: int) -> Location:
    from data_pipeline.tokenize.codec import Codec

    reader = ShardReader(directory / entry.path)
    if index >= len(reader.tokens):
        raise MachineError(
            f"the shard holds {len(reader.tokens):,} tokens, the manifest says {entry.tokens:,}",
            str(reader.path),
            go_on="see what else is damaged: millrace data verify",
        )
    codec = Codec.load(directory / manifest.tokenizer_path)
    document = reader.document_at(index)
    start, end = int(reader.offsets[document]), int(reader.offsets[document + 1])
    around = reader.tokens[max(start, index - _CONTEXT_TOKENS) : min(end, index + _CONTEXT_TOKENS + 1)]
    return Location(
        token=int(reader.tokens[index]),
        piece=codec.piece(int(reader.tokens[index])),
        document_id=reader.doc_id(document).hex(),
        url=reader.url(document),
        source=reader.source,
        split=reader.info.split,
        shard=entry.path,
        offset_in_shard=index,
        document_in_shard=document,
        offset_in_document=index - start,
        document_tokens=end - start,
        text=codec.decode(around),
    )
