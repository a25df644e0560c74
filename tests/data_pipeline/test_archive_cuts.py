"""Units of archives: cut only where records begin, and together the same as the whole file."""

import gzip
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.source import Source
from data_pipeline.sources import archive_cuts
from data_pipeline.sources.stored import coding_of
from data_pipeline.sources.warc import plan
from tests.data_pipeline.raw import arc_record, http, members, page, read, record, unit

SOURCE = Source(name="s", type="warc", paths=["x"])
HTML = "Content-Type: text/html"


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def write(path, data):
    path.write_bytes(data)
    return path


def units(path, unit_bytes):
    found = plan(Source(name="s", type="warc", paths=[str(path)]), unit_bytes)
    assert not found.problems
    return [(piece.start, piece.end) for piece in found.pieces]


def told(found, tally):
    counts = {kind: damage.count for kind, damage in tally.damaged.items()}
    return [(r.offset, r.url, r.html, r.too_large) for r in found], tally.records, tally.skipped, counts


def assert_parts_are_the_whole(path, unit_bytes):
    """Returns how many units there were."""
    cuts = units(path, unit_bytes)
    assert [start for start, _ in cuts] == [0, *(end for _, end in cuts[:-1])] and cuts[-1][1] == path.stat().st_size
    records, skipped, damaged, read_records = [], {}, {}, 0
    for start, end in cuts:
        found, number, kinds, counts = told(*read(SOURCE, unit(path, start, end)))
        records += found
        read_records += number
        for into, more in ((skipped, kinds), (damaged, counts)):
            for kind, count in more.items():
                into[kind] = into.get(kind, 0) + count
    assert (records, read_records, skipped, damaged) == told(*read(SOURCE, unit(path)))
    return len(cuts)


SOME = st.one_of(
    st.integers(0, 3000).map(lambda n: page("x" * n, f"http://a.example/{n}")),
    st.integers(0, 3000).map(lambda n: record("response", http(noise(n, n), HTML))),
    st.integers(0, 300).map(lambda n: record("request", b"G" * n)),
    # Archives inside pages: as they are, and compressed.
    st.integers(1, 3).map(lambda n: record("response", http(page("inner") * n, HTML))),
    st.integers(1, 3).map(lambda n: record("response", http(members(*[page("inner")] * n)[0], HTML))),
)


@settings(max_examples=150)
@given(st.lists(SOME, min_size=1, max_size=12), st.integers(1, 5000), st.sampled_from(["plain", "stored", "gzip"]))
def test_units_together_are_the_whole_file(tmp_path_factory, records, unit_bytes, kind):
    # Stored members keep archives inside pages as they are, so that their beginnings lie open.
    data = b"".join(records)
    if kind != "plain":
        data = b"".join(gzip.compress(one, 0 if kind == "stored" else 6, mtime=0) for one in records)
    path = write(tmp_path_factory.mktemp("cuts") / "a", data)
    count = assert_parts_are_the_whole(path, unit_bytes)
    if unit_bytes < len(data) // len(records) // 2 and len(records) > 3:
        assert count > 1


def test_large_archives_of_members_are_cut_about_where_asked(tmp_path):
    data, starts = members(*(record("response", http(noise(20_000, n), HTML)) for n in range(60)))
    path = write(tmp_path / "a.warc.gz", data)
    cuts = units(path, 200_000)
    assert {start for start, _ in cuts} <= set(starts)
    assert len(cuts) == 6 and all(200_000 <= end - start <= 230_000 for start, end in cuts[:-1])
    assert assert_parts_are_the_whole(path, 200_000) == 6


@pytest.mark.parametrize("inner", [3_000, 50_000, 400_000])
def test_an_archive_inside_a_compressed_page_is_no_place_to_cut(tmp_path, inner):
    carried, _ = members(*(record("response", http(noise(700, n), HTML)) for n in range(inner // 1000)))
    outer = [page("first"), page("second"), record("response", http(carried, HTML)), page("last")]
    packed = [gzip.compress(one, 0, mtime=0) for one in outer]
    path = write(tmp_path / "a.warc.gz", b"".join(packed))
    begins = {sum(map(len, packed[:n])) for n in range(len(packed))}
    assert len(carried) > 500 and carried[:400] in path.read_bytes()
    for unit_bytes in (700, 5_000, 60_000):
        assert {start for start, _ in units(path, unit_bytes)} <= begins
        assert_parts_are_the_whole(path, unit_bytes)


def test_an_archive_inside_a_plain_page_is_no_place_to_cut(tmp_path):
    outer = [page("first"), record("response", http(page("inner") * 300, HTML)), page("last"), page("end")]
    path = write(tmp_path / "a.warc", b"".join(outer))
    begins = {sum(map(len, outer[:n])) for n in range(len(outer))}
    cuts = [start for start, _ in units(path, 1000)]
    assert len(cuts) > 1 and begins.issuperset(cuts)
    assert_parts_are_the_whole(path, 1000)


def test_several_records_in_one_member_keep_their_ids(tmp_path):
    groups = [page("a"), page("b"), page("c") + page("d") + page("e"), page("f"), page("g"), page("h") + page("i")]
    data, _ = members(*groups)
    path = write(tmp_path / "a.warc.gz", data)
    assert assert_parts_are_the_whole(path, 100) > 3
    found, _ = read(SOURCE, unit(path))
    assert len({r.offset for r in found}) == 9


@pytest.mark.parametrize("whole", ["one member", "members that do not end with records", "zstd"])
def test_other_compressed_archives_are_one_unit(tmp_path, whole):
    import zstandard

    data = b"".join(page(f"{n}" * 500) for n in range(50))
    packed = {
        "one member": gzip.compress(data),
        "members that do not end with records": b"".join(
            gzip.compress(data[at : at + 1000]) for at in range(0, len(data), 1000)
        ),
        "zstd": b"".join(zstandard.compress(page(f"{n}")) for n in range(50)),
    }[whole]
    path = write(tmp_path / "a", packed)
    assert units(path, 300) == [(0, len(packed))]


def test_arc_files_are_cut_too(tmp_path):
    records = [arc_record("filedesc://a.arc", b"1 0 x\nURL\n", kind="text/plain")]
    records += [arc_record(f"http://a.example/{n}", http(noise(900, n), HTML)) for n in range(20)]
    plain = write(tmp_path / "a.arc", b"".join(records))
    assert assert_parts_are_the_whole(plain, 4000) == 5
    packed = write(tmp_path / "a.arc.gz", members(*records)[0])
    assert assert_parts_are_the_whole(packed, 4000) == 5


def test_planning_reads_a_small_share_of_a_file(tmp_path):
    data, _ = members(*(record("response", http(noise(40_000, n), HTML)) for n in range(200)))
    path = write(tmp_path / "a.warc.gz", data)
    seen = 0

    class Counted:
        def __init__(self, file):
            self.seek, self._file = file.seek, file

        def read(self, size):
            nonlocal seen
            data = self._file.read(size)
            seen += len(data)
            return data

    with path.open("rb") as file:
        cuts = list(archive_cuts._gzip(Counted(file), len(data), 2_000_000))
    assert len(cuts) == 4 and seen < len(data) // 4


def test_damage_stops_no_cut_behind_it(tmp_path):
    packed = [gzip.compress(record("response", http(noise(5000, n), HTML)), mtime=0) for n in range(60)]
    packed[20] = packed[20][:3000] + b"\xff" * 50 + packed[20][3050:]
    path = write(tmp_path / "a.warc.gz", b"".join(packed))
    assert coding_of(str(path)) == "gzip"
    assert len(units(path, 30_000)) > 6
    found = [r for start, end in units(path, 30_000) for r in read(SOURCE, unit(path, start, end))[0]]
    assert len({r.offset for r in found}) == 59
