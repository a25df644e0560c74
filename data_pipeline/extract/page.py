"""One page, from its bytes to its text: bounds, encoding, main text, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable

from data_pipeline.extract import auto, bounds, encoding, fast, head, precise

EXTRACTORS: dict[str, Callable[[str], str]] = {"fast": fast.extract, "precise": precise.extract, "auto": auto.extract}
RULE_VERSION = [part.RULE_VERSION for part in (auto, bounds, encoding, fast, head, precise)]


def read(
    data: bytes, charset: str, method: str, limits: bounds.Bounds
) -> tuple[str, dict[str, str]] | tuple[str, float]:
    """(text, what the page says of itself), text "" where there is none; or (reason, measured value) of the bound that
    it breaks. charset: what the transport declares."""
    refused = bounds.refusal(data, limits)
    if refused is not None:
        return refused
    html, _ = encoding.decode_page(data, charset)
    return EXTRACTORS[method](html), head.metadata(html)


def libraries(method: str) -> tuple[str, ...]:
    """Whose versions may change the text of a page."""
    return {"fast": fast.LIBRARIES, "precise": precise.LIBRARIES, "auto": auto.LIBRARIES}[method] + ("resiliparse",)
