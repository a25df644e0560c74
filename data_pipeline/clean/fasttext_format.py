"""fastText's binary model format (magic 793712314, versions 11 and 12): checked before it is loaded, and written.

fastText's own loader believes every size and index in a file: one wrong bit is a crash, or a read beyond its memory.
`inspect` proves, in one pass and with bounded memory, all that loader and predictor take for granted.

Layout, little-endian: magic, version; 12 int32 and a double of arguments; dictionary (size, words, labels: int32;
tokens, kept n-grams: int64; then each entry as a NUL-ended string, int64 count, int8 type; then pairs of int32 for the
kept n-grams); a flag and the input matrix; a flag and the output matrix. A matrix is dense (rows, columns: int64;
float32) or product-quantised (Joulin et al. 2016, "FastText.zip").
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from configs.errors import Problem, UserError

MAGIC = 793712314
VERSION = 12
LABEL_PREFIX = "__label__"
SUPERVISED = 3
LOSSES = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}

# Bounds of the arithmetic and of the time per character. Released models stay far below.
_MAX_DIMENSION = 10_000
_MAX_NGRAM = 16
_MAX_WEIGHT = 1e6
_CENTROIDS = 256
_CHUNK = 1 << 24


class Malformed(Exception):
    """A file that is no sound model of this format; the message says why."""


@dataclass(frozen=True)
class Arguments:
    """What prediction needs of a model's arguments. ngrams: longest word n-gram; min_n, max_n: lengths of character
    n-grams (max_n 0: none); buckets: rows shared by all n-grams."""

    dimension: int
    ngrams: int
    loss: str
    buckets: int
    min_n: int
    max_n: int


@dataclass(frozen=True)
class Inspection:
    """A model found sound: its arguments, labels in order, and number of words."""

    arguments: Arguments
    labels: tuple[str, ...]
    words: int
    quantized: bool
    bytes: int


def inspect(path: Path) -> Inspection:
    """Raises UserError where the file cannot be read or is not a sound supervised model."""
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise Malformed("it is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data).model()
    except Malformed as error:
        hint = "give a supervised fastText model (.bin, .ftz), or bring this one again: it may be damaged"
        raise UserError(Problem(f"not a sound fastText model: {error}", str(path), hint)) from None
    except OSError as error:
        hint = "check the path; relative ones start at the current directory"
        raise UserError(Problem(f"cannot read the model: {error.strerror or error}", str(path), hint)) from None


class _Reader:
    """Walks through a file. Every method raises Malformed where the bytes do not hold what they should."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def model(self) -> Inspection:
        magic, version = self._take("<ii")
        _demand(magic == MAGIC, "its first bytes are not those of the format")
        _demand(version in (11, 12), f"version {version} is not read; 11 and 12 are")
        arguments = self._arguments(version)
        words, labels, rows = self._dictionary(arguments)
        quantized = self._flag("input")
        self._matrix("input", quantized, rows, arguments.dimension)
        _demand(quantized or rows == words + arguments.buckets, "its n-grams are pruned, its matrix is not")
        # A dense input never comes with a quantised output, whatever the flag says.
        self._matrix("output", self._flag("output") and quantized, len(labels), arguments.dimension)
        _demand(self._at == len(self._data), f"{len(self._data) - self._at:,} bytes follow its end")
        return Inspection(arguments, labels, words, quantized, len(self._data))

    def _arguments(self, version: int) -> Arguments:
        fields = self._take("<12id")
        dimension, ngrams, loss, model, buckets, min_n, max_n = (fields[i] for i in (0, 5, 6, 7, 8, 9, 10))
        max_n = 0 if version == 11 else max_n  # older supervised models have no character n-grams
        _demand(model == SUPERVISED, "it is no classifier: word vectors have no labels")
        _demand(loss in LOSSES, f"its loss {loss} is none of the format's")
        _demand(0 < dimension <= _MAX_DIMENSION, f"its dimension is {dimension:,}, not 1 to {_MAX_DIMENSION:,}")
        _demand(ngrams <= _MAX_NGRAM and max_n <= _MAX_NGRAM, f"its n-grams are longer than {_MAX_NGRAM}")
        _demand(buckets >= 0, f"it has {buckets} buckets")
        _demand(buckets > 0 or (ngrams <= 1 and max_n <= 0), "it has n-grams and no buckets for them")
        return Arguments(dimension, ngrams, LOSSES[loss], buckets, min_n, max_n)

    def _dictionary(self, arguments: Arguments) -> tuple[int, tuple[str, ...], int]:
        """Words, labels, and rows of the input matrix."""
        size, words, labels, _, kept = self._take("<iiiqq")
        _demand(words >= 0 and labels >= 1 and size == words + labels, "the sizes of its dictionary disagree")
        _demand(size <= len(self._data) // 10, "its dictionary is larger than the file")
        names: list[str] = []
        previous = 10**15  # above it, the predictor's tree of labels would not end
        find, unpack = self._data.find, struct.Struct("<qb").unpack_from
        for index in range(size):
            end = find(b"\0", self._at)
            _demand(end >= 0 and end + 10 <= len(self._data), "its dictionary ends in the middle")
            count, kind = unpack(self._data, end + 1)
            _demand(kind == (index >= words), "words and labels are mixed up in its dictionary")
            if kind:
                # The tree is built for counts that do not rise: others give paths of any length.
                ordered = 1 <= count <= previous if arguments.loss == "hs" else count >= 1
                _demand(ordered and count < 10**15, "the counts of its labels are wrong")
                previous = count
                names.append(_label(self._data[self._at : end]))
            self._at = end + 10
        _demand(len(set(names)) == len(names), "two of its labels are the same")
        if kept < 0:
            return words, tuple(names), words + arguments.buckets
        _demand(kept <= arguments.buckets, "it keeps more n-grams than it has buckets")
        pairs = np.frombuffer(self._bytes(8 * kept), "<i4").reshape(-1, 2)
        _demand(bool(((pairs >= 0) & (pairs < [arguments.buckets, max(kept, 1)])).all()), "its kept n-grams are wrong")
        return words, tuple(names), words + kept

    def _matrix(self, name: str, quantized: bool, rows: int, columns: int) -> None:
        norms = quantized and self._flag(name)
        found = self._take("<qq")
        _demand(
            found == (rows, columns), f"its {name} matrix is {found[0]:,} x {found[1]:,}, not {rows:,} x {columns:,}"
        )
        if not quantized:
            self._weights(name, rows * columns)
            return
        (codes,) = self._take("<i")
        self._pass(codes)
        pieces = self._quantizer(name, columns)
        _demand(codes == rows * pieces, f"the codes of its {name} matrix are {codes:,}, not {rows * pieces:,}")
        if norms:
            self._pass(rows)
            self._quantizer(name, 1)

    def _quantizer(self, name: str, dimension: int) -> int:
        """The number of pieces that a vector is cut into."""
        found, pieces, piece, last = self._take("<4i")
        sound = found == dimension and piece > 0 and pieces == -(-dimension // piece)
        _demand(sound and last == (dimension % piece or piece), f"the quantiser of its {name} matrix is wrong")
        self._weights(name, dimension * _CENTROIDS)
        return int(pieces)

    def _weights(self, name: str, number: int) -> None:
        """All finite and small enough that no sum of them overflows: the probabilities are numbers."""
        _demand(4 * number <= len(self._data) - self._at, f"its {name} matrix is cut off")
        for begin in range(0, number, _CHUNK):
            some = np.frombuffer(self._bytes(4 * min(_CHUNK, number - begin)), "<f4")
            largest = max(some.max(), -some.min())
            _demand(bool(largest <= _MAX_WEIGHT), f"its {name} matrix holds {largest:g}")

    def _take(self, layout: str) -> tuple:
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))

    def _flag(self, name: str) -> bool:
        (value,) = self._bytes(1)
        _demand(value in (0, 1), f"the flag before its {name} matrix is {value}")
        return bool(value)

    def _bytes(self, size: int) -> bytes:
        self._pass(size)
        return self._data[self._at - size : self._at]

    def _pass(self, size: int) -> None:
        _demand(0 <= size <= len(self._data) - self._at, "it is cut off, or a size in it is wrong")
        self._at += size


def write(
    path: Path,
    arguments: Arguments,
    words: Sequence[tuple[bytes, int]],
    labels: Sequence[tuple[bytes, int]],
    tokens: int,
    inputs: np.ndarray,
    outputs: np.ndarray,
    epochs: int,
    min_count: int,
) -> None:
    """A dense supervised model. words, labels: with their counts, in the order of the rows. inputs: float32
    [words + buckets, dimension]; outputs: float32 [labels, dimension]."""
    loss = next(number for number, name in LOSSES.items() if name == arguments.loss)
    fields = (
        *(arguments.dimension, 5, epochs, min_count, 5, arguments.ngrams, loss, SUPERVISED, arguments.buckets),
        *(arguments.min_n, arguments.max_n, 100, 1e-4),
    )
    with path.open("wb") as file:
        file.write(struct.pack("<ii12id", MAGIC, VERSION, *fields))
        file.write(struct.pack("<iiiqq", len(words) + len(labels), len(words), len(labels), tokens, -1))
        for kind, entries in enumerate((words, labels)):
            file.writelines(word + struct.pack("<bqb", 0, count, kind) for word, count in entries)
        for matrix in (inputs, outputs):
            file.write(struct.pack("<?qq", False, *matrix.shape))
            _floats(file, matrix)


def _floats(file: IO[bytes], matrix: np.ndarray) -> None:
    rows = max(1, _CHUNK // matrix.shape[1])
    for begin in range(0, len(matrix), rows):
        file.write(np.ascontiguousarray(matrix[begin : begin + rows], "<f4").tobytes())


def _label(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise Malformed("a label is not UTF-8") from None


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Malformed(otherwise)
