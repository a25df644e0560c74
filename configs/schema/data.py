"""The sections that lead from raw text to shards. Keys marked *content* decide the bytes of the result and therefore
enter the fingerprints of the units; the others (workers, directories) may change between two runs of a corpus."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from configs.schema.section import Bytes, Section


class Dedup(Section):
    """Which copies of a text stay. Content."""

    exact: bool = Field(default=True, description="one copy of each normalised content hash stays, the first")


class Tokenizer(Section):
    """SentencePiece: trained on this corpus, or an existing model. Content."""

    model: str = Field(default="", description="path of an existing SentencePiece model; empty trains one")
    model_type: Literal["unigram", "bpe"] = "unigram"
    vocab_size: int = Field(default=32_000, ge=300, le=1_000_000)
    train_bytes: Bytes = Field(default=200_000_000, gt=0, description="training text: smallest hash(seed, id) first")
    character_coverage: float = Field(default=0.9995, ge=0.98, le=1, description="of the text; SentencePiece's bounds")
    byte_fallback: bool = Field(default=True, description="characters outside the vocabulary become bytes, never <unk>")
    num_threads: int = Field(default=2, ge=1, description="decides the result of unigram training, so fixed here")


class Split(Section):
    """Shares of the documents set aside; copies of a text never cross splits. Content."""

    validation: float = Field(default=0.01, ge=0, lt=1)
    test: float = Field(default=0.01, ge=0, lt=1)


class Shards(Section):
    """How tokens are written. Content."""

    target_bytes: Bytes = Field(default=2 * 1024**3, gt=0, description="token bytes per shard, about; no unit is cut")
    max_document_tokens: int = Field(default=100_000_000, gt=0, description="longer documents are rejected and counted")


class Data(Section):
    """Where the corpus is, and how it is made and read."""

    dir: str = Field(default="corpus", description="written by `millrace data run`, read by `millrace train`")
    product: Literal["shards", "documents"] = Field(
        default="shards", description="what a run ends with: shards of tokens, or clean documents as Parquet"
    )
    publish: str = Field(
        default="",
        description="directory or address (s3://, gs://, hf:// ...) to which the finished corpus is copied; empty: nowhere",
    )
    seed: int = Field(default=0, ge=0, description="content: order inside shards, split, tokenizer sample")
    unit_bytes: Bytes = Field(default=256_000_000, gt=0, description="content: larger inputs are cut into units of it")
    workers: int = Field(default=0, ge=0, description="processes of `data run`; 0: one per core")
    prefetch: int = Field(default=2, ge=0, description="train: batches read ahead")
    blend: dict[str, float] = Field(default={}, description="train: weight by tokens of each source; empty: its size")

    @field_validator("blend")
    @classmethod
    def _weights(cls, blend: dict[str, float]) -> dict[str, float]:
        bad = {name: w for name, w in blend.items() if not w > 0}
        if bad:
            raise ValueError(f"weights must be positive, got {bad}; leave a source out to exclude it")
        return blend
