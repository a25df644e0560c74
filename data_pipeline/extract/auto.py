"""Main text of an HTML page: the fast extractor twice, with and without elements that their names call surroundings, and
the precise one where the page leaves doubt."""

from __future__ import annotations

from data_pipeline.extract import fast, precise

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = (*fast.LIBRARIES, *precise.LIBRARIES)


def extract(html: str) -> str:
    """The page's main text: paragraphs and list items on lines of their own, "" where there is none."""
    return precise.extract(html)
