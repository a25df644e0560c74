"""Training a SentencePiece model from texts in memory, so that equal texts give an equal file."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from configs.errors import MachineError, Problem, UserError
from configs.schema.data import Tokenizer

MAX_SENTENCE_BYTES = 4096
"""Longer stretches are cut: the trainer would drop them, with a line in its log at most."""

VERSION = 1
"""Of the rules in this file; part of the tokenizer's fingerprint."""

_BREAKS = re.compile("[\n\r\t\0\u2585]+")
"""Line ends, and what the trainer reserves for itself (it skips sentences with U+2585, and NUL and TAB)."""

_BYTE_PIECES = 256
_SPECIAL_PIECES = 3  # <unk>, <s>, </s>


@dataclass
class TrainingText:
    """What went into the training."""

    documents: int = 0
    bytes: int = 0
    sentences: int = 0
    cut_lines: int = 0


def sentences(texts: Iterable[str], counts: TrainingText) -> Iterator[str]:
    """The texts as lines of at most MAX_SENTENCE_BYTES bytes of UTF-8, in order; nothing but line ends is left out.

    Longer lines are cut behind their last blank that fits, or between characters where there is none.
    """
    for text in texts:
        counts.documents += 1
        counts.bytes += len(text.encode("utf-8"))
        for line in _BREAKS.split(text):
            if not line:
                continue
            pieces = list(_cut(line))
            counts.cut_lines += len(pieces) > 1
            counts.sentences += len(pieces)
            yield from pieces


def _cut(line: str) -> Iterator[str]:
    data = line.encode("utf-8")
    start = 0
    while len(data) - start > MAX_SENTENCE_BYTES:
        end = start + MAX_SENTENCE_BYTES
        blank = data.rfind(b" ", start, end)
        if blank > start:
            end = blank + 1
        else:
            while data[end] & 0xC0 == 0x80:  # never inside a character
                end -= 1
        yield data[start:end].decode("utf-8")
        start = end
    yield data[start:].decode("utf-8")


def train(texts: Iterable[str], settings: Tokenizer, where: str = "tokenizer.vocab_size") -> tuple[bytes, TrainingText]:
    """Trains on `texts` as they come. Returns the model file's bytes and what was read.

    Text is taken as it is: no normalisation, no blank put in front, blanks kept, so that decoding gives the text back.
    Pieces: 0 <unk>, 1 <s>, 2 </s> (end of document), then bytes (with byte_fallback), then text; digits stand alone.
    where: place of the setting, for messages. UserError: vocab_size above or below what the texts allow.
    """
    from sentencepiece import SentencePieceTrainer

    least = _SPECIAL_PIECES + (_BYTE_PIECES if settings.byte_fallback else 0) + 1
    if settings.vocab_size < least:
        raise UserError(
            Problem(
                f"a vocabulary of {settings.vocab_size} is too small",
                where,
                f"special pieces and bytes alone take {least}",
            )
        )
    counts = TrainingText()
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=sentences(texts, counts),
            model_writer=model,
            model_type=settings.model_type,
            vocab_size=settings.vocab_size,
            character_coverage=settings.character_coverage,
            byte_fallback=settings.byte_fallback,
            num_threads=settings.num_threads,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            max_sentence_length=MAX_SENTENCE_BYTES,
            # Sampling inside the trainer is off: which documents count was decided by their hash.
            input_sentence_size=0,
            shuffle_input_sentence=False,
            train_extremely_large_corpus=True,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explained(str(error), settings, counts, where) from error
    return model.getvalue(), counts


def _explained(message: str, settings: Tokenizer, counts: TrainingText, where: str) -> UserError | MachineError:
    corpus = f"{counts.documents:,} documents ({counts.bytes:,} bytes) drawn for training"
    if not counts.sentences:
        return UserError(
            Problem(
                "there is no text to train a tokenizer on",
                where,
                "see the reasons of rejection in the report, or set tokenizer.model",
            )
        )
    if too_high := re.search(r"Vocabulary size too high \(\d+\).*<= (\d+)", message, re.S):
        return UserError(
            Problem(
                f"a vocabulary of {settings.vocab_size:,} is more than the {corpus} support",
                where,
                f"the largest that works is tokenizer.vocab_size={too_high[1]}; "
                "or give more text (sources, tokenizer.train_bytes)",
            )
        )
    if too_low := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return UserError(
            Problem(
                f"a vocabulary of {settings.vocab_size:,} does not hold the characters of the {corpus}",
                where,
                f"the smallest that works is about tokenizer.vocab_size={int(too_low[1]) + 1}; "
                "or lower tokenizer.character_coverage",
            )
        )
    return MachineError(f"SentencePiece failed: {message}", where)
