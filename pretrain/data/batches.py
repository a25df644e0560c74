"""Batches of one rank, read ahead by a thread so that the accelerator does not wait for the disk."""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np

from pretrain.data.stream import SampleStream


class BatchReader:
    """Reads this rank's part of each global batch.

    global_batch, micro_batch: samples per step, and per rank and forward pass; global_batch must be divisible by
    micro_batch x dp_size. dp_rank, dp_size: place among the data-parallel ranks. prefetch: batches read ahead by the
    thread; 0 reads in the calling thread.

    wait_seconds: how long `read` has kept its caller waiting, in all (monotonic clock).
    """

    def __init__(
        self, stream: SampleStream, global_batch: int, micro_batch: int, dp_rank: int, dp_size: int, prefetch: int = 2
    ) -> None:
        if global_batch % (micro_batch * dp_size):
            raise ValueError(
                f"global batch {global_batch} is not divisible by micro-batch {micro_batch} x dp {dp_size}"
            )
        if not 0 <= dp_rank < dp_size:
            raise ValueError(f"data-parallel rank {dp_rank} of {dp_size}")
        self.stream, self.global_batch, self.prefetch = stream, global_batch, prefetch
        self.accumulation = global_batch // (micro_batch * dp_size)
        step = np.arange(self.accumulation, dtype=np.int64)[:, None] * dp_size + dp_rank
        self._offsets = step * micro_batch + np.arange(micro_batch, dtype=np.int64)  # [accumulation, micro_batch]
        self.wait_seconds = 0.0

        self._changed = threading.Condition()
        self._ready: deque[tuple[int, np.ndarray | BaseException]] = deque()
        self._next: int | None = None  # what the thread reads next; None: nothing asked for, or it met an error
        self._reading: int | None = None
        self._turn = 0  # rises when the caller jumps elsewhere, so that a batch in flight for the old place is dropped
        self._closed = False
        self._thread: threading.Thread | None = None

    def read(self, consumed: int) -> np.ndarray:
        """The batch after `consumed` samples: int64 [accumulation, micro_batch, seq_length + 1].

        Row k of micro-batch m is sample consumed + (m x dp_size + dp_rank) x micro_batch + k. Any `consumed` may be
        asked for; the batch after it, by global_batch samples, is what the thread reads ahead. An error of the thread
        is raised by the call that asks for the batch it happened on.
        """
        started = time.monotonic()
        try:
            if self._closed:
                raise ValueError("read of a closed BatchReader")
            return self._load(consumed) if self.prefetch == 0 else self._take(consumed)
        finally:
            self.wait_seconds += time.monotonic() - started

    def close(self) -> None:
        """Ends the thread and waits for it. Harmless when called again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._ready.clear()

    def __enter__(self) -> BatchReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _load(self, consumed: int) -> np.ndarray:
        return self.stream.samples_at(consumed + self._offsets)

    def _take(self, consumed: int) -> np.ndarray:
        with self._changed:
            coming = self._ready[0][0] if self._ready else self._reading if self._reading is not None else self._next
            if coming != consumed:
                self._turn += 1
                self._ready.clear()
                self._next, self._reading = consumed, None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="millrace-batches", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ready)
            _, result = self._ready.popleft()
            self._changed.notify_all()
        if isinstance(result, BaseException):
            raise result
        return result

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or (self._next is not None and len(self._ready) < self.prefetch)
                )
                if self._closed or self._next is None:
                    return
                consumed, turn = self._next, self._turn
                self._reading, self._next = consumed, None
            result: np.ndarray | BaseException
            try:
                result = self._load(consumed)
            except BaseException as error:  # raised again by read()
                result = error
            with self._changed:
                if turn == self._turn:
                    self._reading = None
                    self._ready.append((consumed, result))
                    if not isinstance(result, BaseException):
                        self._next = consumed + self.global_batch
                    self._changed.notify_all()
