"""One input of a corpus: which files, and how they are read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from configs.schema.section import Bytes, Section

SELECTION_KEYS = frozenset({"paths", "base", "max_files", "max_bytes"})
"""Keys of a source that choose its inputs. All others decide what is read from the same bytes."""


class Source(Section):
    """One stream of documents. Content."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="name of the stream in shards and blend")
    type: Literal["arrow", "csv", "huggingface", "installed-docs", "jsonl", "parquet", "text", "warc"] = Field(
        description="how the files are read"
    )
    paths: list[str] = Field(
        default=[],
        description="files, globs, directories, URLs (s3://, gs://, hf://, https://); listing files, one path per line: "
        "`@FILE`, or *.paths and *.paths.gz. huggingface: names on the hub, or directories of saved datasets. "
        "Unused by installed-docs",
    )
    base: str = Field(
        default="", description="directory or URL that relative lines of listing files start at; empty: the listing's"
    )
    max_files: int = Field(default=0, ge=0, description="read the first so many files of the list; 0: all")
    text_field: str | list[str] = Field(
        default="text",
        description="tables and JSON: the field that holds the text; `a.b` goes into nested ones; a list of fields is "
        "joined by blank lines, absent and empty ones left out",
    )
    text_format: Literal["text", "html"] = Field(default="text", description="what the text field holds")
    url_field: str = Field(default="url", description="tables and JSON: the field of the address; may be absent")
    fields: dict[str, str] = Field(
        default={}, description="tables and JSON: metadata key -> field, such as {crawl_date: meta.date}"
    )
    delimiter: str = Field(default="", max_length=1, description="csv: between cells; empty: tab for *.tsv, else comma")
    quote: str = Field(default='"', max_length=1, description="csv: around cells; empty: quotes are letters")
    columns: list[str] = Field(default=[], description="csv: names of the columns of files without a header line")
    subset: str = Field(default="", description="huggingface: configuration of a dataset on the hub")
    split: str = Field(default="train", description="huggingface: split that is read")
    revision: str = Field(default="main", description="huggingface: branch, tag or commit on the hub")
    max_bytes: Bytes = Field(default=32_000_000, gt=0, description="installed-docs: bytes of input, in stable order")
    license: str = Field(default="", description="licence of the texts, kept in every document's metadata")

    @model_validator(mode="after")
    def _sound(self) -> Source:
        if self.type != "installed-docs" and not self.paths:
            raise ValueError(f"source {self.name!r} of type {self.type} needs `paths`")
        if not self.text_fields or not all(self.text_fields):
            raise ValueError(f"source {self.name!r}: text_field names no field")
        taken = {"content_hash", "cluster"} & set(self.fields)
        if taken:
            raise ValueError(f"source {self.name!r}: the metadata keys {sorted(taken)} are written by Millrace itself")
        for key in ("delimiter", "quote"):
            if not getattr(self, key).isascii() or getattr(self, key) in ("\r", "\n"):
                raise ValueError(f"source {self.name!r}: {key} must be one ASCII character other than a line end")
        return self

    @property
    def text_fields(self) -> list[str]:
        """`text_field` as a list."""
        return [self.text_field] if isinstance(self.text_field, str) else self.text_field

    def content(self) -> dict[str, Any]:
        """The keys that decide what is read from the same bytes, for fingerprints."""
        return self.model_dump(exclude=set(SELECTION_KEYS))
