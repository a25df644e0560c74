"""A figure is kept with the conditions that produced it."""

import json

import pytest

from benchmarks.results import Result, document, write_json


def test_the_json_has_the_figures_and_their_conditions(tmp_path):
    results = [
        Result("encode", 12.0, "MB/s", cpu_seconds=3.5, peer="another 1.2", peer_value=3.0),
        Result("mfu", 0.41, "fraction"),
    ]
    write_json(tmp_path / "out.json", results, "abc-dirty")
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found) == {"hardware", "versions", "command", "commit", "date", "results"}
    assert found["commit"] == "abc-dirty"
    assert found["hardware"]["cores"] >= 1 and found["hardware"]["cpu"] and found["hardware"]["memory_bytes"] > 2**28
    assert {"python", "torch", "millrace"} <= set(found["versions"])
    assert found["command"].startswith("millrace")
    assert found["date"].endswith("+00:00")
    fields = ["name", "value", "unit", "cpu_seconds", "peer", "peer_value", "ratio"]
    assert [list(row) for row in found["results"]] == [fields, fields]
    assert found["results"][0]["ratio"] == 4.0
    assert found["results"][1] == dict(zip(fields, ["mfu", 0.41, "fraction", None, None, None, None], strict=True))


def test_a_figure_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "out.json", [Result("loss", float("nan"), "nats")], "")
    assert not (tmp_path / "out.json").exists()
    assert document([], "")["results"] == []
