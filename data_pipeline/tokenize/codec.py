"""Text <-> token ids. Needs numpy and xxhash; SentencePiece is imported when a model is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from configs.errors import Problem, UserError
from data_pipeline.shards.schema import token_dtype

_END_PIECES = ("</s>", "<|endoftext|>", "<|end_of_text|>")


class Codec:
    """A SentencePiece model. Ids are those of the library itself, whatever encodes them.

    vocab_size: pieces of the model. end_of_document: id that ends each document. hash: xxh3-128 of the model file, hex.
    dtype: uint16, or uint32 above 65,536 pieces.
    """

    def __init__(self, model: bytes, where: str = "") -> None:
        self.model = model
        self.hash = xxhash.xxh3_128_hexdigest(model)
        self._processor: Any = _load(model, where)
        self.vocab_size: int = self._processor.get_piece_size()
        self.end_of_document = self._end(where)
        self.dtype = token_dtype(self.vocab_size)

    @classmethod
    def load(cls, path: Path | str) -> Codec:
        """The codec of a model file. UserError: absent, not a SentencePiece model, or without an end-of-document id."""
        try:
            model = Path(path).read_bytes()
        except OSError as error:
            hint = "tokenizer.model names a SentencePiece model file"
            raise UserError(Problem(f"cannot read the tokenizer: {error.strerror}", str(path), hint)) from None
        return cls(model, str(path))

    def encode(self, text: str) -> np.ndarray:
        """The ids of `text`, uint16 or uint32 [tokens], without an end-of-document id."""
        return np.array(self._processor.encode(text, out_type=int), self.dtype)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """As `encode` for each text. Uses one thread: the road runs one worker per core."""
        rows = self._processor.encode(list(texts), out_type=int, num_threads=1)
        return [np.array(row, self.dtype) for row in rows]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids; end-of-document ids vanish.

        For a model trained by this project decode(encode(text)) == text, but for U+2581, which SentencePiece
        reserves to spell a space and gives back as one.
        """
        return self._processor.decode([int(i) for i in ids])

    def piece(self, token: int) -> str:
        """How the model spells one id."""
        return self._processor.id_to_piece(int(token))

    def _end(self, where: str) -> int:
        if self._processor.eos_id() >= 0:
            return self._processor.eos_id()
        for piece in _END_PIECES:
            token = self._processor.piece_to_id(piece)
            if token != self._processor.unk_id():
                return token
        raise UserError(
            Problem(
                "the tokenizer has no end-of-document id",
                where,
                f"use a model with an end-of-sentence piece (eos_id) or one of {', '.join(_END_PIECES)}",
            )
        )


def _load(model: bytes, where: str) -> Any:
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor()
    try:
        # An empty proto would leave the processor silently unloaded.
        loaded = bool(model) and processor.LoadFromSerializedProto(model)
    except (RuntimeError, ValueError):  # ValueError: its message quotes the damaged bytes as text
        loaded = False
    if not loaded or processor.get_piece_size() < 1:
        raise UserError(
            Problem(
                "not a SentencePiece model", where, "tokenizer.model names a file written by SentencePiece's trainer"
            )
        )
    return processor
