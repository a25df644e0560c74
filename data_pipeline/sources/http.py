"""HTTP responses as crawlers store them: head, and body with its transfer and content codings undone, bounded."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s\"';,]+)", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?\s+(\d{3})\b")
_CHUNK_SIZE = re.compile(rb"\s*([0-9A-Fa-f]{1,15})\s*(?:;|\Z)")
# Of a chunk's size with its extensions.
_CHUNK_LINE = 4096
_STEP = 1 << 16
# What is given to a decoder at once: what it does not use of it is copied.
_PIECE = 1 << 14
_MAX_CODINGS = 3
# Registered codings that crawlers hardly ever meet. Any other unknown one (`utf-8`, `none`, `text/html`: servers invent
# them) means no coding, as it does to browsers.
_NOT_DECODED = frozenset({"compress", "x-compress", "dcb", "dcz", "exi", "aes128gcm", "pack200-gzip"})


class BodyTooLarge(Exception):
    """The decoded body is above the limit. size: bytes decoded when that was found."""

    def __init__(self, size: int) -> None:
        super().__init__(f"more than {size} bytes")
        self.size = size


class BodyDamaged(Exception):
    """A coding could not be undone."""


@dataclass
class Head:
    """status: 0 where the block does not begin with a status line. headers: by lower-case name, the last one wins."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """`text/html`, without parameters, lower-case; "" where absent."""
        return self.headers.get("content-type", "").split(";")[0].split(",")[0].strip().lower()

    @property
    def charset(self) -> str:
        return charset_of(self.headers.get("content-type", ""))


def charset_of(content_type: str) -> str:
    """The charset parameter of a content type; "" where absent."""
    found = _CHARSET.search(content_type)
    return found[1] if found else ""


def parse_fields(lines: list[bytes]) -> dict[str, str]:
    """`Name: value` lines by lower-case name; a line that begins with white space continues the one before. Bytes
    outside UTF-8 become U+FFFD; lines without a colon are passed over, as browsers do."""
    fields: dict[str, list[str]] = {}
    name = ""
    for text in b"\n".join(lines).decode("utf-8", "replace").split("\n"):
        if text[:1] in (" ", "\t") and name:
            fields[name].append(text.strip())
            continue
        key, colon, value = text.partition(":")
        if colon:
            name = key.strip().lower()
            if name:
                fields[name] = [value.strip()]
        elif text:
            name = ""
    return {name: " ".join(values) for name, values in fields.items()}


def parse_head(lines: list[bytes]) -> Head:
    """A response's head from its lines, the status line first."""
    found = _STATUS.match(lines[0]) if lines else None
    return Head(int(found[1]), parse_fields(lines[1:])) if found else Head()


def decode_body(body: bytes, head: Head, limit: int) -> bytes:
    """The body with its codings undone. A coding that is announced but not there (crawlers often store the decoded
    body under the original headers) is taken as undone already.

    Raises BodyTooLarge above `limit` bytes, BodyDamaged where the coded bytes make no sense.
    """
    transfer = _codings(head.headers.get("transfer-encoding", ""))
    if "chunked" in transfer:
        body = _dechunk(body)
    codings = _codings(head.headers.get("content-encoding", "")) + [name for name in transfer if name != "chunked"]
    if len(codings) > _MAX_CODINGS:
        raise BodyDamaged(f"{len(codings)} codings one over the other")
    for coding in reversed(codings):
        decode = _DECODERS.get(coding)
        if decode is not None:
            body = decode(body, limit)
        elif coding in _NOT_DECODED:
            raise BodyDamaged(f"coding {coding!r} is not decoded")
    if len(body) > limit:
        raise BodyTooLarge(len(body))
    return body


def _codings(value: str) -> list[str]:
    return [name.strip().lower() for name in value.split(",") if name.strip()]


def _dechunk(body: bytes) -> bytes:
    """RFC 9112, 7.1. A body that does not begin like a chunk is no chunked one and returned as it is; one that ends or
    goes wrong in the middle gives what was whole."""
    # A buffer, since a list of small chunks would take many times their bytes.
    whole = io.BytesIO()
    at = 0
    while at < len(body):
        end = body.find(b"\n", at, at + _CHUNK_LINE)
        found = _CHUNK_SIZE.match(body, at, end) if end >= 0 else None
        if found is None:
            return whole.getvalue() if at else body
        size = int(found[1], 16)
        if size == 0:
            break
        whole.write(memoryview(body)[end + 1 : end + 1 + size])
        at = end + 1 + size
        # Each chunk's data is followed by a line end.
        at += 2 if body[at : at + 2] == b"\r\n" else 1 if body[at : at + 1] == b"\n" else 0
    return whole.getvalue()


def _bounded(step: Callable[[], bytes], limit: int) -> bytes:
    whole = io.BytesIO()
    while piece := step():
        whole.write(piece)
        if whole.tell() > limit:
            raise BodyTooLarge(whole.tell())
    return whole.getvalue()


def _inflate(body: bytes, limit: int, wbits: int) -> bytes:
    inflate = zlib.decompressobj(wbits)
    view, at, full = memoryview(body), 0, False

    def step() -> bytes:
        nonlocal at, full
        output = b""
        # A call that filled its output may hold back more, though it has used up its input.
        while not output and not inflate.eof and (full or at < len(view)):
            piece = view[at : at + _PIECE]
            try:
                output = inflate.decompress(piece, _STEP)
            except zlib.error as error:
                raise BodyDamaged(str(error)) from error
            at += len(piece) - len(inflate.unconsumed_tail)
            full = len(output) == _STEP
        return output

    return _bounded(step, limit)


def _gzip(body: bytes, limit: int) -> bytes:
    return _inflate(body, limit, 31) if body.startswith(b"\x1f\x8b") else body


def _deflate(body: bytes, limit: int) -> bytes:
    # "deflate" is zlib by the standard (RFC 9110, 8.4.1.2), and bare deflate from some servers.
    if body[:1] and body[0] & 0x0F == 8 and len(body) > 1 and (body[0] * 256 + body[1]) % 31 == 0:
        return _inflate(body, limit, 15)
    try:
        return _inflate(body, limit, -15)
    except BodyDamaged:
        return body


def _brotli(body: bytes, limit: int) -> bytes:
    import brotli

    decoder = brotli.Decompressor()
    at = 0

    def step() -> bytes:
        nonlocal at
        output = b""
        while not output and not decoder.is_finished():
            more = decoder.can_accept_more_data()
            piece = body[at : at + _PIECE] if more else b""
            at += len(piece)
            # Also without input: it may hold back output though it would take more.
            output = decoder.process(piece, output_buffer_limit=_STEP)
            if more and not piece and not output:
                break
        return bytes(output)

    try:
        return _bounded(step, limit)
    except brotli.error as error:
        if body.lstrip()[:1] == b"<":  # decoded already: brotli has no magic number to tell by
            return body
        raise BodyDamaged(f"brotli: {error}") from error


def _zstd(body: bytes, limit: int) -> bytes:
    import zstandard

    if not body.startswith(b"\x28\xb5\x2f\xfd"):
        return body
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 23).stream_reader(body)

    def step() -> bytes:
        try:
            return bytes(reader.read(_STEP))
        except zstandard.ZstdError as error:
            raise BodyDamaged(f"zstd: {error}") from error

    return _bounded(step, limit)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
