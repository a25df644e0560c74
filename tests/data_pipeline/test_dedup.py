"""Deduplication: the first copy in unit order stays, every other one names it, and nothing else goes."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.data import Dedup
from configs.schema.source import Source
from configs.schema.tree import Config
from data_pipeline.columns import column
from data_pipeline.dedup import exact, signatures
from data_pipeline.dedup.clusters import cluster
from data_pipeline.dedup.decisions import decide, decisions_path
from data_pipeline.documents import SCHEMA, content_hash, document_id
from data_pipeline.documents_stage import documents_path
from data_pipeline.domain_counts import Counter
from data_pipeline.filter_stage import VERDICT_SCHEMA, verdicts_path
from data_pipeline.output import read_batches, read_fingerprint, write_arrow
from data_pipeline.pool import Job
from data_pipeline.progress import Progress
from data_pipeline.signals import signals_batch, signals_path, signals_schema
from data_pipeline.units import Unit

CONFIG = Config(sources=[Source(name="s", type="jsonl", paths=["x"])])
QUIET = Progress(quiet=True)


def unit(source: str, index: int) -> Unit:
    return Unit(source, index, f"{index}.jsonl", f"/{index}.jsonl", 0, 1, 1, "0" * 32, True)


def write_documents(out: Path, which: Unit, texts: list[str], with_hash: bool = True) -> None:
    batch = pa.record_batch(
        [
            pa.array([document_id(which.source, which.relative_path, i) for i in range(len(texts))], pa.binary(16)),
            pa.array(texts, pa.large_string()),
            pa.array([f"u{i}" for i in range(len(texts))], pa.large_string()),
            pa.DictionaryArray.from_arrays(np.zeros(len(texts), np.int32), pa.array([which.source])),
            pa.array([""] * len(texts)),
            pa.array(
                [[("content_hash", content_hash(t).hex())] if with_hash else [] for t in texts],
                SCHEMA.field("metadata").type,
            ),
        ],
        schema=SCHEMA,
    )
    path = documents_path(out, which)
    write_arrow(path, SCHEMA, [batch[:1], batch[1:]], "documents", dict)
    schema = signals_schema([])
    signals = signals_batch(schema, batch, [len(text.encode()) for text in texts], ["example.org"] * len(texts), {})
    write_arrow(signals_path(out, which), schema, [signals], "signals", dict)
    write_verdicts(out, which, batch.column("id"), [True] * len(texts))


def write_verdicts(out: Path, which: Unit, ids: pa.Array, keep: list[bool]) -> None:
    """What the filter decided."""
    reasons = pa.DictionaryArray.from_arrays(pa.array(keep).cast(pa.int32()), pa.array(["gopher_words_few", ""]))
    rows = pa.RecordBatch.from_arrays(
        [ids, pa.array(keep, pa.bool_()), reasons, pa.array([0.0] * len(keep))], schema=VERDICT_SCHEMA
    )
    summary = {"kept": repr(keep), "domains": Counter().as_json()}
    write_arrow(verdicts_path(out, which), VERDICT_SCHEMA, [rows], "verdicts", lambda: summary)


def decided(
    out: Path, corpus: dict[Unit, list[str]], dedup: Dedup | None = None, report: Progress = QUIET
) -> list[dict]:
    """One dict per document, through all units."""
    jobs = [Job(CONFIG, out, which) for which in corpus]
    for which, texts in corpus.items():
        write_documents(out, which, texts)
    summaries = [signatures.finished(job) or signatures.process(job) for job in jobs]
    decide(out, list(corpus), summaries, dedup or Dedup(), report)
    return [row for which in corpus for batch in read_batches(decisions_path(out, which)) for row in batch.to_pylist()]


def plain(corpus: dict[Unit, list[str]]) -> list[tuple[bool, bytes]]:
    """The rule, said in the plainest way: (stays, id of the kept one)."""
    first: dict[str, bytes] = {}
    result = []
    for which, texts in corpus.items():
        for offset, text in enumerate(texts):
            own = document_id(which.source, which.relative_path, offset)
            kept = first.setdefault(" ".join(text.split()), own)
            result.append((kept == own, kept))
    return result


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "a ", " b", "c c", "c  c", "d", "e"]), max_size=6), min_size=1, max_size=4
    )
)
def test_the_first_copy_in_unit_order_stays_and_the_others_name_it(tmp_path_factory, texts: list[list[str]]) -> None:
    corpus = {unit("s", i): t for i, t in enumerate(texts)}
    rows = decided(tmp_path_factory.mktemp("c"), corpus)
    assert [(row["keep"], row["kept_id"]) for row in rows] == plain(corpus)
    assert [row["id"] for row in rows] == [
        document_id("s", w.relative_path, i) for w, t in corpus.items() for i in range(len(t))
    ]
    assert all(row["reason"] == ("" if row["keep"] else "exact_duplicate") for row in rows)
    flat = [t for ts in texts for t in ts]
    assert [row["kept_content"] for row in rows] == [content_hash(t) for t in flat]


def test_a_duplicate_is_found_across_sources(tmp_path: Path) -> None:
    rows = decided(tmp_path, {unit("b", 0): ["one", "two"], unit("a", 0): ["two", "three"]})
    assert [row["keep"] for row in rows] == [True, True, False, True]
    assert rows[2]["kept_id"] == document_id("b", "0.jsonl", 1)


def test_what_is_counted_adds_up(tmp_path: Path) -> None:
    corpus = {unit("s", 0): ["äö", "b", "äö "], unit("s", 1): ["b", "c"]}
    jobs = [Job(CONFIG, tmp_path, w) for w in corpus]
    for which, texts in corpus.items():
        write_documents(tmp_path, which, texts)
    found = decide(tmp_path, list(corpus), [signatures.process(j) for j in jobs], Dedup(), QUIET)
    assert found[0]["documents"] == {"in": 3, "kept": 2, "rejected": {"exact_duplicate": 1}}
    assert found[0]["bytes"] == {"in": 4 + 1 + 5, "kept": 5, "rejected": {"exact_duplicate": 5}}
    assert found[1]["documents"] == {"in": 2, "kept": 1, "rejected": {"exact_duplicate": 1}}


def test_dedup_turned_off_keeps_every_document_and_still_decides(tmp_path: Path) -> None:
    rows = decided(tmp_path, {unit("s", 0): ["a", "a"], unit("s", 1): ["a"]}, Dedup(exact=False))
    assert [row["keep"] for row in rows] == [True] * 3
    assert [row["kept_id"] for row in rows] == [row["id"] for row in rows]
    assert len({row["kept_content"] for row in rows}) == 1  # copies still share the lot that decides their split


def test_a_document_without_a_stored_hash_is_hashed(tmp_path: Path) -> None:
    write_documents(tmp_path, unit("s", 0), ["a  b", "a b"], with_hash=False)
    signatures.process(Job(CONFIG, tmp_path, unit("s", 0)))
    found = column(signatures.signatures_path(tmp_path, unit("s", 0)), "content")
    assert [row.tobytes() for row in found] == [content_hash("a b")] * 2


@pytest.mark.parametrize("rows_per_pass", [1, 7, 100, 10**9])
def test_the_number_of_passes_does_not_show(tmp_path: Path, rows_per_pass: int) -> None:
    draw = random.Random(1)
    corpus = {unit("s", i): [f"text {draw.randint(0, 60)}" for _ in range(40)] for i in range(4)}
    for which, texts in corpus.items():
        write_documents(tmp_path, which, texts)
    paths = [signatures.signatures_path(tmp_path, which) for which in corpus]
    for which in corpus:
        signatures.process(Job(CONFIG, tmp_path, which))
    found = exact.edges(paths, [40] * 4, rows_per_pass)
    flat = [t for ts in corpus.values() for t in ts]
    assert found.tolist() == [[flat.index(t), i] for i, t in enumerate(flat) if flat.index(t) != i]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_clusters_are_the_connected_components_in_any_order_of_edges(
    pairs: list[tuple[int, int]], draw: random.Random
) -> None:
    group = {n: {n} for pair in pairs for n in pair}
    for a, b in pairs:
        if group[a] is not group[b]:
            group[a] |= group[b]
            for n in group[b]:
                group[n] = group[a]
    draw.shuffle(pairs)
    found = cluster(np.array(pairs, np.int64).reshape(-1, 2))
    assert dict(zip(found.members.tolist(), found.kept.tolist(), strict=True)) == {n: min(g) for n, g in group.items()}
    assert found.members.tolist() == sorted(group)


def test_a_long_chain_is_one_cluster() -> None:
    chain = np.stack([np.arange(20_000), np.arange(1, 20_001)], axis=1)[::-1]
    assert cluster(chain).rejected == 20_000 and not cluster(chain).kept.any()


def contents(out: Path, units: Iterable[Unit]) -> list[list[dict]]:
    return [[row for batch in read_batches(decisions_path(out, w)) for row in batch.to_pylist()] for w in units]


def test_a_new_unit_at_the_end_changes_no_decision_before_it(tmp_path: Path) -> None:
    corpus = {unit("s", 0): ["a", "b"], unit("s", 1): ["b", "c"]}
    decided(tmp_path, corpus)
    before = contents(tmp_path, corpus)
    decided(tmp_path, corpus | {unit("s", 2): ["a", "z"]})
    assert contents(tmp_path, corpus) == before


def test_finished_decisions_are_not_made_again_and_that_is_said(tmp_path: Path) -> None:
    corpus = {unit("s", 0): ["a", "b"], unit("s", 1): ["b", "c"]}
    decided(tmp_path, corpus)
    paths = [decisions_path(tmp_path, which) for which in corpus]
    before = [(p.stat().st_ino, read_fingerprint(p)) for p in paths]
    said = io.StringIO()
    decided(tmp_path, corpus, report=Progress(said))
    assert [(p.stat().st_ino, read_fingerprint(p)) for p in paths] == before
    assert "2 of 2 units are finished already, 0 to do" in said.getvalue()
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    assert [row["keep"] for row in decided(tmp_path, corpus)] == [True, True, False, True]
    assert paths[0].stat().st_ino == before[0][0] and paths[1].stat().st_ino != before[1][0]
