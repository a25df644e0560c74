"""Main text of an HTML page by resiliparse (Bevendorff et al. 2018)."""

from __future__ import annotations

RULE_VERSION = 2
LIBRARIES: tuple[str, ...] = ("resiliparse",)


def extract(html: str) -> str:
    """The page's main text: paragraphs and list items on lines of their own, "" where there is none."""
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, main_content=True, alt_texts=False)
