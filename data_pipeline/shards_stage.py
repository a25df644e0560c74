"""Documents -> shards. A job writes one shard: one split of one source, from consecutive units.

Units of a source are taken in order, for each split by itself, until the text they give that split reaches
`target_text_bytes`; the last shard takes what remains. So the grouping is known before anything is encoded, and new
units at the end leave all shards but the last as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from configs.errors import MachineError, UserError
from configs.schema.tree import Config
from data_pipeline.draw import copy_lots
from data_pipeline.kept import kept_batches, kept_content
from data_pipeline.output import fingerprint, write_json
from data_pipeline.pool import advance
from data_pipeline.shards.atomic import PARTIAL
from data_pipeline.shards.manifest import ShardEntry, shard_path
from data_pipeline.shards.reader import ShardReader
from data_pipeline.shards.schema import FORMAT_VERSION, SPLITS, token_dtype
from data_pipeline.shards.writer import ShardWriter
from data_pipeline.splits import read_lots
from data_pipeline.tokenize.codec import Codec
from data_pipeline.tokenizer_stage import TOKENIZER_PATH
from data_pipeline.units import Unit

VERSION = 1
"""Of the rules in this file; part of every shard's fingerprint."""

TEXT_BYTES_PER_TOKEN = 4
"""What a token is taken to stand for when `shards.target_bytes` is translated to bytes of text. A constant, so that the
borders of shards depend on neither the tokenizer's training nor on the text."""

TOO_LONG = "max_document_tokens"

_ENCODE_BYTES = 1 << 20


@dataclass(frozen=True)
class ShardJob:
    """One shard to be. units: those that give it documents, in order. text_bytes: of these documents."""

    out: Path
    source: str
    split: str
    index: int
    units: tuple[Unit, ...]
    text_bytes: int
    max_document_tokens: int
    tokenizer_hash: str
    fingerprint: str

    @property
    def path(self) -> str:
        """Relative to the corpus."""
        return shard_path(self.source, self.split, self.index)

    @property
    def record(self) -> Path:
        """What is known of the shard without reading it: its fingerprint, manifest entry and counts."""
        return self.out / "work" / Path(self.path).with_suffix(".json")

    def __str__(self) -> str:
        return self.path


def target_text_bytes(target_bytes: int, vocab_size: int) -> int:
    """Bytes of text at which a shard is full: tokens that fit `target_bytes`, times TEXT_BYTES_PER_TOKEN."""
    return max(1, target_bytes // token_dtype(vocab_size).itemsize * TEXT_BYTES_PER_TOKEN)


def plan_shards(
    config: Config, out: Path, units: Sequence[Unit], lots: Sequence[dict[str, Any]], codec: Codec
) -> list[ShardJob]:
    """The shards of the corpus: by split, then source, then index. lots: summaries of the units' lots."""
    target = target_text_bytes(config.shards.target_bytes, codec.vocab_size)
    jobs = []
    for split in SPLITS:
        for source in config.sources:
            mine = [
                (unit, found)
                for unit, found in zip(units, lots, strict=True)
                if unit.source == source.name and found[split]["documents"]
            ]
            for index, group in enumerate(_groups([found[split]["bytes"] for _, found in mine], target)):
                chosen = [mine[place] for place in group]
                mark = fingerprint(
                    stage="shards",
                    version=VERSION,
                    format=FORMAT_VERSION,
                    source=source.name,
                    split=split,
                    max_document_tokens=config.shards.max_document_tokens,
                    tokenizer=codec.hash,
                    versions=versions(),
                    units=[_known(out, unit, found) for unit, found in chosen],
                )
                jobs.append(
                    ShardJob(
                        out=out,
                        source=source.name,
                        split=split,
                        index=index,
                        units=tuple(unit for unit, _ in chosen),
                        text_bytes=sum(found[split]["bytes"] for _, found in chosen),
                        max_document_tokens=config.shards.max_document_tokens,
                        tokenizer_hash=codec.hash,
                        fingerprint=mark,
                    )
                )
    return jobs


def _known(out: Path, unit: Unit, lots: dict[str, Any]) -> list[str]:
    """What decides the documents that a unit gives, and how often."""
    mark = [lots["mark"]] if lots["mark"] else []
    return [kept_content(out, unit), lots["content"], *mark]


def _groups(sizes: Sequence[int], target: int) -> Iterator[list[int]]:
    """Places of consecutive sizes that together first reach `target`; then what remains."""
    group: list[int] = []
    total = 0
    for place, size in enumerate(sizes):
        group.append(place)
        total += size
        if total >= target:
            yield group
            group, total = [], 0
    if group:
        yield group


def process(job: ShardJob) -> dict[str, Any]:
    """Encodes and writes one shard. Returns its manifest entry (None if every document was too long) and counts."""
    codec = _codec(str(job.out / TOKENIZER_PATH), job.tokenizer_hash)
    lots: list[int] = []
    rejected: list[dict[str, Any]] = []
    with ShardWriter(
        job.out / job.path,
        job.source,
        job.split,
        codec.vocab_size,
        codec.end_of_document,
        codec.hash,
        scratch_dir=scratch(job.out),
        fingerprint=job.fingerprint,
    ) as writer:
        for lot, doc_id, url, text, tokens in _encoded(job, codec):
            if len(tokens) > job.max_document_tokens:
                size = len(text.encode("utf-8"))
                rejected.append({"id": doc_id.hex(), "tokens": len(tokens), "bytes": size, "url": url})
                continue
            writer.append(doc_id, url, tokens)
            lots.append(lot)
        # Ties of 64-bit lots fall to the order of units: stable, so the bytes are the same every time.
        order = np.argsort(np.array(lots, np.uint64), kind="stable")
        gone = sum(row["bytes"] for row in rejected)
        result: dict[str, Any] = {
            "entry": None,
            "documents": _count(len(lots), len(rejected)),
            "bytes": _count(job.text_bytes - gone, gone),
            "rejected": rejected,
        }

        def note(entry: ShardEntry | None) -> None:
            result["entry"] = entry and asdict(entry)
            write_json(job.record, {"fingerprint": job.fingerprint, "result": result})

        # The record first: a shard in its place then is a finished one, whenever this process dies.
        if lots:
            writer.close(order, before_rename=note)
        else:
            note(None)
    return result


def _count(kept: int, rejected: int) -> dict[str, Any]:
    return {"in": kept + rejected, "kept": kept, "rejected": {TOO_LONG: rejected} if rejected else {}}


def finished(job: ShardJob) -> dict[str, Any] | None:
    """The result of a job whose shard is there whole with an equal fingerprint, else None. Tokens are not reread."""
    try:
        known = orjson.loads(job.record.read_bytes())
        if known["fingerprint"] != job.fingerprint:
            return None
        result = known["result"]
        if result["entry"] is not None:
            entry = ShardEntry(**result["entry"])
            path = job.out / job.path
            if path.stat().st_size != entry.bytes or ShardReader(path).info.fingerprint != job.fingerprint:
                return None
        return result
    except (OSError, ValueError, KeyError, TypeError, UserError, MachineError):
        return None


def _encoded(job: ShardJob, codec: Codec) -> Iterator[tuple[int, bytes, str, str, np.ndarray]]:
    """(lot, id, url, text, tokens) of the shard's documents, in the order of units. Copies of a document have lots of
    their own and lie anywhere in the shard."""
    split = SPLITS.index(job.split)
    for unit in job.units:
        found = read_lots(job.out, unit)
        start = 0
        for batch in kept_batches(job.out, unit):
            rows = np.flatnonzero(found.split[start : start + len(batch)] == split)
            for part in _portions(rows, found.bytes[start + rows]):
                few = batch.select(["id", "text", "url"]).take(pa.array(part))
                texts = few.column("text").to_pylist()
                ids, urls = few.column("id").to_pylist(), few.column("url").to_pylist()
                rest = zip(ids, urls, texts, codec.encode_batch(texts), strict=True)
                copies, lots = found.copies[start + part], found.lot[start + part]
                for number, lot, one in zip(copies.tolist(), lots, rest, strict=True):
                    yield int(lot), *one
                    for copy in range(1, number):
                        yield int(copy_lots(lot[None], copy)[0]), *one
                advance(int((found.bytes[start + part] * copies).sum()))
            start += len(batch)


def _portions(rows: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Rows in runs of about _ENCODE_BYTES of text: ids come from the library as objects many times their size."""
    if len(rows):
        yield from np.split(rows, np.flatnonzero(np.diff(np.cumsum(sizes) // _ENCODE_BYTES)) + 1)


@functools.lru_cache(maxsize=1)
def _codec(path: str, expected_hash: str) -> Codec:
    codec = Codec.load(path)
    if codec.hash != expected_hash:
        raise ValueError(f"{path} changed while shards were being written")
    return codec


def versions() -> dict[str, str]:
    """Libraries whose version decides the ids or the bytes of a shard."""
    return {name: version(name) for name in ("pyarrow", "sentencepiece")}


def scratch(out: Path) -> Path:
    """Where tokens wait for their shard."""
    return out / "work" / "scratch"


def stale_files(out: Path, jobs: Sequence[ShardJob]) -> list[Path]:
    """Shards in the corpus that none of the jobs writes: left by another configuration."""
    expected = {out / job.path for job in jobs}
    found = sorted((out / "shards").glob("*/*"))
    return [path for path in found if path not in expected and not path.name.endswith(PARTIAL)]
