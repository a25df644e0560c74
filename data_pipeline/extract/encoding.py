"""The character encoding of a crawled page, in the order of the HTML standard (13.2.3.2): byte order mark, transport,
`meta`, detection."""

from __future__ import annotations

import codecs

from data_pipeline.extract.prescan import prescan

RULE_VERSION = 2

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_XML_STARTS = ((b"<\0?\0x\0", "utf-16-le"), (b"\0<\0?\0x", "utf-16-be"))
# Labels of the Encoding standard for which Python has a codec under another name.
_ALIASES = {"x-mac-cyrillic": "mac-cyrillic", "x-mac-ukrainian": "mac-cyrillic", "windows-874": "cp874"}
_ALIASES |= {"iso-8859-8-i": "iso8859-8", "x-user-defined": "cp1252"}


def decode_page(data: bytes, charset: str = "") -> tuple[str, str]:
    """Text and name of the codec used. charset: what the transport declares. Never raises: bytes that make no sense
    become U+FFFD. A declared UTF-8 that the bytes contradict gives way to detection."""
    declared, skipped = declaration(data, charset)
    if skipped:
        return data[skipped:].decode(declared or "utf-8", "replace"), declared or "utf-8"
    if declared == "utf-8" or declared is None:
        # By far the most frequent, and strict decoding proves it.
        try:
            return data.decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            declared = _detected(data)
    try:
        return data.decode(declared, "replace"), declared
    except (LookupError, UnicodeError):
        return data.decode("utf-8", "replace"), "utf-8"


def declaration(data: bytes, charset: str = "") -> tuple[str | None, int]:
    """The codec that byte order mark, transport or page declare, None without one that is known; and the bytes of the
    mark."""
    for mark, codec in _BOMS:
        if data.startswith(mark):
            return codec, len(mark)
    declared = codec_of(charset)
    if declared is None:
        declared = next((codec for start, codec in _XML_STARTS if data.startswith(start)), None)
    if declared is None:
        declared = next(filter(None, map(codec_of, prescan(data))), None)
        if declared is not None and declared.startswith("utf-16"):
            declared = "utf-8"  # it was found by reading bytes as ASCII, so it cannot be true (13.2.3.2)
    return declared, 0


def codec_of(label: str) -> str | None:
    """Python's codec for a label of the Encoding standard; None where it knows none."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    label = label.strip().lower()
    if not label:
        return None
    name = _ALIASES.get(label) or map_encoding_to_html5(label, fallback_utf8=False)
    try:
        return codecs.lookup(name).name if name else None
    except LookupError:
        return None


def _detected(data: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    name = detect_encoding(data, from_html_meta=False)
    try:
        return codecs.lookup(name).name if name else "utf-8"
    except LookupError:
        return "utf-8"
