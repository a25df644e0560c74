"""Classifiers of the user's own that give each document a probability."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from configs.schema.section import Section


class Classifier(Section):
    """A fastText model and the label whose probability becomes the signal `classifier_{name}`. Content."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,39}$", description="the signal is named classifier_{name}")
    enabled: bool = True
    model: str = Field(min_length=1, description="a supervised fastText model, .bin or .ftz")
    label: str = Field(default="__label__hq", min_length=1, description="the label whose probability is the signal")
    min: float | None = Field(default=None, ge=0, le=1, description="documents below are rejected; none: no bound")
    max: float | None = Field(default=None, ge=0, le=1, description="documents above are rejected; none: no bound")
    normalize: Literal["words", "none"] = Field(
        default="none", description="as in training. words: lower case, punctuation and unspaced scripts cut apart"
    )
    max_characters: int = Field(default=100_000, ge=1, description="of the text's beginning; what follows is not read")

    @model_validator(mode="after")
    def _order(self) -> Classifier:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing would be kept")
        return self
