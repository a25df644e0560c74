"""Datasets of the Hugging Face library: saved ones are read as Arrow; the hub is asked only by name."""

import pytest

from configs.errors import UserError
from configs.schema.data import Data
from configs.schema.source import Source
from configs.schema.tree import Config
from data_pipeline.inputs import list_units
from data_pipeline.sources.huggingface import read as read_shard
from data_pipeline.sources.record import Limits, SourceTally
from data_pipeline.units import Unit
from tests.data_pipeline.raw import read

datasets = pytest.importorskip("datasets")


def config(path, unit_bytes=10**9, **more):
    sources = [Source(name="s", type="huggingface", paths=[str(path)], **more)]
    return Config(sources=sources, data=Data(unit_bytes=unit_bytes))


def texts(settings):
    found = []
    for unit in list_units(settings):
        records, tally = read(settings.sources[0], unit)
        assert not tally.damaged
        found += [record.text for record in records]
    return found


def test_saved_datasets_are_read_split_by_split(tmp_path):
    rows = [f"text {n}" for n in range(500)]
    one = datasets.Dataset.from_dict({"text": rows})
    one.save_to_disk(tmp_path / "one", num_shards=3)
    assert texts(config(tmp_path / "one")) == rows
    both = datasets.DatasetDict({"train": one, "held-out": one.select(range(5))})
    both.save_to_disk(tmp_path / "both")
    assert texts(config(tmp_path / "both")) == rows
    assert texts(config(tmp_path / "both", split="held-out")) == rows[:5]
    with pytest.raises(UserError) as caught:
        list_units(config(tmp_path / "both", split="held_out"))
    assert "did you mean 'held-out'?" in caught.value.problems[0].hint


def test_a_directory_that_is_no_saved_dataset_points_to_the_other_types(tmp_path):
    with pytest.raises(UserError) as caught:
        list_units(config(tmp_path))
    assert "no state.json" in caught.value.problems[0].what and "parquet" in caught.value.problems[0].hint


def test_without_a_network_the_hub_is_not_asked_and_the_way_round_is_told(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError) as caught:
        list_units(config("someone/some-dataset"))
    [problem] = caught.value.problems
    assert "HF_HUB_OFFLINE" in problem.what and "hf download" in problem.hint


def test_a_streamed_shard_gives_its_rows_with_their_numbers(tmp_path):
    """`datasets` streams a directory of files by the code that streams the hub's."""
    rows = [{"content": {"text": f"text {n}"}, "url": f"u{n}"} for n in range(300)]
    for shard in range(3):
        part = datasets.Dataset.from_list(rows[shard * 100 : shard * 100 + 100])
        part.to_parquet(tmp_path / f"train-{shard:05d}-of-00003.parquet")
    source = Source(name="s", type="huggingface", paths=["x"], text_field="content.text")
    found = []
    for shard in range(3):
        path = f"hub:{tmp_path}\0\0{shard}\0" + "3"
        unit = Unit("s", shard, f"x/{shard}", path, 0, 10, 10, "0" * 32, True)
        tally = SourceTally()
        records = list(read_shard(unit, source, Limits.of(100_000), tally))
        assert [record.offset for record in records] == list(range(100))
        assert tally.records == 100
        found += [(record.text, record.url) for record in records]
    assert found == [(row["content"]["text"], row["url"]) for row in rows]
