"""Thresholds of the rules that judge a document by what was measured of it; defaults are those of the papers."""

from __future__ import annotations

from pydantic import Field

from configs.schema.section import Section


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
