"""The shard format: what is written is read back as a view of the file, by us and by others, for ever."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import MachineError, UserError
from data_pipeline.shards import FORMAT_VERSION, Manifest, ShardCache, ShardEntry, ShardReader, load_manifest
from data_pipeline.shards.atomic import PARTIAL, file_xxh3
from data_pipeline.shards.manifest import MANIFEST, parse_manifest, shard_path, write_manifest
from data_pipeline.shards.schema import KEY_FORMAT
from data_pipeline.shards.writer import ShardWriter

FIXTURES = Path(__file__).parent / "fixtures"
END = 2


def write_shard(
    path: Path, documents: list[list[int]], vocab_size: int = 1000, order: list[int] | None = None
) -> ShardEntry:
    with ShardWriter(path, "books", "train", vocab_size, END, "f" * 32) as writer:
        for index, tokens in enumerate(documents):
            writer.append(index.to_bytes(16, "big"), f"https://example.org/{index}/é", np.array(tokens, np.int64))
        return writer.close(None if order is None else np.array(order, np.int64))


def manifest(entries: list[ShardEntry]) -> Manifest:
    return Manifest({"train": entries}, 1000, END, "tokenizer/tokenizer.model", "f" * 32)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 69_999), max_size=9), min_size=1, max_size=12),
    st.sampled_from([65_536, 65_537, 70_000]),
    st.randoms(use_true_random=False),
)
def test_documents_come_back_in_the_given_order_each_with_its_end(
    tmp_path_factory, documents, vocab_size, random
) -> None:
    documents = [[t % vocab_size for t in d] for d in documents]
    order = list(range(len(documents)))
    random.shuffle(order)
    path = tmp_path_factory.mktemp("shard") / "books-00000.arrow"
    entry = write_shard(path, documents, vocab_size, order)
    reader = ShardReader(path)
    assert reader.tokens.dtype == (np.uint16 if vocab_size == 65_536 else np.uint32)
    assert [reader.document(i).tolist() for i in range(reader.documents)] == [[*documents[i], END] for i in order]
    assert [int.from_bytes(reader.doc_id(i), "big") for i in range(reader.documents)] == order
    assert [reader.url(i) for i in range(reader.documents)] == [f"https://example.org/{i}/é" for i in order]
    assert (entry.documents, entry.tokens) == (len(documents), sum(map(len, documents)) + len(documents))
    assert (entry.bytes, entry.xxh3) == (path.stat().st_size, file_xxh3(path))
    assert (reader.source, reader.info.split, reader.info.end_of_document) == ("books", "train", END)


def test_every_token_leads_to_its_document(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.arrow", [[7] * n for n in (3, 0, 1, 0, 0, 5)])
    reader = ShardReader(tmp_path / "a.arrow")
    expected = [d for d in range(6) for _ in range(reader.offsets[d + 1] - reader.offsets[d])]
    assert [reader.document_at(t) for t in range(len(reader.tokens))] == expected
    for outside in (-1, len(reader.tokens)):
        with pytest.raises(IndexError):
            reader.document_at(outside)


def test_tokens_are_an_aligned_view_of_the_mapped_file(tmp_path: Path) -> None:
    documents = [list(range(1, 900))] * 500
    write_shard(tmp_path / "a.arrow", documents)
    before = pa.total_allocated_bytes()
    reader = ShardReader(tmp_path / "a.arrow")
    assert pa.total_allocated_bytes() - before < 100_000 < reader.tokens.nbytes
    assert reader.tokens.flags.aligned and reader.tokens.flags.c_contiguous and not reader.tokens.flags.writeable
    with (tmp_path / "a.arrow").open("r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        start = view.find(reader.tokens.tobytes())
        assert start > 0 and start % 8 == 0
        view[start] ^= 1  # the map is shared, so a view sees the change where a copy would not
        assert reader.tokens[0] == 1 ^ 1


def test_the_file_is_one_uncompressed_batch_that_datasets_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import Dataset

    write_shard(tmp_path / "a.arrow", [[5, 6], [], [7]])
    dataset = Dataset.from_file(str(tmp_path / "a.arrow"))
    assert dataset["tokens"][:] == [[5, 6, END], [END], [7, END]]
    assert dataset[2]["doc_id"] == (2).to_bytes(16, "big") and dataset[2]["source"] == "books"


def test_memory_stays_flat_while_a_shard_is_written(tmp_path: Path) -> None:
    """In a process that may not allocate half of what it writes."""
    program = """
import resource, sys, re
from pathlib import Path
import numpy as np
from data_pipeline.shards.writer import ShardWriter
from data_pipeline.shards import ShardReader
tokens = np.arange(1_000_000) % 1000
with ShardWriter(Path(sys.argv[1]), "books", "train", 1000, 2, "f" * 32) as writer:
    writer.append(bytes(16), "", tokens)
    used = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + 50_000_000,) * 2)
    for i in range(1, 60):
        writer.append(i.to_bytes(16, "big"), "u" * 100, tokens)
    entry = writer.close(np.arange(60)[::-1])
assert entry.bytes > 120_000_000 and np.array_equal(ShardReader(sys.argv[1]).document(58)[:-1], tokens)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.arrow")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_id_outside_the_vocabulary_and_an_empty_shard_are_refused(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.arrow", "books", "train", 1000, END, "f" * 32) as writer:
        for bad in ([1000], [-1]):
            with pytest.raises(ValueError, match="outside a vocabulary"):
                writer.append(bytes(16), "", np.array(bad))
        with pytest.raises(ValueError, match="without documents"):
            writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_left_early_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ShardWriter(tmp_path / "out" / "a.arrow", "b", "train", 9, END, "") as writer:
        writer.append(bytes(16), "u", np.array([1]))
        raise RuntimeError
    assert list((tmp_path / "out").iterdir()) == []
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_equal_documents_give_equal_bytes(tmp_path: Path) -> None:
    first = write_shard(tmp_path / "a.arrow", [[1], [2, 3]])
    again = write_shard(tmp_path / "b.arrow", [[2, 3], [1]], order=[1, 0])
    assert first.tokens == again.tokens and first.xxh3 != again.xxh3  # ids differ: they belong to other documents
    write_shard(tmp_path / "c.arrow", [[1], [2, 3]])
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "c.arrow").read_bytes()


def rewrite_metadata(source: Path, target: Path, **changes: str) -> None:
    with pa.memory_map(str(source)) as mapped:
        table = pa.ipc.open_stream(mapped).read_all()
    metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()} | changes
    with pa.OSFile(str(target), "wb") as file:
        schema = table.schema.with_metadata(metadata)
        with pa.ipc.new_stream(file, schema) as stream:
            stream.write_table(table.replace_schema_metadata(metadata))


def test_a_newer_format_is_refused_in_words(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.arrow", [[1]])
    rewrite_metadata(tmp_path / "a.arrow", tmp_path / "b.arrow", **{KEY_FORMAT: str(FORMAT_VERSION + 1)})
    with pytest.raises(UserError, match=f"format version {FORMAT_VERSION + 1} is newer") as caught:
        ShardReader(tmp_path / "b.arrow")
    assert "b.arrow" in str(caught.value) and "newer Millrace" in str(caught.value)


def test_what_is_no_shard_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such shard"):
        ShardReader(tmp_path / "absent.arrow")
    with (
        pa.OSFile(str(tmp_path / "other.arrow"), "wb") as file,
        pa.ipc.new_stream(file, pa.schema([("a", pa.int8())])) as s,
    ):
        s.write_batch(pa.record_batch([pa.array([1], pa.int8())], names=["a"]))
    with pytest.raises(UserError, match="not a shard"):
        ShardReader(tmp_path / "other.arrow")


def test_truncated_shards_are_called_damaged(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.arrow", [list(range(200))] * 20)
    data = (tmp_path / "a.arrow").read_bytes()
    for keep in (0, 1, 7, 100, len(data) // 2, len(data) - 600):
        (tmp_path / "b.arrow").write_bytes(data[:keep])
        with pytest.raises((MachineError, UserError)):
            ShardReader(tmp_path / "b.arrow")


def test_a_cache_keeps_the_recently_used_shards_only(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.arrow" for i in range(4)]
    for i, path in enumerate(paths):
        write_shard(path, [[i]])
    cache = ShardCache(capacity=2)
    first = cache.get(paths[0])
    view = first.tokens
    assert cache.get(paths[0]) is first
    for path in paths[1:]:
        cache.get(path)
    assert len(cache) == 2 and cache.get(paths[0]) is not first
    del first
    assert view.tolist() == [0, END]  # a view outlives the reader that gave it
    if Path("/proc/self/maps").exists():
        assert "/2.arrow" not in Path("/proc/self/maps").read_text()


def test_the_first_format_opens_for_ever() -> None:
    reader = ShardReader(FIXTURES / "shard-v1.arrow")
    assert (reader.source, reader.info.split, reader.info.vocab_size, reader.info.end_of_document) == (
        "books",
        "train",
        1000,
        2,
    )
    assert [reader.document(i).tolist() for i in range(reader.documents)] == [[10, 11, 12, 2], [2], [999, 2]]
    assert [reader.url(i) for i in range(3)] == [
        "https://example.org/0/é",
        "https://example.org/1/é",
        "https://example.org/2/é",
    ]
    assert [reader.doc_id(i) for i in range(3)] == [i.to_bytes(16, "big") for i in range(3)]
    assert reader.tokens.dtype == np.uint16


def test_a_manifest_comes_back_equal_with_an_id_of_its_content(tmp_path: Path) -> None:
    entry = ShardEntry(shard_path("books", "train", 0), "books", 3, 8, 1000, "0" * 32)
    assert entry.path == "shards/train/books-00000.arrow"
    original = manifest([entry])
    corpus_id = write_manifest(tmp_path, original)
    loaded = load_manifest(tmp_path)
    assert loaded == original and loaded.corpus_id == corpus_id and loaded.sources == ["books"]
    assert loaded.tokens("train") == 8 and loaded.tokens("test") == 0
    assert manifest([]).corpus_id != corpus_id
    assert not list(tmp_path.glob(f"*{PARTIAL}*"))


def test_every_changed_character_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest([ShardEntry("shards/train/b-00000.arrow", "b", 3, 8, 1000, "0" * 32)]))
    data = (tmp_path / MANIFEST).read_bytes()
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        try:
            parsed = parse_manifest(changed, "manifest.json")
        except (MachineError, UserError):
            continue
        assert parsed.to_json() == data  # layout only: `verify` compares the bytes


def test_a_manifest_cannot_lead_out_of_its_corpus(tmp_path: Path) -> None:
    for path in ("/etc/passwd", "../x.arrow", "shards/../../x.arrow", "a\\b", ""):
        write_manifest(tmp_path, manifest([ShardEntry(path, "b", 1, 2, 3, "0" * 32)]))
        with pytest.raises(MachineError, match="leaves the corpus"):
            load_manifest(tmp_path)


def test_a_directory_without_a_corpus_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        load_manifest(tmp_path / "nowhere")


def test_the_first_manifest_opens_for_ever() -> None:
    found = parse_manifest((FIXTURES / "manifest-v1.json").read_bytes(), "manifest-v1.json")
    assert found.corpus_id == "4058fdc61ded6a190a554f3ad332cd88"
    assert list(found.splits) == ["train", "validation", "test"] and found.tokens("train") == 7
    (entry,) = found.splits["train"]
    assert entry.xxh3 == file_xxh3(FIXTURES / "shard-v1.arrow") and entry.documents == 3
    assert (found.vocab_size, found.end_of_document, found.tokenizer_path) == (1000, 2, "tokenizer/tokenizer.model")
