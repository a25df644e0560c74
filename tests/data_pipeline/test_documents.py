"""Identity of documents and equality of texts."""

import random
import unicodedata
from itertools import pairwise

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.content import ContentHash
from data_pipeline.documents import SCHEMA, content_hash, document_id, normalized, portions, source_column


def test_an_id_is_the_hash_of_source_path_and_offset():
    assert document_id("web", "a/b.jsonl", 17) == xxhash.xxh3_128(b"web\0a/b.jsonl\x0017").digest()
    # The value itself is a promise: corpora written earlier keep their ids.
    assert document_id("web", "a/b.jsonl", 17).hex() == "2fb49861967daa50d7d049759d1a90a8"


def test_ids_differ_where_any_part_differs():
    ids = {document_id(*key) for key in [("a", "b", 0), ("a", "b", 1), ("a", "c", 0), ("b", "b", 0), ("a", "b0", 0)]}
    assert len(ids) == 5


def test_a_path_that_is_not_unicode_has_an_id():
    assert len(document_id("web", b"caf\xe9.jsonl".decode("utf-8", "surrogateescape"), 0)) == 16


def test_texts_are_equal_but_for_white_space_and_unicode_form():
    assert content_hash(" Caf\u00e9\n\n au  lait ") == content_hash("Cafe\u0301 au\tlait")
    assert content_hash("cafe au lait") != content_hash("Cafe au lait")


@given(st.text(st.characters(codec=None), max_size=50))
def test_any_text_has_a_content_hash(text):
    assert len(content_hash(text)) == 16


def rows(documents):
    columns = {
        "id": [document_id("s", "p", n) for n, _ in documents],
        "text": [text for _, text in documents],
        "url": [""] * len(documents),
        "source": source_column("s", len(documents)),
        "language": ["en"] * len(documents),
        "metadata": [[("license", text[:1])] if n % 2 else [] for n, text in documents],
    }
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def digest(batches):
    content = ContentHash(SCHEMA)
    for batch in batches:
        content.update(batch)
    return content.hexdigest()


@given(st.lists(st.text(max_size=12), min_size=1, max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_a_content_hash_does_not_see_how_rows_are_batched(texts, first, second):
    documents = list(enumerate(texts))
    whole = rows(documents)
    cuts = sorted({0, min(first, len(texts)), min(second, len(texts)), len(texts)})
    parts = [whole.slice(a, b - a) for a, b in pairwise(cuts)]
    alone = [rows(documents[a:b]) for a, b in pairwise(cuts)]
    assert digest([whole]) == digest(parts) == digest(alone)


@pytest.mark.parametrize("other", [["ab", "c"], ["a", "bc", ""], ["a", "bd"], ["a"], ["bc", "a"]])
def test_a_content_hash_sees_every_value(other):
    assert digest([rows(list(enumerate(["a", "bc"])))]) != digest([rows(list(enumerate(other)))])


def test_a_content_hash_tells_null_from_zero():
    schema = pa.schema([pa.field("n", pa.int64())])

    def of(values):
        content = ContentHash(schema)
        content.update(pa.RecordBatch.from_pydict({"n": values}, schema=schema))
        return content.hexdigest()

    assert len({of([0, 1]), of([None, 1]), of([1, 0]), of([1, None])}) == 4


def test_the_words_of_a_large_text_are_normalised_portion_by_portion_as_in_one_piece() -> None:
    for seed in range(3):
        draw = random.Random(seed)
        text = "".join(draw.choices(["a", "bc", "é", " ", "\n", "\u2003", "\x1c", "\u0301"], k=900_000))
        assert "".join(portions(text)) == text and all(portion[0].isspace() for portion in [*portions(text)][1:])
        assert normalized(text) == " ".join(unicodedata.normalize("NFC", text).split())
    assert [len(portion) for portion in portions("x" * 600_000)] == [600_000]
