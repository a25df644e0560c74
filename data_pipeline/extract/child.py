"""The process that extracts: it reads pages from its standard input and writes what it makes of them to its output.

It stands apart from the worker because parsers are native code and pages are hostile: what hangs or crashes here costs
one page. It imports the extractor and nothing else of the pipeline, starts as `python -m data_pipeline.extract.child`,
and ends when its input ends or its parent dies.

Request: `REQUEST` (bytes of the page, bytes of the charset), charset, page. Answer: `ANSWER` (kind, bytes of a first
and a second part), then the parts: text and JSON metadata for `TEXT`; the error's name for `FAILED`.
"""

from __future__ import annotations

import gc
import json
import os
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO

REQUEST = struct.Struct("<II")
ANSWER = struct.Struct("<BII")
READY, TEXT, FAILED = range(3)
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT_FREE = 64 << 20
_KEPT_BYTES = 1 << 20  # as much as the pipe holds


def main() -> None:
    """Arguments: process id of the parent, method, limit of data memory in bytes."""
    parent, method, memory = sys.argv[1:4]
    _die_with(int(parent))
    _keep_memory()
    # What a library prints must not reach the answers.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    import logging

    from data_pipeline.extract import page

    logging.disable(logging.CRITICAL)
    page.read(b"<html><body><p>Libraries are loaded by the first page.</p></body></html>", "", method)
    _limit_memory(int(memory))
    # What is loaded stays: no collection needs to look at it again.
    gc.collect()
    gc.freeze()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.dup2(null, 1)
    _answer(answers, READY, b"", b"")
    for data, charset in _requests():
        try:
            text, found = page.read(data, charset, method)
        except (Exception, RecursionError) as error:  # of a library, on a page it was not made for
            _answer(answers, FAILED, type(error).__name__.encode(), b"")
            continue
        _answer(answers, TEXT, text.encode("utf-8", "replace"), json.dumps(found).encode() if found else b"")


def _requests() -> Iterator[tuple[bytes, str]]:
    """Page and charset of each request. One buffer serves all: memory fresh from the system costs more than the copy,
    and most requests come in one piece."""
    kept = bytearray(_KEPT_BYTES)
    while True:
        buffer = memoryview(kept)
        have, size = 0, REQUEST.size
        while have < size:
            if size > len(buffer):
                buffer = memoryview(bytearray(buffer[:have]) + bytes(size - have))
            got = os.readv(0, [buffer[have:]])
            if not got:
                return
            if have < REQUEST.size <= have + got:
                length, named = REQUEST.unpack_from(buffer)
                size += length + named
            have += got
        begin = REQUEST.size + named
        yield bytes(buffer[begin:size]), str(buffer[REQUEST.size : begin], "utf-8", "replace")


def _answer(answers: BinaryIO, kind: int, first: bytes, second: bytes) -> None:
    message = memoryview(ANSWER.pack(kind, len(first), len(second)) + first + second)
    while message:
        message = message[answers.write(message) :]


def _die_with(parent: int) -> None:
    """Ends this process when its parent does, even in native code that never reads its input again."""
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _keep_memory() -> None:
    """Has the C library keep up to 64 MB that were freed: each page would else get its memory from the system anew and
    give it back, at the price of a fault for every 4 kB."""
    if sys.platform == "linux":
        import ctypes

        set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others have none or ignore it
        if set_option is not None:
            set_option(_M_MMAP_THRESHOLD, _KEPT_FREE // 2)  # the most that glibc takes
            set_option(_M_TRIM_THRESHOLD, _KEPT_FREE)


def _limit_memory(limit: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    # A crash here is an answer: it needs no core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
