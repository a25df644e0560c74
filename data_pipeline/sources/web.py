"""Files on web servers: what they are, and their bytes, over connections that break and servers that are busy."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60
_TRIES = 5
_BACKOFF_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 60.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_FAULTS = (OSError, http.client.HTTPException)


class Refused(Exception):
    """The server's answer is final. status: of HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


class Unreachable(Exception):
    """No answer, or none that could be used, after all tries."""


class State(NamedTuple):
    """size: bytes, -1 where the server does not tell. tag: what changes when the file does, "" where there is none."""

    size: int
    tag: str


def state(url: str) -> State:
    """What the server says of a file, without reading it. Raises Refused or Unreachable."""
    try:
        with _open(url, "HEAD") as answer:
            return _state(answer.headers, answer.headers.get("Content-Length"))
    except Refused as error:
        if error.status not in (400, 403, 405, 501):
            raise
    # Servers, and addresses signed for GET alone, that refuse HEAD.
    with _open(url, "GET", {"Range": "bytes=0-0"}) as answer:
        whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
        return _state(answer.headers, whole if answer.status == 206 else answer.headers.get("Content-Length"))


def stream(url: str, tag: str) -> Iterator[bytes]:
    """The bytes of a file, in pieces of bounded size, each once: a connection that breaks is taken up where it broke,
    as long as the file has the same tag; a server that cannot do so is read from the beginning, to the same place.

    Raises Refused or Unreachable.
    """
    at = 0
    barren = 0
    while True:
        before = at
        try:
            headers = {"Range": f"bytes={at}-"} | ({"If-Range": tag} if tag.startswith('"') else {}) if at else {}
            with _open(url, "GET", headers) as answer:
                passed = at if answer.status == 206 else 0
                length = answer.headers.get("Content-Length")
                end = passed + int(length) if length is not None and length.isdigit() else None
                while piece := answer.read(_CHUNK):
                    fresh = piece[max(at - passed, 0) :]
                    passed += len(piece)
                    if fresh:
                        at += len(fresh)
                        yield fresh
                if end is None or passed >= end:
                    return
                raise http.client.IncompleteRead(b"", end - passed)
        except _FAULTS as error:
            if at == before:
                barren += 1
            if barren >= _TRIES:
                raise Unreachable(_reason(error)) from error
            time.sleep(min(_BACKOFF_SECONDS * 2**barren, _LONGEST_WAIT_SECONDS))


def _open(url: str, method: str, headers: dict[str, str] | None = None) -> Any:
    """The answer to a request, tried again where that may help."""
    # Content codings would make other bytes of the file.
    sent = {"Accept-Encoding": "identity", "User-Agent": "millrace", **(headers or {})}
    for tried in range(1, _TRIES + 1):
        wait = min(_BACKOFF_SECONDS * 2**tried, _LONGEST_WAIT_SECONDS)
        try:
            return urllib.request.urlopen(
                urllib.request.Request(url, headers=sent, method=method), timeout=_TIMEOUT_SECONDS
            )
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in _PASSING:
                raise Refused(error.code) from None
            fault: Exception = error
            asked = error.headers.get("Retry-After", "") if error.headers else ""
            wait = min(float(asked), _LONGEST_WAIT_SECONDS) if asked.isdigit() else wait
        except _FAULTS as error:
            fault = error
        if tried < _TRIES:
            time.sleep(wait)
    raise Unreachable(_reason(fault)) from fault


def _state(headers: Any, length: str | None) -> State:
    tag = headers.get("ETag") or headers.get("Last-Modified") or ""
    return State(int(length) if length is not None and length.isdigit() else -1, tag.strip())


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended before the file did"
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)
