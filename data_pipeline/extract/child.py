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
from typing import BinaryIO

REQUEST = struct.Struct("<II")
ANSWER = struct.Struct("<BII")
READY, TEXT, FAILED = range(3)
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arguments: process id of the parent, method, limit of data memory in bytes."""
    parent, method, memory = sys.argv[1:4]
    _die_with(int(parent))
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
    requests = sys.stdin.buffer
    while header := requests.read(REQUEST.size):
        length, charset_length = REQUEST.unpack(header)
        charset = requests.read(charset_length).decode("utf-8", "replace")
        data = requests.read(length)
        try:
            text, found = page.read(data, charset, method)
        except (Exception, RecursionError) as error:  # of a library, on a page it was not made for
            _answer(answers, FAILED, type(error).__name__.encode(), b"")
            continue
        _answer(answers, TEXT, text.encode("utf-8", "replace"), json.dumps(found).encode() if found else b"")


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


def _limit_memory(limit: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    # A crash here is an answer: it needs no core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
