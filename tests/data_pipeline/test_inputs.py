"""Units: which inputs, in which order, cut where; and what is refused."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from configs.schema.data import Data
from configs.schema.source import Source
from configs.schema.tree import Config
from data_pipeline.inputs import list_inputs, list_units
from data_pipeline.units import unit_path
from tests.data_pipeline.raw import lines, read


def config(*paths, unit_bytes=1000, kind="jsonl", **more):
    sources = [Source(name="s", type=kind, paths=[str(path) for path in paths], **more)]
    return Config(sources=sources, data=Data(unit_bytes=unit_bytes))


def write(path, data=b'{"text": "a"}\n'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def problems(settings):
    with pytest.raises(UserError) as caught:
        list_units(settings)
    return caught.value.problems


def test_units_come_by_source_then_path_then_slice(tmp_path):
    write(tmp_path / "b" / "2.jsonl", b"{}\n" * 700)
    write(tmp_path / "b" / "10.jsonl")
    write(tmp_path / "a.jsonl")
    sources = [
        Source(name="late", type="jsonl", paths=[f"{tmp_path}/b"]),
        Source(name="early", type="jsonl", paths=[f"{tmp_path}/a.jsonl"]),
    ]
    units = list_units(Config(sources=sources, data=Data(unit_bytes=1000)))
    assert [(u.source, u.index, u.relative_path, u.start, u.end, u.whole) for u in units] == [
        ("late", 0, "10.jsonl", 0, 14, True),
        ("late", 1, "2.jsonl", 0, 1002, False),
        ("late", 2, "2.jsonl", 1002, 2001, False),
        ("late", 3, "2.jsonl", 2001, 2100, False),
        ("early", 0, "a.jsonl", 0, 14, True),
    ]
    assert [u.size for u in units] == [u.end - u.start for u in units]
    data = (tmp_path / "b" / "2.jsonl").read_bytes()
    assert units[2].xxh3 == xxhash.xxh3_128_hexdigest(data[1002:2001])


def test_the_root_is_the_longest_directory_without_a_glob(tmp_path):
    write(tmp_path / "raw" / "x" / "a.jsonl")
    cases = {
        "raw": "x/a.jsonl",
        "raw/x": "a.jsonl",
        "raw/x/a.jsonl": "a.jsonl",
        "raw/x/*.jsonl": "a.jsonl",
        "raw/*/a.jsonl": "x/a.jsonl",
        "raw/**/*.jsonl": "x/a.jsonl",
        "r?w/x/a.jsonl": "raw/x/a.jsonl",
    }
    for pattern, relative in cases.items():
        assert [u.relative_path for u in list_units(config(tmp_path / pattern))] == [relative], pattern


def test_relative_paths_start_at_the_current_directory(tmp_path, monkeypatch):
    write(tmp_path / "a.jsonl")
    monkeypatch.chdir(tmp_path)
    for pattern in ("a.jsonl", "*.jsonl", ".", "./a.jsonl"):
        assert [u.relative_path for u in list_units(config(pattern))] == ["a.jsonl"], pattern


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path):
    write(tmp_path / "a[1].jsonl")
    assert [u.relative_path for u in list_units(config(tmp_path / "a[1].jsonl"))] == ["a[1].jsonl"]


def test_a_path_listed_twice_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl")
    for pair in ([path, path], [path, tmp_path], [tmp_path / "*.jsonl", tmp_path / "a*"]):
        found = problems(config(*pair))
        assert len(found) == 1 and "listed twice" in found[0].what, pair


def test_a_file_in_two_sources_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl")
    sources = [Source(name=name, type="jsonl", paths=[str(path)]) for name in ("one", "two")]
    found = problems(Config(sources=sources))
    assert "by sources 'one' and 'two'" in found[0].what


def test_two_roots_may_not_give_equal_relative_paths(tmp_path):
    found = problems(config(write(tmp_path / "a" / "x.jsonl"), write(tmp_path / "b" / "x.jsonl")))
    assert len(found) == 1 and "ids would be equal" in found[0].what
    assert "two sources" in found[0].hint


def test_all_problems_of_inputs_come_at_once(tmp_path):
    write(tmp_path / "present.jsonl")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    found = problems(
        config(
            tmp_path / "presnt.jsonl", tmp_path / "no*.jsonl", tmp_path / "empty", tmp_path / "pipe",
        )
    )  # fmt: skip
    assert [problem.what for problem in found] == [
        "no such file or directory",
        "the glob matches no file",
        "the directory holds no input",
        "not a regular file",
    ]
    assert found[0].hint == f"did you mean {tmp_path}/present.jsonl?"


def test_other_files_in_a_directory_are_counted(tmp_path):
    write(tmp_path / "a.jsonl")
    write(tmp_path / "README", b"12345")
    write(tmp_path / ".hidden.jsonl", b"123")
    listing = list_inputs(config(tmp_path))
    assert len(listing.units) == 1
    assert {name: vars(left) for name, left in listing.left_out["s"].items()} == {
        "other or hidden files in a listed directory": {"files": 2, "bytes": 8}
    }


def test_an_empty_file_is_a_unit_so_that_it_is_reported(tmp_path):
    units = list_units(config(write(tmp_path / "a.jsonl", b"")))
    assert [(u.start, u.end, u.size) for u in units] == [(0, 0, 0)]


def test_a_compressed_file_is_one_unit(tmp_path):
    import gzip

    path = write(tmp_path / "a.jsonl.gz", gzip.compress(os.urandom(5000)))
    assert [u.whole for u in list_units(config(path, unit_bytes=100))] == [True]


@given(st.lists(st.integers(0, 120), max_size=60), st.integers(1, 300), st.booleans())
def test_each_record_belongs_to_the_slice_of_its_first_byte(tmp_path_factory, lengths, unit_bytes, ends):
    path = tmp_path_factory.mktemp("slices") / "a.jsonl"
    data = b"".join(lines("x" * length) for length in lengths)
    if not ends:
        data = data.removesuffix(b"\n")
    path.write_bytes(data)
    settings = config(path, unit_bytes=unit_bytes)
    units = list_units(settings)
    assert [u.start for u in units[1:]] == [u.end for u in units[:-1]]
    assert units[0].start == 0 and units[-1].end == len(data)
    offset, expected = 0, {}
    for line in data.splitlines(keepends=True):
        expected.setdefault(offset // unit_bytes, []).append(offset)
        offset += len(line)
    found = [[record.offset for record in read(settings.sources[0], unit)[0]] for unit in units]
    assert found == list(expected.values()) or (not data and found == [[]])


def test_touching_a_file_changes_nothing_and_changing_a_byte_changes_its_hash(tmp_path):
    path, cache = write(tmp_path / "a.jsonl"), tmp_path / "cache.json"
    first = list_units(config(path), cache)
    os.utime(path, (1, 1))
    assert list_units(config(path), cache) == first
    cache.write_bytes(b"not json")
    assert list_units(config(path), cache) == first
    # Same size, same modification time: the time of the change of the inode tells.
    path.write_bytes(b'{"text": "b"}\n')
    os.utime(path, (1, 1))
    changed = list_units(config(path), cache)
    assert changed[0].xxh3 == xxhash.xxh3_128_hexdigest(path.read_bytes()) != first[0].xxh3
    cache.unlink()
    assert list_units(config(path), cache) == changed


def test_the_identity_of_a_unit_does_not_know_where_it_lies(tmp_path):
    one = list_units(config(write(tmp_path / "one" / "a.jsonl")))
    two = list_units(config(write(tmp_path / "two" / "a.jsonl")))
    assert one[0].identity == two[0].identity and one[0].path != two[0].path


def test_links_to_folders_are_followed_and_a_circle_of_them_ends(tmp_path):
    write(tmp_path / "elsewhere" / "deep" / "a.jsonl")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "in")
    assert [unit.relative_path for unit in list_units(config(tmp_path / "in"))] == ["linked/deep/a.jsonl"]


def test_outputs_are_named_by_what_a_unit_is_and_at_most_a_thousand_lie_in_a_directory(tmp_path):
    for name in ("b", "c"):
        write(tmp_path / "in" / f"{name}.jsonl")
    before = {unit.relative_path: unit_path(Path("r"), unit) for unit in list_units(config(tmp_path / "in"))}
    write(tmp_path / "in" / "a.jsonl")
    after = {unit.relative_path: unit_path(Path("r"), unit) for unit in list_units(config(tmp_path / "in"))}
    assert len(set(after.values())) == 3 and {name: after[name] for name in before} == before
    unit = list_units(config(tmp_path / "in"))[0]
    many = [unit_path(Path("r"), replace(unit, relative_path=f"{n}.jsonl")) for n in range(100_000)]
    assert len(set(many)) == 100_000
    assert max(Counter(path.parent for path in many).values()) <= 1000


def test_a_name_that_is_not_unicode_is_listed(tmp_path):
    name = os.fsdecode(b"caf\xe9.jsonl")
    write(tmp_path / name)
    units = list_units(config(tmp_path), tmp_path / "cache.json")
    assert [u.relative_path for u in units] == [name]
    assert units[0].identity["relative_path"] == "caf\\xe9.jsonl"
