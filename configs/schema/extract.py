"""How pages become text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.schema.section import Section


class Extract(Section):
    """HTML -> text. Content."""

    method: Literal["fast"] = Field(default="fast", description="fast: resiliparse, main content only")
