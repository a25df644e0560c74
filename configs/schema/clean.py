"""What is done to each document by itself, between extraction and deduplication."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.schema.balance import Balance
from configs.schema.blocklists import BadWords, Urls
from configs.schema.classifier import Classifier
from configs.schema.private import Pii
from configs.schema.rules import C4, FineWeb, GopherQuality, GopherRepetition, Lines
from configs.schema.section import Bytes, Section


class Clean(Section):
    """Repair and rules applied to each document by itself. Content."""

    max_bytes: Bytes = Field(default=10_000_000, gt=0, description="larger documents are rejected before segmentation")
    normalization: Literal["NFC", "none"] = Field(default="NFC", description="Unicode normal form of the text")
    repair: bool = Field(default=True, description="undo mojibake where its markers occur (ftfy)")
    whitespace: Literal["keep", "lines", "collapse"] = Field(
        default="keep",
        description="keep: as written; lines: runs of blanks and of empty lines become one; collapse: everything one line",
    )
    invisible: Literal["remove", "keep"] = Field(
        default="remove",
        description="zero-width spaces, byte order marks, bidi controls and other invisible characters",
    )
    language_model: str = Field(
        default="", description="fastText model such as lid.176.bin or GlotLID; empty: the one that is installed"
    )
    languages: list[str] = Field(default=[], description="ISO 639-1 codes kept; empty keeps all")
    min_language_score: float = Field(default=0.5, ge=0, le=1, description="below it a document has no known language")
    word_segmentation: Literal["unicode", "spacy"] = Field(
        default="unicode",
        description="unicode: white space, and each character of scripts without it; spacy: spaCy's tokens ([peers])",
    )
    urls: Urls = Urls()
    lines: Lines = Lines()
    c4: C4 = C4()
    gopher_quality: GopherQuality = GopherQuality()
    gopher_repetition: GopherRepetition = GopherRepetition()
    fineweb: FineWeb = FineWeb()
    bad_words: BadWords = BadWords()
    pii: Pii = Pii()
    classifiers: list[Classifier] = Field(default=[], description="fastText models of your own, each a signal")
    balance: Balance = Balance()
