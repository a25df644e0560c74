"""The endless, ordered stream of training samples that a corpus, a blend and a seed define.

Each source is one stream: its shards in manifest order, end to end. With S = sequence length and T = tokens of the
source, sample j is tokens [jS, jS + S + 1), so neighbours share one token (the last target, the first input), and
windows straddle documents and shards. N = (T - 1) // S samples make an epoch; what is left over is unused and reported.

Sample number g of the stream belongs to a source by the blend's table (`pretrain.data.blend`); that source's n-th draw
is place n mod N of epoch n // N, and the epoch's bijection (`pretrain.data.order`) says which window that is. All of it
is a function of (corpus, split, S, seed, blend, g): the number of ranks and the batch size do not enter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import MachineError, Problem, UserError
from data_pipeline.shards import ShardCache, ShardEntry, load_manifest
from pretrain.data.blend import check_names, make_blend
from pretrain.data.order import permute

_GO_ON = "find what is damaged: millrace data verify; make it again: millrace data run; then start the run again"


@dataclass(frozen=True)
class SourceStream:
    """One source of one split. starts: int64 [shards + 1], first token of each shard in the stream, then T."""

    name: str
    shards: tuple[ShardEntry, ...]
    starts: np.ndarray
    seq_length: int

    @property
    def tokens(self) -> int:
        """T."""
        return int(self.starts[-1])

    @property
    def samples(self) -> int:
        """N, samples per epoch."""
        return max(0, (self.tokens - 1) // self.seq_length)

    @property
    def unused_tokens(self) -> int:
        """Tokens that no window holds: those after the last one's last."""
        return self.tokens - (self.samples * self.seq_length + 1 if self.samples else 0)


class SampleStream:
    """The samples of one split of the corpus in `manifest_dir`.

    blend: weight by tokens of each source to read; a source it does not name is left out, and `describe()` says so.
    None or empty: all sources, weighted by their N (so an epoch of one is an epoch of all).
    skip_short: leave out, and say so, a source that is shorter than one window, instead of refusing it.
    Raises UserError (no corpus; unknown source in the blend; a source shorter than one window; a weight that rounds to
    0), all problems of a kind together. Reading raises MachineError naming a shard that is absent, damaged or changed.
    Reads may come from several threads.
    """

    def __init__(
        self,
        manifest_dir: Path,
        split: str,
        seq_length: int,
        seed: int,
        blend: Mapping[str, float] | None = None,
        skip_short: bool = False,
    ) -> None:
        manifest = load_manifest(manifest_dir)
        self.directory = Path(manifest_dir)
        self.corpus_id = manifest.corpus_id
        self.split, self.seq_length, self.seed = split, seq_length, seed
        shards: dict[str, list[ShardEntry]] = {name: [] for name in manifest.sources}
        for entry in manifest.splits.get(split, []):
            shards[entry.source].append(entry)
        found = {name: _source(name, entries, seq_length) for name, entries in shards.items()}
        problems = check_names(blend or {}, list(found))
        self.left_out: dict[str, str] = {}
        sources: dict[str, SourceStream] = {}
        for name, source in found.items():
            if blend and name not in blend:
                self.left_out[name] = "not in data.blend"
            elif source.samples:
                sources[name] = source
            elif skip_short:
                self.left_out[name] = f"its {source.tokens} tokens are fewer than one window of {seq_length + 1}"
            else:
                problems.append(self._too_short(source))
        if not sources and not problems:
            what = f"no source of split {split!r} holds a window of {seq_length + 1} tokens"
            problems = [Problem(what, str(self.directory), "lower train.seq_length, or give the split a larger share")]
        if problems:
            raise UserError(*problems)
        self._found = found
        self.blend = make_blend({name: blend[name] if blend else source.samples for name, source in sources.items()})
        self.sources = tuple(sources[name] for name in self.blend.sources)
        self.epoch_samples = sum(source.samples for source in self.sources)
        self._shards = ShardCache()
        self._stamps: dict[str, tuple[int, int]] = {}

    def samples(self, start: int, count: int) -> np.ndarray:
        """Samples start ... start + count - 1: int64 [count, seq_length + 1]."""
        return self.samples_at(np.arange(start, start + count, dtype=np.int64))

    def samples_at(self, numbers: np.ndarray) -> np.ndarray:
        """The samples of these numbers (any shape): int64 [*shape, seq_length + 1]. One copy, straight from the map."""
        which, _, window = self._find(numbers)
        rows = np.empty((which.size, self.seq_length + 1), dtype=np.int64)
        open_now: dict[str, np.ndarray] = {}
        for row, s, j in zip(rows, which.ravel().tolist(), window.ravel().tolist(), strict=True):
            self._read(self.sources[s], j * self.seq_length, row, open_now)
        return rows.reshape(*which.shape, self.seq_length + 1)

    def locate(self, sample: int) -> tuple[str, int, int]:
        """(source, epoch, window) of a sample: it holds that source's tokens [window x S, window x S + S + 1)."""
        which, epoch, window = self._find(np.array([sample]))
        return self.sources[int(which[0])].name, int(epoch[0]), int(window[0])

    def describe(self) -> dict[str, Any]:
        """What is read and what is not, for a report or a tracker: tokens, N, remainder and weight of each source."""
        weights = self.blend.weights()
        return {
            "corpus_id": self.corpus_id,
            "split": self.split,
            "seq_length": self.seq_length,
            "epoch_samples": self.epoch_samples,
            "sources": {
                source.name: {
                    "tokens": source.tokens,
                    "samples": source.samples,
                    "unused_tokens": source.unused_tokens,
                    "weight": weights[source.name],
                }
                for source in self.sources
            },
            "left_out": {
                name: {"tokens": self._found[name].tokens, "reason": reason} for name, reason in self.left_out.items()
            },
        }

    def lines(self) -> list[str]:
        """`describe()` for people, one line per source, weights as rounded."""
        lines = [
            f"{source.name}: weight {count}/65536 = {count / 65536:.4f}, {source.tokens:,} tokens, "
            f"{source.samples:,} samples per epoch, {source.unused_tokens:,} tokens unused"
            for source, count in zip(self.sources, self.blend.counts, strict=True)
        ]
        for name, reason in self.left_out.items():
            lines.append(f"{name}: left out ({reason}), {self._found[name].tokens:,} tokens")
        return lines

    def _too_short(self, source: SourceStream) -> Problem:
        window = self.seq_length + 1
        lower = f"lower train.seq_length to at most {source.tokens - 1}, or " if source.tokens > 2 else ""
        return Problem(
            f"source {source.name!r} has {source.tokens} tokens in split {self.split!r}, one window takes {window}",
            str(self.directory),
            f"{lower}name the sources to read in data.blend, without it",
        )

    def _find(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(index into self.sources, epoch, window) of each sample number, all int64 of the shape of `numbers`."""
        numbers = np.asarray(numbers, dtype=np.int64)
        if numbers.size and int(numbers.min()) < 0:
            raise ValueError(f"sample numbers start at 0, got {int(numbers.min())}")
        which, draw = self.blend.draws(numbers)
        epoch, window = np.empty_like(draw), np.empty_like(draw)
        for s in np.unique(which).tolist():
            mine = which == s
            source = self.sources[s]
            epoch[mine], place = np.divmod(draw[mine], source.samples)
            window[mine] = permute(place, source.samples, self.seed, source.name, epoch[mine])
        return which, epoch, window

    def _read(self, source: SourceStream, token: int, row: np.ndarray, open_now: dict[str, np.ndarray]) -> None:
        """Fills `row` with the tokens from `token` on, from as many shards as it takes."""
        shard = int(np.searchsorted(source.starts, token, side="right")) - 1
        filled = 0
        while filled < row.size:
            entry = source.shards[shard]
            tokens = open_now.get(entry.path)
            if tokens is None:
                tokens = open_now[entry.path] = self._open(entry)
            begin = token + filled - int(source.starts[shard])
            piece = tokens[begin : begin + row.size - filled]
            row[filled : filled + piece.size] = piece
            filled += piece.size
            shard += 1

    def _open(self, entry: ShardEntry) -> np.ndarray:
        """The mapped tokens of a shard, once it is certain that the file is still the one the manifest names."""
        path = self.directory / entry.path
        try:
            status = path.stat()
        except OSError as error:
            raise MachineError(
                f"a shard of the corpus cannot be read: {error.strerror}", str(path), go_on=_GO_ON
            ) from error
        stamp = (status.st_size, status.st_mtime_ns)
        if status.st_size != entry.bytes:
            what = f"a shard has changed: {status.st_size} bytes, the manifest says {entry.bytes}"
            raise MachineError(what, str(path), go_on=_GO_ON)
        if self._stamps.setdefault(entry.path, stamp) != stamp:
            raise MachineError("a shard was written again while this process was reading it", str(path), go_on=_GO_ON)
        try:
            reader = self._shards.get(path)
        except UserError as error:
            raise MachineError(error.problems[0].what, str(path), go_on=_GO_ON) from error
        if reader.tokens.size != entry.tokens or reader.source != entry.source:
            what = (
                f"a shard has changed: {reader.tokens.size} tokens of {reader.source!r}, "
                f"the manifest says {entry.tokens} of {entry.source!r}"
            )
            raise MachineError(what, str(path), go_on=_GO_ON)
        return reader.tokens


def _source(name: str, shards: list[ShardEntry], seq_length: int) -> SourceStream:
    starts = np.zeros(len(shards) + 1, dtype=np.int64)
    np.cumsum([entry.tokens for entry in shards], out=starts[1:])
    return SourceStream(name, tuple(shards), starts, seq_length)
