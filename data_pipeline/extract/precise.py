"""Main text of an HTML page by trafilatura (Barbaresi 2021), its balanced setting, without readers' comments."""

from __future__ import annotations

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("trafilatura", "lxml", "jusText")


def extract(html: str, fallback: bool = True) -> str:
    """The page's main text: paragraphs and list items on lines of their own, "" where there is none. fallback: compare
    with other algorithms, at half the speed."""
    from trafilatura import extract as of_page

    # No metadata is asked for: its search for dates and addresses costs more and is done by `head`. Nothing is fetched.
    return of_page(html, output_format="txt", include_comments=False, fast=not fallback) or ""
