"""One input of a corpus: which files, and how they are read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

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
