"""Parquet, Arrow, CSV and text files: every row a record, the same ids however a file is cut, damage counted."""

import csv
import datetime
import gzip
import io
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from configs.schema.data import Data
from configs.schema.source import Source
from configs.schema.tree import Config
from data_pipeline.inputs import list_units
from tests.conftest import REPOSITORY
from tests.data_pipeline.raw import read, unit

TEXTS = st.lists(st.text(max_size=40), max_size=60)


def source(kind, *paths, **more):
    return Source(name="s", type=kind, paths=[str(path) for path in paths] or ["x"], **more)


def write_parquet(path, table, **more):
    pq.write_table(table, path, **more)


def write_arrow(path, table, row_group_size=1000, kind="file", compression=None):
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as file, make(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=row_group_size)


def table(texts, **columns):
    return pa.table({"text": pa.array(texts, pa.string()), "url": [f"u{n}" for n in range(len(texts))], **columns})


def all_of(settings):
    """(offset, text) of every record of all units, and the damage by kind."""
    found, damaged = [], {}
    for one in list_units(settings):
        records, tally = read(settings.sources[0], one)
        found += [(record.offset, record.text) for record in records]
        for kind, damage in tally.damaged.items():
            damaged[kind] = damaged.get(kind, 0) + damage.count
        assert tally.records == len(records) + sum(damage.count for damage in tally.damaged.values())
    return found, damaged


def config(path, unit_bytes, kind, **more):
    return Config(sources=[source(kind, path, **more)], data=Data(unit_bytes=unit_bytes))


WRITERS = {
    "parquet": lambda path, rows, size: write_parquet(path, rows, row_group_size=size),
    "arrow": lambda path, rows, size: write_arrow(path, rows, size),
    "stream": lambda path, rows, size: write_arrow(path, rows, size, "stream"),
    "zstd": lambda path, rows, size: write_arrow(path, rows, size, compression="zstd"),
}


@pytest.mark.parametrize("writer", WRITERS)
@given(texts=TEXTS, rows=st.integers(1, 20), unit_bytes=st.integers(200, 5000))
@settings(max_examples=15)
def test_a_table_gives_its_rows_however_it_is_cut(tmp_path_factory, writer, texts, rows, unit_bytes):
    kind = "parquet" if writer == "parquet" else "arrow"
    path = tmp_path_factory.mktemp("t") / f"a.{kind}"
    WRITERS[writer](path, table(texts), rows)
    expected = list(enumerate(texts))
    assert all_of(config(path, unit_bytes, kind)) == (expected, {})
    assert all_of(config(path, 10**9, kind)) == (expected, {})
    units = list_units(config(path, unit_bytes, kind))
    assert units[0].start == 0 and units[-1].end == path.stat().st_size
    assert [u.start for u in units[1:]] == [u.end for u in units[:-1]]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_large_table_is_several_units_known_by_the_whole_file(tmp_path, writer):
    kind = "parquet" if writer == "parquet" else "arrow"
    path = tmp_path / f"a.{kind}"
    WRITERS[writer](path, table([f"text {n} " * 20 for n in range(1000)]), 100)
    first = list_units(config(path, 2000, kind))
    assert len(first) >= 3
    assert len({u.xxh3 for u in first}) == 1
    data = bytearray(path.read_bytes())
    data[-40] ^= 1  # in the footer, or the last batch: what the first unit's bytes mean may hang on it
    path.write_bytes(data)
    assert list_units(config(path, 10**9, kind))[0].xxh3 != first[0].xxh3


@pytest.mark.parametrize("writer", WRITERS)
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4))
@settings(max_examples=25)
def test_flipped_bytes_never_crash_and_every_row_is_accounted_for(tmp_path_factory, writer, flips):
    kind = "parquet" if writer == "parquet" else "arrow"
    path = tmp_path_factory.mktemp("t") / f"a.{kind}"
    WRITERS[writer](path, table([f"text {n} é" for n in range(60)], meta=[{"n": n} for n in range(60)]), 20)
    data = bytearray(path.read_bytes())
    for where, mask in flips:
        data[int(where * len(data))] ^= mask
    path.write_bytes(data)
    records, tally = read(source(kind, fields={"m": "meta.n"}), unit(path))
    assert tally.records == len(records) + sum(d.count for k, d in tally.damaged.items() if k not in WHOLE)
    assert len({record.offset for record in records}) == len(records)
    assert tally.input_bytes == len(data)


WHOLE = {"damaged footer", "not Arrow", "stream"}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_truncated_table_says_so(tmp_path, writer):
    kind = "parquet" if writer == "parquet" else "arrow"
    path = tmp_path / f"a.{kind}"
    WRITERS[writer](path, table([f"text {n}" for n in range(1000)]), 100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found, damaged = [], {}
    [one] = list_units(config(path, 10**9, kind))
    records, tally = read(source(kind), one)
    found = [record.text for record in records]
    damaged = {kind: damage.count for kind, damage in tally.damaged.items()}
    if kind == "parquet":  # nothing can be read without its footer
        assert (found, damaged) == ([], {"damaged footer": 1})
    else:
        assert damaged == {"stream": 1}
        assert found == [f"text {n}" for n in range(len(found))] and 300 <= len(found) < 1000


def test_a_damaged_row_group_costs_its_own_rows_alone(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path, table([f"text {n} " * 5 for n in range(300)]), row_group_size=100, compression="zstd")
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    found, damaged = all_of(config(path, 10**9, "parquet"))
    assert [offset for offset, _ in found] == [*range(100), *range(200, 300)]
    assert damaged == {"damaged row group": 100}


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_nested_fields_and_values_of_every_type_become_metadata(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    rows = pa.table(
        {
            "content": [{"text": "a", "title": "t"}, {"text": "b", "title": None}],
            "a.b": ["whole name", "x"],
            "n": [1, None],
            "day": [datetime.date(2024, 1, 2), None],
            "tags": [["x", "y"], []],
            "raw": [b"\xff", b"ok"],
            "kind": pa.array(["one", "two"]).dictionary_encode(),
            "flag": [True, False],
        }
    )
    write_parquet(path, rows) if kind == "parquet" else write_arrow(path, rows)
    chosen = {key: key for key in ("a.b", "n", "day", "tags", "raw", "kind", "flag")} | {"title": "content.title"}
    records, tally = read(source(kind, text_field=["content.title", "content.text"], fields=chosen), unit(path))
    assert [record.text for record in records] == ["t\n\na", "b"]
    assert records[0].metadata == {
        "a.b": "whole name", "n": "1", "day": "2024-01-02", "tags": '["x","y"]', "raw": "\ufffd", "kind": "one",
        "flag": "true", "title": "t",
    }  # fmt: skip
    assert records[1].metadata == {"a.b": "x", "tags": "[]", "raw": "ok", "kind": "two", "flag": "false"}
    assert not tally.damaged


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_texts_that_are_none_are_counted_row_by_row(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    bad = pa.array([b"good", b"caf\xe9", b"", b"last"]).view(pa.string())
    rows = pa.table({"text": bad, "url": [None, "u", "u", "u"]})
    write_parquet(path, rows) if kind == "parquet" else write_arrow(path, rows)
    records, tally = read(source(kind), unit(path))
    assert [(r.offset, r.text, r.url) for r in records] == [(0, "good", ""), (2, "", "u"), (3, "last", "u")]
    assert {k: (d.count, d.first_offset) for k, d in tally.damaged.items()} == {"invalid UTF-8": (1, 1)}
    write = write_parquet if kind == "parquet" else write_arrow
    write(path, table(["a", None, "c"]))
    assert all_of(config(path, 10**9, kind)) == ([(0, "a"), (2, "c")], {"text is no string": 1})


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv"])
def test_a_column_that_is_not_there_is_told_when_the_inputs_are_listed(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    rows = pa.table({"content": ["a"], "url": ["u"], "date": [1]})
    if kind == "csv":
        path.write_text("content,url,date\na,u,1\n")
    else:
        write_parquet(path, rows) if kind == "parquet" else write_arrow(path, rows)
    with pytest.raises(UserError) as caught:
        list_units(config(path, 10**9, kind, text_field="contents", fields={"when": "dat"}))
    assert sorted(problem.what for problem in caught.value.problems) == [
        "fields.when 'dat' is no column", "text_field 'contents' is no column",
    ]  # fmt: skip
    assert all("did you mean" in problem.hint for problem in caught.value.problems)


def test_a_text_field_of_numbers_is_refused_with_the_columns_that_hold_text(tmp_path):
    pq.write_table(pa.table({"text": [1], "body": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError) as caught:
        list_units(config(tmp_path, 10**9, "parquet"))
    [problem] = caught.value.problems
    assert "holds int64" in problem.what and problem.hint == "columns that hold text: body"


def test_a_directory_of_another_kind_names_its_type(tmp_path):
    pq.write_table(table(["a"]), tmp_path / "a.parquet")
    with pytest.raises(UserError) as caught:
        list_units(config(tmp_path, 10**9, "jsonl"))
    assert caught.value.problems[0].hint.endswith("did you mean type: parquet?")


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv"])
def test_a_cell_over_the_limit_is_rejected_with_its_size_and_nothing_else_is_lost(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    texts = ["a", "x" * 600_000, "b"]
    if kind == "csv":
        path.write_text("text,url\n" + "".join(f"{text},u\n" for text in texts))
    else:
        write_parquet(path, table(texts)) if kind == "parquet" else write_arrow(path, table(texts))
    records, tally = read(source(kind), unit(path))
    assert [r.text for r in records] == ["a", None, "b"]
    assert 600_000 <= records[1].too_large <= 600_010 and not tally.damaged


BOMBS = """
import resource, sys
from pathlib import Path
from tests.data_pipeline.raw import unit
from configs.schema.source import Source
from data_pipeline.sources.record import Limits, SourceTally
from data_pipeline.sources.registry import reader_of
path = Path(sys.argv[1])
reader = reader_of(path.suffix[1:])
source = Source(name="s", type=path.suffix[1:], paths=["x"])
import pyarrow, pyarrow.parquet, orjson, pyarrow.compute
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tally = SourceTally()
seen = [record.too_large for record in reader.read(unit(path), source, Limits.of(10_000_000), tally)]
print(len(seen), max(seen, default=0), sum(d.count for d in tally.damaged.values()), tally.records)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)
"""


@pytest.mark.parametrize("name", ["one.parquet", "plain.parquet", "shared.parquet", "one.arrow"])
def test_a_small_file_that_stands_for_gigabytes_is_counted_and_not_held(tmp_path, name):
    path = tmp_path / name
    huge = pa.table({"text": ["a" * 200_000_000]})
    if name == "shared.parquet":  # a dictionary of one long text, that each of many rows stands for
        pq.write_table(pa.table({"text": ["a" * 900_000] * 1500}), path, compression="zstd", write_batch_size=1)
    elif name.endswith("parquet"):
        pq.write_table(huge, path, compression="zstd", use_dictionary=name.startswith("one"))
    else:
        write_arrow(path, huge, compression="zstd")
    del huge
    assert path.stat().st_size < 2_000_000
    done = subprocess.run(
        [sys.executable, "-c", BOMBS, str(path)], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    counts, more = done.stdout.splitlines()
    found, largest, damaged, records = map(int, counts.split())
    assert records == found + damaged
    assert (found, largest >= 200_000_000) == ((1, True) if "shared" not in name else (1500, False))
    assert int(more) <= 64


def test_a_file_of_dictionaries_is_read_in_order(tmp_path):
    path = tmp_path / "a.arrow"
    rows = pa.table({"text": pa.array(["a", "b", "a", None, "c"]).dictionary_encode()})
    write_arrow(path, rows, 2, kind="stream")
    assert all_of(config(path, 100, "arrow")) == (
        [(0, "a"), (1, "b"), (2, "a"), (4, "c")], {"text is no string": 1}
    )  # fmt: skip


def test_empty_tables_and_files_are_no_damage_of_rows(tmp_path):
    for kind, write in (("parquet", write_parquet), ("arrow", write_arrow)):
        write(tmp_path / f"a.{kind}", table([]))
        assert all_of(config(tmp_path / f"a.{kind}", 10**9, kind)) == ([], {})


CELLS = st.text(st.characters(exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=12)


@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=20), tabs=st.booleans(), quoted=st.booleans())
def test_csv_files_are_read_as_they_were_written(tmp_path_factory, rows, tabs, quoted):
    out = io.StringIO()
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(out, delimiter="\t" if tabs else ",", quoting=quoting, lineterminator="\r\n")
    writer.writerow(["text", "url"])
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("c") / ("a.tsv.gz" if tabs else "a.csv.gz")
    path.write_bytes(gzip.compress(out.getvalue().encode()))
    records, tally = read(source("csv"), unit(path))
    assert [(record.text, record.url) for record in records] == rows
    assert not tally.damaged and tally.records == len(rows)
    data = out.getvalue().encode()
    assert all(0 < record.offset < len(data) for record in records)


@given(st.lists(st.sampled_from([b'"', b",", b"\n", b"a", b"\xe9", b"\r", b'""', b"x,y\n"]), max_size=40))
def test_any_csv_is_read_to_the_end_and_accounted_for(tmp_path_factory, parts):
    data = b"text,url\n" + b"".join(parts)
    path = tmp_path_factory.mktemp("c") / "a.csv"
    path.write_bytes(data)
    records, tally = read(source("csv"), unit(path))
    assert tally.input_bytes == len(data)
    assert tally.records == len(records) + sum(damage.count for damage in tally.damaged.values())


def test_records_that_are_none_are_counted_with_their_place(tmp_path):
    data = b'text,url\na,u\nonly\n\n"in ""quotes""\nand on",u\n5" disk,u\ncaf\xe9,u\n"never closed,u\nrest,u\n'
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    records, tally = read(source("csv"), unit(path))
    assert [r.text or r.plain for r in records] == ["a", 'in "quotes"\nand on', '5" disk', b"caf\xe9"]
    assert {k: (d.count, d.first_offset) for k, d in tally.damaged.items()} == {
        "wrong number of cells": (1, data.index(b"only")), "unclosed quote": (1, data.index(b'"never')),
    }  # fmt: skip
    assert tally.skipped == {"header": 1, "blank line": 1}


def test_a_quote_that_is_never_closed_is_measured_and_not_held(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'text,url\na,u\n"' + b"x" * 99 + b"\n" * 600_000)
    records, _ = read(source("csv"), unit(path))
    assert [(r.text, r.too_large) for r in records] == [("a", 0), (None, 600_100)]


def test_csv_without_header_with_another_delimiter_and_literal_quotes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'"a|u1\nb"|u2\n')
    chosen = source("csv", columns=["text", "url"], delimiter="|", quote="")
    records, _ = read(chosen, unit(path))
    assert [(r.text, r.url) for r in records] == [('"a', "u1"), ('b"', "u2")]


def test_html_in_a_column_is_handed_on_as_a_page(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"html": ["<p>é</p>", ""], "url": ["u", "v"]}), path)
    records, _ = read(source("parquet", text_field="html", text_format="html"), unit(path))
    assert [(r.html, r.charset, r.text) for r in records] == [("<p>é</p>".encode(), "utf-8", None), (None, "", "")]


def test_a_new_text_file_changes_the_group_it_falls_into_alone(tmp_path):
    for n in range(400):
        (tmp_path / f"{n:03d}.txt").write_text(f"text {n} " * 50)
    before = {u.xxh3: u for u in list_units(config(tmp_path, 100_000, "text"))}
    assert 4 < len(before) < 200
    (tmp_path / "000a.txt").write_text("new")
    after = {u.xxh3 for u in list_units(config(tmp_path, 100_000, "text"))}
    assert len(before.keys() - after) <= 2
    texts = [r.plain for u in before.values() for r in read(source("text"), u)[0]]
    assert sorted(texts) == sorted(f"text {n} ".encode() * 50 for n in range(400))


def test_text_files_are_one_document_each_and_bounded(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"x" * 5_000_000))
    (tmp_path / "c.txt").write_bytes(b"")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"cut" * 1000)[:-20])
    found, damaged = [], {}
    for one in list_units(config(tmp_path, 10**9, "text")):
        records, tally = read(source("text"), one)
        found += [(r.relative_path, r.plain, r.too_large) for r in records]
        damaged |= {kind: d.count for kind, d in tally.damaged.items()}
    assert found == [("a.txt", b"caf\xe9", 0), ("b.txt.gz", None, 5_000_000)]
    assert damaged.pop("stream") == 1
    assert set(damaged) <= {"empty file"}  # a file alone in its unit is said to be empty by the unit


def test_max_files_takes_the_first_of_the_list_and_counts_the_others(tmp_path):
    from data_pipeline.inputs import list_inputs

    for n in range(5):
        pq.write_table(table(["a"]), tmp_path / f"{n}.parquet")
    listing = list_inputs(config(tmp_path, 10**9, "parquet", max_files=2))
    assert [u.relative_path for u in listing.units] == ["0.parquet", "1.parquet"]
    assert listing.left_out["s"]["beyond max_files"].files == 3
