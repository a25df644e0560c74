"""Lists of the user by which documents are refused: addresses, and words."""

from __future__ import annotations

from pydantic import Field

from configs.schema.section import Section


class Urls(Section):
    """Lists that refuse a document by its address, before anything of its text is read. Content. Files are plain or
    .gz, one entry a line, `#` begins a comment; a directory stands for the files `domains` and `urls` in it or below
    it, as blocklists are published by category."""

    domains: list[str] = Field(default=[], description="lists of domains (subdomains included) or addresses, refused")
    words: list[str] = Field(default=[], description="lists of words refused as a whole word of an address")
    substrings: list[str] = Field(default=[], description="lists of strings refused anywhere in an address")
    opt_out: list[str] = Field(
        default=[], description="lists of domains or addresses whose owners do not want crawling"
    )

    @property
    def enabled(self) -> bool:
        return bool(self.domains or self.words or self.substrings or self.opt_out)


class BadWords(Section):
    """Words by which C4 (Raffel et al. 2020, 2.2) drops a page: any one of the LDNOOBW list of its language.
    Content."""

    enabled: bool = Field(default=False, description="drop documents by bad words")
    lists: list[str] = Field(
        default=[],
        description="directories of files named by language (en, de, zh ...), or such files; one word a line",
    )
    fallback: str = Field(
        default="", description="language whose list is used where a document's has none; empty: none"
    )
    max_count: int = Field(default=0, ge=0, description="occurrences kept; C4: 0")
    max_share: float = Field(default=1.0, ge=0, le=1, description="occurrences per word kept; 1: no bound")
