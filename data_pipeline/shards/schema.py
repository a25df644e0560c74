"""The shard's format: one Arrow IPC stream file, uncompressed, holding exactly one record batch.

| column   | type                           | one row per document                               |
|----------|--------------------------------|----------------------------------------------------|
| tokens   | large_list<uint16 or uint32>   | encode(text), then the end-of-document id          |
| doc_id   | fixed_size_binary(16)          | the document's id through the whole road           |
| url      | large_string                   | where it came from; may be empty                   |
| source   | dictionary<int32, string>      | the same for every row: a shard holds one source   |

One batch means that the values of `tokens` are one contiguous buffer of the file: mapped, it *is* the token array. The
schema's metadata carries the keys below, each a string.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from configs.errors import Problem, UserError

FORMAT_VERSION = 1

SPLITS = ("train", "validation", "test")

_PREFIX = "millrace."
KEY_FORMAT = _PREFIX + "format_version"
KEY_TOKENIZER = _PREFIX + "tokenizer_hash"
KEY_VOCAB = _PREFIX + "vocab_size"
KEY_END = _PREFIX + "end_of_document"
KEY_SOURCE = _PREFIX + "source"
KEY_SPLIT = _PREFIX + "split"
KEY_FINGERPRINT = _PREFIX + "fingerprint"

UINT16_VOCABULARY = 65_536


@dataclass(frozen=True)
class ShardInfo:
    """What a shard says of itself in its schema's metadata.

    fingerprint: of everything that decided its content, hex; "" when the writer gave none.
    """

    source: str
    split: str
    vocab_size: int
    end_of_document: int
    tokenizer_hash: str
    fingerprint: str = ""


def token_dtype(vocab_size: int) -> np.dtype:
    """uint16 as long as every id of the vocabulary fits, else uint32."""
    return np.dtype(np.uint16 if vocab_size <= UINT16_VOCABULARY else np.uint32)


def shard_schema(info: ShardInfo) -> pa.Schema:
    """The Arrow schema of one shard, metadata included."""
    metadata = {
        KEY_FORMAT: str(FORMAT_VERSION),
        KEY_TOKENIZER: info.tokenizer_hash,
        KEY_VOCAB: str(info.vocab_size),
        KEY_END: str(info.end_of_document),
        KEY_SOURCE: info.source,
        KEY_SPLIT: info.split,
        KEY_FINGERPRINT: info.fingerprint,
    }
    return pa.schema(
        [
            pa.field("tokens", pa.large_list(pa.from_numpy_dtype(token_dtype(info.vocab_size)))),
            pa.field("doc_id", pa.binary(16)),
            pa.field("url", pa.large_string()),
            pa.field("source", pa.dictionary(pa.int32(), pa.string())),
        ],
        metadata=metadata,
    )


def read_info(schema: pa.Schema, where: str) -> ShardInfo:
    """The metadata of a shard's schema. UserError: not a shard, or of a newer format than this program knows."""
    metadata = {k.decode(): v.decode("utf-8", "replace") for k, v in (schema.metadata or {}).items()}
    version = metadata.get(KEY_FORMAT, "")
    if not version.isdecimal():
        raise UserError(Problem("an Arrow file, but not a shard: its schema names no format version", where))
    if int(version) > FORMAT_VERSION:
        raise UserError(
            Problem(
                f"shard format version {version} is newer than the newest this program reads ({FORMAT_VERSION})",
                where,
                "read it with a newer Millrace, or make the corpus again with this one: millrace data run",
            )
        )
    try:
        return ShardInfo(
            source=metadata[KEY_SOURCE],
            split=metadata[KEY_SPLIT],
            vocab_size=int(metadata[KEY_VOCAB]),
            end_of_document=int(metadata[KEY_END]),
            tokenizer_hash=metadata[KEY_TOKENIZER],
            fingerprint=metadata.get(KEY_FINGERPRINT, ""),
        )
    except (KeyError, ValueError) as error:
        raise UserError(
            Problem(f"damaged shard: bad metadata {error}", where, "find what else is damaged: millrace data verify")
        ) from None
