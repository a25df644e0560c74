"""Main text of an HTML page: the fast extractor over a pruned tree, its result judged, and the precise one where the
page leaves doubt.

Three rules of our own, found on one half of an extraction benchmark and on the pages of another, and held against the
halves they had not seen (docs/extraction.md): elements whose class or id names surroundings are left out; a page that
loses much by that, or keeps little, is doubtful; and the text begins and ends with a line of prose.
"""

from __future__ import annotations

import re

from data_pipeline.extract import fast, precise

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = (*fast.LIBRARIES, *precise.LIBRARIES)

_SURROUNDINGS = (
    "related recommend newsletter subscri cookie consent share social comment respond author-bio promo sidebar footer"
    " breadcrumb caption credit byline advert popular trending read-more readmore also-like sponsor copyright disclaimer"
    " signup sign-up login modal popup gdpr"
)
# Not of `body`, `html`, `article` and `main`, whose classes name everything that is somewhere on the page.
_ELEMENTS = "div section aside ul ol p nav figure figcaption span form footer"
_SELECTORS = [
    f'{element}[{attribute}*="{word}"]'
    for word in _SURROUNDINGS.split()
    for element in _ELEMENTS.split()
    for attribute in ("class", "id")
]
_LEAST_SHARE = 0.7
_LEAST_CHARACTERS = 500
_PROSE_CHARACTERS = 60
_MOST_OF_EDGE = 0.2
_SENTENCE_END = re.compile(r"[.!?…。！？؟।][\"”’'»)\]]{0,5}$")


def extract(html: str) -> str:
    """The page's main text: paragraphs and list items on lines of their own, "" where there is none."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(html)
    whole = extract_plain_text(tree, main_content=True, alt_texts=False)
    pruned = extract_plain_text(tree, main_content=True, alt_texts=False, skip_elements=_SELECTORS)
    if len(pruned) < _LEAST_CHARACTERS or len(pruned) < _LEAST_SHARE * len(whole):
        return precise.extract(html, fallback=False) or whole
    return edges(pruned)


def edges(text: str) -> str:
    """The text from its first to its last line of prose (60 characters or more that end a sentence): what stands
    before is the title, the author and the date, what stands behind are offers. An edge that holds more than a fifth
    of the text stays, and so does a text without prose."""
    lines = text.split("\n")
    prose = [at for at, line in enumerate(lines) if _is_prose(line)]
    if not prose:
        return text
    first, last = prose[0], prose[-1] + 1
    if sum(map(len, lines[:first])) > _MOST_OF_EDGE * len(text):
        first = 0
    if sum(map(len, lines[last:])) > _MOST_OF_EDGE * len(text):
        last = len(lines)
    return "\n".join(lines[first:last]).strip("\n")


def _is_prose(line: str) -> bool:
    line = line.strip()
    return len(line) >= _PROSE_CHARACTERS and _SENTENCE_END.search(line, len(line) - 6) is not None
