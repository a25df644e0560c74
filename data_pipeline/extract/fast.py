"""Main text of an HTML page by resiliparse (Bevendorff et al. 2018), behind bounds that keep it from hanging."""

from __future__ import annotations

import re

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("resiliparse",)

MAX_DEPTH = 3000
"""Pages nested more deeply are rejected: the extractor's time grows with the square of the depth (100,000 nested
`div` took 150 s, 3,000 take 0.2 s). Browsers stop at 512; crawled pages hardly reach 100."""

_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,40})")
_BLOCKS = frozenset(
    b"address article aside blockquote button center details dialog dir div dl fieldset figcaption figure footer form"
    b" header hgroup main marquee menu nav object ol pre section select summary table template ul".split()
)
# Elements that never nest: void ones, and those that the next of their kind or of their block closes.
_FLAT = frozenset(
    b"area base br col embed hr img input link meta param source track wbr p li dt dd option optgroup tr td th thead"
    b" tbody tfoot colgroup html head body rb rt rtc rp".split()
)


def extract(html: str) -> str:
    """The page's main text: paragraphs and list items on lines of their own, "" where there is none."""
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, main_content=True, alt_texts=False)


def depth(data: bytes) -> int:
    """How deep the elements of a page nest, by the tree builder's rules for end tags (HTML standard, 13.2.6.4.7).

    Counted up to one above `MAX_DEPTH`; pages with too few tags to reach it are not looked at and give 0.
    """
    if data.count(b"<") - data.count(b"</") <= MAX_DEPTH:
        return 0
    deepest = 0
    open_elements: list[bytes] = []
    for tag in _TAG.finditer(data):
        name = tag[2].lower()
        if name in _FLAT:
            continue
        if not tag[1]:
            open_elements.append(name)
            if len(open_elements) > deepest:
                deepest = len(open_elements)
                if deepest > MAX_DEPTH:
                    break
        elif open_elements and open_elements[-1] == name:
            open_elements.pop()
        else:
            _close(open_elements, name)
    return deepest


def _close(open_elements: list[bytes], name: bytes) -> None:
    """An end tag that does not fit the innermost element: it closes down to its own, or is ignored if it is not a
    block's and a block lies between."""
    for at in range(len(open_elements) - 1, -1, -1):
        if open_elements[at] == name:
            del open_elements[at:]
            return
        if open_elements[at] in _BLOCKS and name not in _BLOCKS:
            return
