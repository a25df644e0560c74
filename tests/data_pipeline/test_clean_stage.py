"""The stage that cleans: what it does to each document, measures of it, and cannot keep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.clean import Clean
from data_pipeline.clean import heuristics, rules, stage
from data_pipeline.documents import CANDIDATE_SCHEMA, content_hash, source_column
from data_pipeline.outcome import Tally

GOOD = "The mill stands by the river, and the wheel that turns it has been there with the water of many years. " * 4


def clean(
    *texts: str, prefix: str = "", metadata: Sequence[tuple[str, str]] = (("license", "CC0"),), **settings: Any
) -> tuple[stage.Cleaned, dict[str, Any], dict[str, int]]:
    columns = {
        "id": [n.to_bytes(16, "big") for n in range(len(texts))],
        "text": texts,
        "url": [f"{prefix}u{n}" for n in range(len(texts))],
        "source": source_column("s", len(texts)),
        "language": [""] * len(texts),
        "metadata": [list(metadata)] * len(texts),
        "offset": list(range(len(texts))),
    }
    tally, notes = Tally(), {}
    batch = pa.RecordBatch.from_pydict(columns, schema=CANDIDATE_SCHEMA)
    return stage.run(batch, "s", Clean.model_validate(settings), tally, notes), tally.as_json(), notes


def test_documents_get_language_content_hash_and_signals() -> None:
    outcome, counts, _ = clean(f"  {GOOD}\n")
    [row] = outcome.kept.to_pylist()
    assert row["text"] == GOOD.strip()
    assert row["language"] == "en"
    assert row["metadata"] == [("content_hash", content_hash(GOOD).hex()), ("license", "CC0")]
    assert counts == {
        "documents": {"in": 1, "kept": 1, "rejected": {}},
        "bytes": {"in": len(GOOD) + 3, "kept": len(GOOD.strip()), "rejected": {}},
    }
    assert outcome.sizes == [len(GOOD.strip())]
    assert list(outcome.signals) == stage.signal_names(Clean())
    assert outcome.signals["gopher_words"][0] == len(GOOD.split())


def test_what_no_threshold_could_keep_is_rejected_in_order_with_the_beginning_of_its_text() -> None:
    outcome, counts, _ = clean("x" * 5001, GOOD, "\x00\x01", "short", "y" * 5002, max_bytes=5000)
    assert [row["id"][-1] for row in outcome.kept.to_pylist()] == [1, 3]
    rows = outcome.rejected.to_pylist()
    assert [(row["offset"], row["stage"], row["reason"], row["value"]) for row in rows] == [
        (0, "clean", "max_bytes", 5001), (2, "clean", "empty", 2), (4, "clean", "max_bytes", 5002),
    ]  # fmt: skip
    assert rows[0]["text"] == "x" * 2000
    assert counts["documents"] == {"in": 5, "kept": 2, "rejected": {"empty": 1, "max_bytes": 2}}
    assert [len(values) for values in outcome.signals.values()] == [2] * len(outcome.signals)


def test_a_document_over_the_bound_is_refused_before_it_is_segmented(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = heuristics.measure
    monkeypatch.setattr(heuristics, "measure", lambda texts, *rest: seen.append(len(texts)) or real(texts, *rest))
    outcome, _, _ = clean("é" * 501, "é" * 500, max_bytes=1000)
    assert outcome.rejected.to_pylist()[0]["value"] == 1002 and seen == [1]


def test_a_text_that_grows_over_the_bound_by_its_normal_form_is_refused_before_it_is_segmented() -> None:
    grows = "\U0001d160" * 250
    outcome, counts, _ = clean(grows, GOOD, max_bytes=1000)
    assert [row["value"] for row in outcome.rejected.to_pylist()] == [3000] and outcome.kept.num_rows == 1
    assert counts["documents"] == {"in": 2, "kept": 1, "rejected": {"max_bytes": 1}}


def test_mojibake_is_mended_and_counted() -> None:
    outcome, _, notes = clean("short", "Ã©")
    assert [row["text"] for row in outcome.kept.to_pylist()] == ["short", "é"]
    assert notes["repaired"] == 1


def test_personal_data_is_masked_or_drops_the_document_and_is_kept_nowhere() -> None:
    private = f"{GOOD} Write to jane.doe@mill.example.org about it."
    outcome, _, notes = clean(GOOD, private, pii={"enabled": True})
    kept = outcome.kept.to_pylist()
    assert "jane" not in kept[1]["text"] and "<EMAIL>" in kept[1]["text"] and notes["pii email"] == 1
    assert dict(kept[1]["metadata"])["content_hash"] == content_hash(kept[1]["text"]).hex()
    outcome, counts, _ = clean(GOOD, private, pii={"enabled": True, "kinds": {"email": "drop"}})
    [row] = outcome.rejected.to_pylist()
    assert (row["reason"], row["value"], row["text"], row["url"], row["offset"]) == ("pii_email", 1, "", "", 1)
    [span] = row["spans"]
    assert private[span["start"] : span["end"]] == "jane.doe@mill.example.org" and span["kind"] == "email"
    assert counts["documents"]["rejected"] == {"pii_email": 1} and outcome.kept.num_rows == 1
    outcome, _, _ = clean(f"jane.doe@mill.example.org {'x' * 900}", pii={"enabled": True}, max_bytes=500)
    assert "jane" not in outcome.rejected.to_pylist()[0]["text"]


def test_personal_data_in_titles_and_mapped_fields_is_masked_and_counted() -> None:
    metadata = [("license", "CC0"), ("title", "Write to jane.doe@mill.example.org"), ("author", "Jane")]
    outcome, _, notes = clean(GOOD, metadata=metadata, pii={"enabled": True})
    assert dict(outcome.kept.to_pylist()[0]["metadata"])["title"] == "Write to <EMAIL>"
    assert notes["pii in metadata"] == 1
    outcome, _, _ = clean(GOOD, metadata=metadata, pii={"enabled": True, "kinds": {"email": "drop"}})
    assert "jane.doe" not in str(outcome.kept.to_pylist())
    outcome, _, _ = clean(GOOD, metadata=metadata)
    assert "jane.doe" in str(outcome.kept.to_pylist())


def test_addresses_and_bad_words_of_the_users_lists_are_refused_and_decided(tmp_path: Path) -> None:
    (tmp_path / "domains").write_text("u1\n")
    (tmp_path / "out").write_text("u2\n")
    (tmp_path / "en").write_text("wheel\n")
    settings = {"urls": {"domains": [str(tmp_path / "domains")], "opt_out": [str(tmp_path / "out")]}}
    settings |= {"bad_words": {"enabled": True, "lists": [str(tmp_path / "en")]}}
    outcome, counts, _ = clean(GOOD, GOOD, GOOD, prefix="https://", **settings)
    assert counts["documents"]["rejected"] == {"opt_out": 1, "url_domain": 1}
    assert [(row["text"], row["url"]) for row in outcome.rejected.to_pylist()] == [("", "https://u1"), ("", "")]
    config = Clean.model_validate(settings)
    assert list(outcome.signals) == stage.signal_names(config) and outcome.signals["bad_words"][0] == 4
    table = rules.in_force(config)
    [index], [value] = rules.judge(outcome.signals, table, config)
    assert (table[index].reason, value) == ("bad_words", 4)
    named = [(role, path.name) for role, path in stage.files(config)]
    assert named == [("urls.domains", "domains"), ("urls.opt_out", "out"), ("bad_words en", "en")]


def test_lines_that_a_rule_removes_are_gone_and_a_text_without_lines_is_empty() -> None:
    outcome, _, notes = clean(f"{GOOD}\n3 likes\nSHARE NOW", "3 likes", lines={"enabled": True})
    assert [row["text"] for row in outcome.kept.to_pylist()] == [GOOD.strip()]
    assert [row["reason"] for row in outcome.rejected.to_pylist()] == ["empty"]
    assert sum(count for what, count in notes.items() if "line" in what) == 3


@given(st.lists(st.text(max_size=80), max_size=6), st.booleans())
def test_documents_in_are_kept_or_rejected(texts: list[str], enabled: bool) -> None:
    settings = {"lines": {"enabled": enabled}, "pii": {"enabled": enabled}, "c4": {"enabled": enabled}}
    outcome, counts, _ = clean(*texts, max_bytes=60, **settings)
    documents = counts["documents"]
    assert outcome.kept.num_rows == documents["kept"] == len(outcome.sizes)
    assert outcome.rejected.num_rows == sum(documents["rejected"].values())
    assert documents["in"] == len(texts) == documents["kept"] + sum(documents["rejected"].values())
    order = [row["offset"] for row in outcome.rejected.to_pylist()]
    assert order == sorted(order)
    config = Clean.model_validate(settings)
    table = rules.in_force(config)
    reasons, _ = rules.judge(outcome.signals, table, config)
    assert len(reasons) == outcome.kept.num_rows and np.all(reasons < len(table))


def test_settings_of_decisions_are_no_settings_of_texts() -> None:
    before = stage.settings(Clean())
    decided = {"languages": ["de"], "gopher_quality": {"min_words": 3}, "fineweb": {"enabled": True}}
    assert stage.settings(Clean.model_validate(decided)) == before
    for changed in ({"pii": {"enabled": True}}, {"max_bytes": 5}, {"lines": {"enabled": True}}, {"repair": False}):
        assert stage.settings(Clean.model_validate(changed)) != before
