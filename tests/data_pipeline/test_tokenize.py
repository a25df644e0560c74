"""The tokenizer: equal texts give an equal model, no text is lost, and ids lead back to the text."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from configs.schema.data import Tokenizer
from data_pipeline.tokenize.codec import Codec
from data_pipeline.tokenize.train import MAX_SENTENCE_BYTES, TrainingText, sentences, train


def words(count: int, seed: int = 0) -> list[str]:
    """Made-up words of made-up syllables: enough regularity for pieces to be worth having."""
    draw = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "é", "ßa")]
    lexicon = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(2000)]
    return draw.choices(lexicon, k=count)


def texts(documents: int = 60, seed: int = 0) -> list[str]:
    stream = words(documents * 80, seed)
    return ["  " + " ".join(stream[i * 80 : i * 80 + 80]) + ".\n\n\tNumber 1234\n" for i in range(documents)]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def codec(request: pytest.FixtureRequest) -> Codec:
    model, _ = train(texts(), Tokenizer(model_type=request.param, vocab_size=700))
    return Codec(model)


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=60)


@settings(max_examples=300, deadline=None)
@given(text=ANY_TEXT)
@example(text=" two  blanks \n\n\t and \r\n ends ")
@example(text="</s> <unk> <s> <0x0A> \u2585 \0")
@example(text="\ufeffe\u0301 日本語 👩‍👩‍👧 \U0010ffff")
def test_decoding_gives_any_text_back(codec: Codec, text: str) -> None:
    ids = codec.encode(text)
    assert codec.decode(ids) == text
    assert codec.end_of_document not in ids
    assert codec.decode([*ids, codec.end_of_document]) == text


def test_a_codec_gives_the_ids_of_the_library(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(codec.model)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    sample = [*texts(5, seed=1), "", "日本", "x" * 5000]
    loaded = Codec.load(path)
    assert loaded.hash == codec.hash and loaded.end_of_document == reference.eos_id() == 2
    for text, row in zip(sample, loaded.encode_batch(sample), strict=True):
        assert row.tolist() == reference.encode(text) == loaded.encode(text).tolist()
        assert row.dtype == np.uint16


def test_training_twice_gives_one_file() -> None:
    settings_ = Tokenizer(vocab_size=700, num_threads=2)
    (first, counts), (second, _) = train(texts(), settings_), train(iter(texts()), settings_)
    assert first == second
    assert (counts.documents, counts.bytes) == (60, sum(len(t.encode()) for t in texts()))


def test_the_end_of_document_id_cannot_come_out_of_text(codec: Codec) -> None:
    assert codec.piece(codec.end_of_document) == "</s>"
    assert all(codec.end_of_document not in codec.encode(t) for t in ("</s>", " </s>", "a</s>b", "▁</s>"))


@given(st.lists(st.text(st.sampled_from("aé日👩 \n\t"), max_size=3 * MAX_SENTENCE_BYTES), max_size=3))
@settings(max_examples=50, deadline=None)
def test_long_lines_are_cut_but_not_a_character_is_lost(documents: list[str]) -> None:
    counts = TrainingText()
    documents = [d * 3 for d in documents]
    lines = list(sentences(documents, counts))
    assert "".join(lines) == "".join(documents).replace("\n", "").replace("\t", "")
    assert all(0 < len(line.encode()) <= MAX_SENTENCE_BYTES for line in lines)
    assert counts.sentences == len(lines)


def test_a_long_line_is_cut_behind_a_blank_and_counted() -> None:
    counts = TrainingText()
    line = "wort " * 2000
    lines = list(sentences([line], counts))
    assert "".join(lines) == line and all(s.endswith(" ") for s in lines) and counts.cut_lines == 1


def test_the_trainer_reads_every_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    """The library skips what it dislikes with a line in its log at most: what we hand it must all be read."""
    hostile = ["x\u2585y", "a\0b", "tab\there", "日" * 9000, "word " * 5000, *texts(20)]
    lines = list(sentences(hostile, TrainingText()))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=io.BytesIO(), vocab_size=500, byte_fallback=True,
        normalization_rule_name="identity", max_sentence_length=MAX_SENTENCE_BYTES, minloglevel=0,
    )  # fmt: skip
    log = capfd.readouterr().err
    assert f"Loaded all {len(lines)} sentences" in log
    assert "Too long lines are skipped" not in log and "Reserved chars" not in log


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_vocabulary_beyond_the_text_names_the_largest_that_works(model_type: str) -> None:
    few = texts(3)
    with pytest.raises(UserError, match="the largest that works") as caught:
        train(few, Tokenizer(model_type=model_type, vocab_size=30_000))
    largest = int(str(caught.value).split("tokenizer.vocab_size=")[1].split(";")[0])
    model, _ = train(few, Tokenizer(model_type=model_type, vocab_size=largest))
    assert Codec(model).vocab_size == largest
    with pytest.raises(UserError):
        train(few, Tokenizer(model_type=model_type, vocab_size=largest + 1))


def test_a_vocabulary_below_the_characters_is_refused_in_words() -> None:
    many = "".join(chr(c) for c in range(0x4E00, 0x4E00 + 400))
    with pytest.raises(UserError, match="does not hold the characters"):
        train([many] * 5, Tokenizer(vocab_size=400, character_coverage=1))


def test_no_text_is_the_users_problem_said_in_words() -> None:
    with pytest.raises(UserError, match="no text"):
        train([], Tokenizer(vocab_size=700))


def test_what_is_no_model_is_refused_in_words(tmp_path: Path) -> None:
    for name, content in (("empty.model", b""), ("text.model", b"not a model at all")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="not a SentencePiece model"):
            Codec.load(tmp_path / name)
    with pytest.raises(UserError, match="cannot read the tokenizer"):
        Codec.load(tmp_path / "absent.model")


def test_a_damaged_model_is_refused_or_another_model_and_no_fault() -> None:
    model, draw = train(texts(), Tokenizer(vocab_size=500))[0], random.Random(0)
    refused = 0
    for _ in range(100):
        damaged = bytearray(model)
        damaged[draw.randrange(len(model))] ^= 1 << draw.randrange(8)
        try:
            assert Codec(bytes(damaged)).hash != xxhash.xxh3_128_hexdigest(model)
        except UserError:
            refused += 1
    assert refused


def test_a_model_without_an_end_is_refused(tmp_path: Path) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts()), model_writer=model, vocab_size=500, eos_id=-1, bos_id=-1, minloglevel=2
    )
    with pytest.raises(UserError, match="no end-of-document id"):
        Codec(model.getvalue())
