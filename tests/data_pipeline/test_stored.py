"""Stored files as streams: bounded, honest about damage, and going on behind it."""

import bz2
import gzip
import lzma
import random
import resource
import subprocess
import sys
import zlib

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.sources.stored import Damaged, StoredFile, coding_of

TEXT = b"".join(b"line %d %s\n" % (n, b"x" * (n % 90)) for n in range(5000))
PACK = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstandard.compress,
    "lz4": lz4.frame.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
}
CODINGS = sorted(set(PACK) - {"plain"})


def drain(path):
    """All that can be decoded, and the messages of the damage met."""
    parts, damage = [], []
    told = 0

    def tell(by):
        nonlocal told
        told += by

    with StoredFile(str(path), told=tell) as file:
        while True:
            try:
                piece = file.chunk()
            except Damaged as error:
                damage.append(error)
                if not file.recover():
                    break
                continue
            if not piece:
                break
            parts.append(piece)
    assert told == path.stat().st_size
    return b"".join(parts), damage


@pytest.mark.parametrize("coding", PACK)
def test_every_coding_gives_the_same_bytes_lines_and_positions(tmp_path, coding):
    path = tmp_path / "a"
    path.write_bytes(PACK[coding](TEXT))
    assert coding_of(str(path)) == coding
    assert drain(path) == (TEXT, [])
    with StoredFile(str(path)) as file:
        position = 0
        for line in TEXT.splitlines(keepends=True):
            assert file.position == position
            assert file.line(1000) == (line, len(line))
            position += len(line)
        assert file.line(1000) == (b"", 0)


@given(st.lists(st.binary(max_size=40), max_size=8), st.sampled_from(sorted(PACK)), st.integers(1, 50))
def test_members_in_a_row_are_one_stream(parts, coding, step):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        # A plain file must not begin like a compressed one.
        prefix = b"-" if coding == "plain" else b""
        path.write_bytes(prefix + b"".join(map(PACK[coding], parts)))
        with StoredFile(str(path)) as file:
            got = b"".join(iter(lambda: file.read(step), b""))
        assert got == prefix + b"".join(parts)


def test_skipping_is_reading_without_the_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(TEXT))
    with StoredFile(str(path)) as file:
        assert file.skip(300_000) == min(300_000, len(TEXT))
        assert file.skip(10**9) == max(0, len(TEXT) - 300_000)


def test_the_start_of_each_gzip_member_is_known(tmp_path):
    packed = [gzip.compress(b"a" * n, mtime=0) for n in (10, 0, 300_000, 5)]
    path = tmp_path / "a"
    path.write_bytes(b"".join(packed))
    with StoredFile(str(path)) as file:
        file.read(10)
        file.skip(300_001)
        assert file.member_at(0) == 0
        # The empty member begins where the next does: the last one wins.
        assert file.member_at(10) == len(packed[0] + packed[1])
        assert file.member_at(300_010) == len(b"".join(packed[:3]))
        assert file.member_at(11) is None


@pytest.mark.parametrize("coding", CODINGS)
def test_a_truncated_stream_gives_all_it_holds_and_says_so(tmp_path, coding):
    noise = random.Random(1).randbytes(400_000)
    packed = PACK[coding](noise)
    path = tmp_path / "a"
    path.write_bytes(packed[: len(packed) // 2])
    data, damage = drain(path)
    assert noise.startswith(data)
    assert len(data) > {"gzip": 100_000, "bzip2": -1}.get(coding, 0)  # a block of bzip2 is all or nothing
    assert len(damage) == 1 and "ends before" in damage[0].message
    assert damage[0].offset == len(packed) // 2


@pytest.mark.parametrize("coding", CODINGS)
def test_a_damaged_member_in_the_middle_costs_itself_alone(tmp_path, coding):
    rng = random.Random(2)
    parts = [rng.randbytes(50_000) for _ in range(5)]
    packed = [bytearray(PACK[coding](part)) for part in parts]
    for at in range(20, 60):
        packed[2][at] ^= 0xFF
    if coding == "zstd":  # its blocks of noise are stored as they are: break the block's header
        packed[2][5:12] = b"\xff" * 7
    if coding == "lz4":  # and so here, behind a header of 15 bytes
        packed[2][15:22] = b"\xff" * 7
    path = tmp_path / "a"
    path.write_bytes(b"".join(packed))
    data, damage = drain(path)
    assert data.startswith(parts[0] + parts[1]) and data.endswith(parts[3] + parts[4])
    assert len(damage) >= 1


def test_what_one_decoder_took_too_much_of_is_given_to_the_next(tmp_path):
    for coding in CODINGS:
        path = tmp_path / coding
        path.write_bytes(PACK[coding](bytes(3 << 20)) + PACK[coding](b"two") + PACK[coding](b"three"))
        assert drain(path) == (bytes(3 << 20) + b"twothree", []), coding


@pytest.mark.parametrize("coding", CODINGS)
def test_going_back_gives_the_same_bytes_as_long_as_the_work_stays_linear(tmp_path, coding):
    path = tmp_path / "a"
    path.write_bytes(PACK[coding](TEXT[:100_000]) + PACK[coding](TEXT[100_000:]))
    with StoredFile(str(path)) as file:
        assert file.left is None
        file.skip(150_000)
        assert file.rewind(120_000) and file.position == 120_000
        assert file.read(30_000) == TEXT[120_000:150_000]
        assert file.rewind(50) and file.read(100) == TEXT[50:150]
        gone = 0
        while file.rewind(0):
            file.skip(150_000)
            gone += 1
        assert gone <= 2 and file.position == 150_000
        assert file.read(1 << 20) == TEXT[150_000:] and file.left == 0


def test_looking_ahead_takes_nothing_and_hides_no_damage(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"one") + gzip.compress(b"two")[:-9] + b"\0" * 9)
    with StoredFile(str(path)) as file:
        assert file.peek(2) == b"on" and file.position == 0
        assert file.peek(100)[:3] == b"one"
        assert file.read(3) == b"one"
        with pytest.raises(Damaged):
            file.skip(10)


def test_a_fence_ends_the_stream_before_members_that_begin_so(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"".join(map(gzip.compress, [b"#1", b"more", b"#2", b"#3"])))
    with StoredFile(str(path), fence=lambda data: data.startswith(b"#")) as file:
        found = []
        while file.next_member() or not found:
            found.append(file.read(100))
        assert found == [b"", b"#1more", b"#2", b"#3"] and file.read(1) == b""


def dictionary_archive(records, packed):
    trained = zstandard.train_dictionary(2000, [record + b"%d" % n for n in range(50) for record in records])
    body = trained.as_bytes()
    body = zstandard.compress(body) if packed else body
    frames = [zstandard.ZstdCompressor(dict_data=trained).compress(record) for record in records]
    return b"\x5d\x2a\x4d\x18" + len(body).to_bytes(4, "little") + body + b"".join(frames)


@pytest.mark.parametrize("packed", [False, True])
def test_archives_that_begin_with_their_dictionary_are_read(tmp_path, packed):
    records = [TEXT[at : at + 500] for at in range(0, 20_000, 500)]
    path = tmp_path / "a.warc.zst"
    path.write_bytes(dictionary_archive(records, packed))
    assert coding_of(str(path)) == "zstd"
    assert drain(path) == (b"".join(records), [])


def test_what_was_sound_before_the_damage_is_not_lost(tmp_path):
    packed = bytearray(gzip.compress(TEXT))
    packed[len(packed) * 3 // 4] ^= 0xFF
    path = tmp_path / "a"
    path.write_bytes(packed)
    data, damage = drain(path)
    assert len(data) > len(TEXT) // 2 and TEXT.startswith(data[: len(TEXT) // 2])
    assert len(damage) == 1


def test_a_wrong_checksum_is_damage_though_the_bytes_were_read(tmp_path):
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 1
    path = tmp_path / "a"
    path.write_bytes(packed + gzip.compress(b"next"))
    data, damage = drain(path)
    assert data == TEXT + b"next"
    assert len(damage) == 1


def test_padding_after_a_member_is_no_damage(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"one") + b"\0" * 300_000 + gzip.compress(b"two") + b"\0" * 10)
    assert drain(path) == (b"onetwo", [])


def test_rubbish_between_members_is_damage(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"one") + b"rubbish" * 9 + gzip.compress(b"two") + b"rubbish")
    data, damage = drain(path)
    assert data == b"onetwo"
    assert [error.message for error in damage] == ["the bytes after a gzip member are no gzip member"] * 2


def test_what_looks_like_beginnings_without_end_is_given_up(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"one") + b"\x1f\x8b\x08\xff" * 50_000)
    data, damage = drain(path)
    assert data == b"one"
    assert 1000 <= len(damage) <= 1002


@given(st.binary(max_size=300), st.sampled_from(CODINGS), st.data())
def test_any_damage_ends(tmp_path_factory, noise, coding, data):
    path = tmp_path_factory.mktemp("damage") / "a"
    packed = bytearray(PACK[coding](TEXT[:2000]) + noise + PACK[coding](b"end"))
    for _ in range(data.draw(st.integers(0, 5))):
        packed[data.draw(st.integers(4, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(packed)
    drain(path)


def test_a_line_over_the_limit_is_measured_and_passed_over(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"short\n" + b"x" * 3_000_000 + b"\nlast"))
    with StoredFile(str(path)) as file:
        assert file.line(100) == (b"short\n", 6)
        assert file.line(100) == (b"", 3_000_001)
        assert file.line(100) == (b"last", 4)


BOMB = """
import resource, sys
from data_pipeline.sources.stored import StoredFile
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with StoredFile(sys.argv[1]) as file:
    size = file.line(1000).size
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def bomb(coding):
    chunks = [bytes(1 << 20)] * 600
    if coding == "gzip":
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    else:
        packer = zstandard.ZstdCompressor(level=3).compressobj()
    return b"".join(map(packer.compress, chunks)) + packer.flush()


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_takes_no_more_than_64_mb(tmp_path, coding):
    path = tmp_path / "a"
    path.write_bytes(bomb(coding))
    assert path.stat().st_size < 1_000_000
    done = subprocess.run([sys.executable, "-c", BOMB, path], capture_output=True, text=True, check=True)
    size, extra_kib = map(int, done.stdout.split())
    assert size == 600 << 20
    assert extra_kib < 64 * 1024, resource.getrusage(resource.RUSAGE_CHILDREN)
