"""How much of a domain or a language a corpus may hold, and what of it stands there more than once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from configs.schema.section import Bytes, Section

Copies = Annotated[int, Field(ge=1, le=100)]


class Balance(Section):
    """Caps and upsampling after deduplication, drawn by lot: the same for any number of workers. Content."""

    max_documents_per_domain: int = Field(
        default=0, ge=0, description="of each registered domain; documents without a host are not counted; 0: no cap"
    )
    max_language_bytes: dict[str, Annotated[Bytes, Field(gt=0)]] = Field(
        default={}, description="bytes of text kept of a language at most, such as {en: 2TB}; others have no cap"
    )
    upsample: dict[str, Copies] = Field(
        default={}, description="copies of each training document of a language, such as {de: 2}; others have one"
    )
    upsample_domains: dict[str, Copies] = Field(
        default={}, description="the same by registered domain; multiplied with that of the language"
    )
