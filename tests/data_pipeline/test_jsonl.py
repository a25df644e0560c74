"""JSON lines: every record read, every damaged one counted, nothing else lost."""

import bz2
import gzip
import json
import lzma

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.source import Source
from tests.data_pipeline.raw import lines, read, unit

SOURCE = Source(name="s", type="jsonl", paths=["x"])


def texts(path, source=SOURCE, **more):
    records, tally = read(source, unit(path), **more)
    return [record.text for record in records], {kind: damage.count for kind, damage in tally.damaged.items()}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_records_have_text_url_and_the_first_byte_of_their_line(tmp_path, pack):
    data = lines("one", "zwei", "три")
    path = tmp_path / "a.jsonl"
    path.write_bytes(pack(data))
    records, tally = read(SOURCE, unit(path))
    assert [(r.text, r.url, r.relative_path) for r in records] == [
        ("one", "u0", "a.jsonl"), ("zwei", "u1", "a.jsonl"), ("три", "u2", "a.jsonl"),
    ]  # fmt: skip
    assert [data[r.offset :].split(b"\n")[0] for r in records] == data.splitlines()
    assert tally.input_bytes == path.stat().st_size
    assert tally.records == 3


def test_the_fields_are_the_configured_ones(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"content": "a", "link": "l", "text": "no"}\n{"content": "b", "link": 7}\n')
    source = Source(name="s", type="jsonl", paths=["x"], text_field="content", url_field="link")
    records, _ = read(source, unit(path))
    assert [(r.text, r.url) for r in records] == [("a", "l"), ("b", "")]


def test_damaged_lines_are_counted_with_their_first_place_and_nothing_else_is_lost(tmp_path):
    bad = [
        b'{"text": "cut',
        b"not json",
        b"[1, 2]",
        b'{"body": "b", "title": "t"}',
        b'{"text": null}',
        b'{"text": "caf\xe9"}',
        b'{"text": "\\ud800"}',
        b"",
        b"   \r",
    ]
    path = tmp_path / "a.jsonl"
    data = b"\n".join([b'{"text": "first"}', *bad, b'{"text": "last"}'])
    path.write_bytes(data)
    records, tally = read(SOURCE, unit(path))
    assert [r.text for r in records] == ["first", "last"]
    found = {kind: (d.count, d.first_offset) for kind, d in tally.damaged.items()}
    assert found == {
        "not JSON": (3, data.index(b'{"text": "cut')),
        "not a JSON object": (1, data.index(b"[1")),
        "no text field": (1, data.index(b'{"body')),
        "text is no string": (1, data.index(b'{"text": null')),
        "invalid UTF-8": (1, data.index(b'{"text": "caf')),
    }
    assert tally.skipped == {"blank line": 2}
    assert tally.damaged["no text field"].message == "no 'text' among: body, title"
    assert tally.records == len(records) + sum(count for count, _ in found.values())


def test_a_byte_order_mark_and_windows_line_ends_are_no_damage(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "b"}\r\n')
    assert texts(path) == (["a", "b"], {})


def test_a_line_over_the_limit_is_rejected_with_its_size_and_not_held(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a", "x" * 200_000, "b"))
    records, tally = read(SOURCE, unit(path), max_bytes=1000)
    assert [(r.text, r.too_large) for r in records] == [("a", 0), (None, len(lines("x" * 200_000))), ("b", 0)]
    assert tally.records == 3 and not tally.damaged


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_truncated_file_gives_what_it_holds_and_says_so(tmp_path, pack):
    import random

    rng = random.Random(3)
    data = lines(*("".join(chr(rng.randint(33, 126)) for _ in range(200)) for _ in range(3000)))
    path = tmp_path / "a.jsonl.gz"
    packed = pack(data)
    path.write_bytes(packed[: len(packed) * 2 // 3])
    found, damage = texts(path)
    assert damage == {"stream": 1}
    assert found == [json.loads(line)["text"] for line in data.splitlines()[: len(found)]]
    assert len(found) > 1000


def test_a_damaged_member_costs_its_own_records_alone(tmp_path):
    parts = [lines(*(f"text {n} {k} {'x' * 20}" for k in range(200))) for n in range(3)]
    packed = [bytearray(gzip.compress(part)) for part in parts]
    packed[1][40:60] = b"\xff" * 20
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b"".join(packed))
    found, damage = texts(path)
    assert damage["stream"] >= 1
    sound = [json.loads(line)["text"] for part in (parts[0], parts[2]) for line in part.splitlines()]
    assert found[:200] == sound[:200]
    assert found[-199:] == sound[-199:]  # the first line behind the damage may be glued to what it left


@given(st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=20).map(lambda t: lines(t)[:-1])), max_size=12))
def test_any_bytes_are_read_to_the_end_and_accounted_for(tmp_path_factory, parts):
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    data = b"-" + b"\n".join(parts)
    path.write_bytes(data)
    records, tally = read(SOURCE, unit(path))
    assert tally.input_bytes == len(data)
    assert tally.records == len(records) + sum(damage.count for damage in tally.damaged.values())
    for line in parts:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if b"\n" not in line and isinstance(value, dict) and isinstance(value.get("text"), str):
            assert parts.index(line) == 0 or value["text"] in [record.text for record in records]


OBJECTS = [
    {"text": "one"},
    {"text": 'with "quotes", {braces}, [brackets] and \\ in it'},
    {"text": "три", "n": [{"a": [1]}]},
]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("indent", [None, 2, 0])
def test_arrays_of_objects_are_read_an_object_at_a_time(tmp_path, pack, indent):
    data = json.dumps(OBJECTS, indent=indent, ensure_ascii=False).encode()
    path = tmp_path / "a.json"
    path.write_bytes(pack(data))
    records, tally = read(SOURCE, unit(path))
    assert [r.text for r in records] == [one["text"] for one in OBJECTS]
    assert tally.records == 3 and not tally.damaged and not tally.skipped
    assert all(data[r.offset : r.offset + 1] == b"{" for r in records) and len({r.offset for r in records}) == 3


def test_objects_over_several_lines_are_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join(json.dumps(one, indent=1) for one in OBJECTS).encode())
    assert texts(path) == ([one["text"] for one in OBJECTS], {})
    path.write_bytes(json.dumps(OBJECTS[1], indent=4).encode())
    assert texts(path) == ([OBJECTS[1]["text"]], {})


def test_one_object_on_one_line_is_a_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps(OBJECTS[1]).encode())
    assert texts(path) == ([OBJECTS[1]["text"]], {})


def test_what_is_no_object_in_an_array_is_damage_and_the_rest_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(
        b'[{"text": "a"}, 7, "s,{", null, {"no": 1}, {"text": "\xff"}, {bad}, [{"text": "in"}], {"text": "b"}]'
    )
    found, damage = texts(path)
    assert found == ["a", "in", "b"]
    assert damage == {"not a JSON object": 3, "no text field": 1, "invalid UTF-8": 1, "not JSON": 1}


def test_an_array_that_breaks_off_is_damage(tmp_path):
    path = tmp_path / "a.json"
    whole = b'[\n{"text": "a"},\n{"text": "b"}\n]'
    for end, found, damage in [
        (len(whole) - 2, ["a", "b"], {"stream": 1}),
        (len(whole) - 6, ["a"], {"not JSON": 1, "stream": 1}),
        (len(whole), ["a", "b"], {}),
    ]:
        path.write_bytes(whole[:end])
        assert texts(path) == (found, damage)


def test_a_value_over_the_limit_is_rejected_with_its_size_and_not_held(tmp_path):
    path = tmp_path / "a.json"
    long = json.dumps({"text": "x" * 900_000})
    path.write_text(f'[{{"text": "a"}}, {long}, {{"text": "b"}}]')
    records, tally = read(SOURCE, unit(path), max_bytes=1000)
    assert [(r.text, r.too_large) for r in records] == [("a", 0), (None, len(long)), ("b", 0)]
    assert tally.records == 3 and not tally.damaged


def test_large_arrays_are_one_unit_and_large_files_of_lines_are_not(tmp_path):
    from data_pipeline.sources.jsonl import plan

    for name, data, count in [
        ("array.json", json.dumps([{"text": "x" * 50}] * 100).encode(), 1),
        ("pretty.json", json.dumps({"text": "x" * 50, "n": list(range(500))}, indent=1).encode(), 1),
        ("lines.json", b'{"text": "' + b"x" * 90 + b'"}\n' + b'{"text": "y"}\n' * 300, 5),
    ]:
        (tmp_path / name).write_bytes(data)
        pieces = plan(Source(name="s", type="jsonl", paths=[str(tmp_path / name)]), 1000).pieces
        assert len(pieces) == count, name


def test_a_damaged_member_inside_an_array_costs_what_lies_in_it(tmp_path):
    parts = [b"[" + b",".join(b'{"text": "%d %d"}' % (part, n) for n in range(300)) for part in range(3)]
    packed = [bytearray(gzip.compress(part.replace(b"[", b"," if at else b"["))) for at, part in enumerate(parts)]
    packed[1][40:60] = b"\xff" * 20
    path = tmp_path / "a.json.gz"
    path.write_bytes(b"".join(packed) + gzip.compress(b"]"))
    found, damage = texts(path)
    assert damage["stream"] >= 1
    assert found[:300] == [f"0 {n}" for n in range(300)] and found[-299:] == [f"2 {n}" for n in range(1, 300)]


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["text", "url", "x"]), VALUES, min_size=1), min_size=1),
    st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 9),
)  # fmt: skip
def test_the_borders_of_values_are_found_in_pieces_of_any_size(values, indent, ascii_only, step):
    from data_pipeline.sources.json_values import Values

    class Pieces:
        """A file that hands out a few bytes at a time."""

        def __init__(self, data):
            self.data, self.position = data, 0

        def peek(self, size):
            return self.data[:size]

        def chunk(self):
            piece = self.data[self.position : self.position + step]
            self.position += len(piece)
            return piece

    data = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    found = list(Values(Pieces(data), 10**6))
    assert [json.loads(value.data) for value in found] == json.loads(data)
    assert all(data[value.offset : value.offset + value.size] == value.data and value.whole for value in found)


def test_a_text_over_twice_the_bound_is_measured_and_not_held(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "é" * 100_000}, ensure_ascii=False) + "\n" + json.dumps({"text": "b"}) + "\n")
    records, _ = read(SOURCE, unit(path), max_bytes=60_000)
    assert [(record.too_large, record.text) for record in records] == [(200_000, None), (0, "b")]
