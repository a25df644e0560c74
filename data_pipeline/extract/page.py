"""One page, from its bytes to its text: encoding, main text, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable

from data_pipeline.extract import auto, encoding, fast, head, precise

EXTRACTORS: dict[str, Callable[[str], str]] = {"fast": fast.extract, "precise": precise.extract, "auto": auto.extract}
RULE_VERSION = [part.RULE_VERSION for part in (auto, encoding, fast, head, precise)]


def read(data: bytes, charset: str, method: str) -> tuple[str, dict[str, str]]:
    """Text, "" where there is none, and what the page says of itself. charset: what the transport declares."""
    html, _ = encoding.decode_page(data, charset)
    return EXTRACTORS[method](html), head.metadata(html)


def libraries(method: str) -> tuple[str, ...]:
    """Whose versions may change the text of a page."""
    return {"fast": fast.LIBRARIES, "precise": precise.LIBRARIES, "auto": auto.LIBRARIES}[method] + ("resiliparse",)
