"""How pages become text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.schema.section import Section


class Extract(Section):
    """HTML -> text. Content."""

    method: Literal["fast", "precise", "auto"] = Field(
        default="fast",
        description="fast: resiliparse; precise: trafilatura; auto: fast, with precise where the page is doubtful",
    )
    max_depth: int = Field(default=3000, ge=1, description="elements nested in each other; deeper pages are rejected")
    max_nodes: int = Field(default=300_000, ge=1, description="elements of a page; pages with more are rejected")
    max_attributes: int = Field(default=2000, ge=1, description="attributes of one tag; pages with more are rejected")
    time_limit: float = Field(
        default=10.0, gt=0, le=3600, description="processor seconds that one page may take before it is rejected"
    )
    memory_limit: int = Field(
        default=1 << 30, ge=1 << 28, description="bytes that the process may take that a worker extracts in"
    )
