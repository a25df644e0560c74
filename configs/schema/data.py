"""The sections that lead from raw text to shards. Keys marked *content* decide the bytes of the result and therefore
enter the fingerprints of the units; the others (workers, directories) may change between two runs of a corpus."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from configs.schema.section import Bytes, Section


class Source(Section):
    """One stream of documents. Content."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="name of the stream in shards and blend")
    type: Literal["installed-docs", "jsonl", "warc"] = Field(description="how the files are read")
    paths: list[str] = Field(default=[], description="files, globs or directories; unused by installed-docs")
    text_field: str = Field(default="text", description="jsonl: the field that holds the text")
    url_field: str = Field(default="url", description="jsonl: the field that holds the address; may be absent")
    max_bytes: Bytes = Field(default=32_000_000, gt=0, description="installed-docs: bytes of input, in stable order")
    license: str = Field(default="", description="licence of the texts, kept in every document's metadata")

    @model_validator(mode="after")
    def _paths_where_needed(self) -> Source:
        if self.type != "installed-docs" and not self.paths:
            raise ValueError(f"source {self.name!r} of type {self.type} needs `paths`")
        return self


class Extract(Section):
    """HTML -> text. Content."""

    method: Literal["fast"] = Field(default="fast", description="fast: resiliparse, main content only")


class GopherQuality(Section):
    """Document-level quality rules of Gopher (Rae et al. 2021, appendix A1.1); defaults are the paper's. Content."""

    enabled: bool = True
    min_words: int = Field(default=50, ge=0)
    max_words: int = Field(default=100_000, ge=1)
    min_mean_word_length: float = Field(default=3.0, ge=0)
    max_mean_word_length: float = Field(default=10.0, gt=0)
    max_symbol_word_ratio: float = Field(default=0.1, ge=0, description="hash signs per word; ellipses per word")
    max_bullet_lines: float = Field(default=0.9, ge=0, le=1, description="share of lines starting with a bullet")
    max_ellipsis_lines: float = Field(default=0.3, ge=0, le=1, description="share of lines ending with an ellipsis")
    min_alphabetic_words: float = Field(default=0.8, ge=0, le=1, description="share of words with a letter")
    min_stop_words: int = Field(default=2, ge=0, description="distinct words of: the be to of and that have with")


class Clean(Section):
    """Repair and rules applied to each document by itself. Content."""

    max_bytes: Bytes = Field(default=10_000_000, gt=0, description="larger documents are rejected before segmentation")
    normalization: Literal["NFC", "none"] = Field(default="NFC", description="Unicode normal form of the text")
    repair: bool = Field(default=True, description="undo mojibake where its markers occur (ftfy)")
    languages: list[str] = Field(default=[], description="ISO 639-1 codes kept; empty keeps all")
    min_language_score: float = Field(default=0.5, ge=0, le=1, description="below it a document has no known language")
    gopher_quality: GopherQuality = GopherQuality()


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
