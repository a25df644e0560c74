"""Files elsewhere: over servers that fail, break off and cannot range; through fsspec; by listing files; and back."""

import gzip
import hashlib
import http.server
import os
import threading
from pathlib import Path

import fsspec
import pytest

from configs.errors import MachineError, TryLater, UserError
from configs.schema.data import Data
from configs.schema.source import Source
from configs.schema.tree import Config
from data_pipeline.inputs import list_units
from data_pipeline.publish import publish
from data_pipeline.sources import remote, web
from data_pipeline.sources.record import Limits, SourceTally
from data_pipeline.sources.registry import read
from tests.data_pipeline.raw import lines

TEXTS = [f"text {n} " * 20 for n in range(2000)]


class Handler(http.server.BaseHTTPRequestHandler):
    """A web server with faults: `server.faults` holds what happens to the next requests by method."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        server = self.server
        server.seen.append((self.command, self.path, self.headers.get("Range")))
        fault = server.faults.pop(0) if body and server.faults else None
        if isinstance(fault, int):
            return self.end(fault)
        if self.command == "HEAD" and server.no_head:
            return self.end(405)
        data = server.files.get(self.path)
        if data is None:
            return self.end(404)
        start, status = 0, 200
        asked = self.headers.get("Range")
        tag = '"' + hashlib.md5(data).hexdigest() + '"'
        if asked and server.ranges and self.headers.get("If-Range", tag) == tag:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, status, whole = int(first), 206, len(data)
            data = data[start : int(last) + 1 if last else None]
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if server.tags:
            self.send_header("ETag", tag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{whole}")
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
        if fault == "cut":
            self.close_connection = True

    def end(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(web, "_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(remote, "_BACKOFF_SECONDS", 0.001)
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.files, made.faults, made.seen = {"/crawl/a.jsonl.gz": gzip.compress(lines(*TEXTS), mtime=0)}, [], []
    made.ranges, made.tags, made.no_head = True, True, False
    made.url = f"http://127.0.0.1:{made.server_address[1]}"
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def config(*paths, kind="jsonl", **more):
    sources = [Source(name="s", type=kind, paths=[str(path) for path in paths], **more)]
    return Config(sources=sources, data=Data(unit_bytes=1000))


def texts(settings, spool):
    found = []
    for unit in list_units(settings):
        tally = SourceTally()
        found += [r.text for r in read(unit, settings.sources[0], Limits.of(10_000_000), tally, spool)]
        assert not tally.damaged
    assert not spool.exists() or list(spool.iterdir()) == []
    return found


@pytest.mark.parametrize("faults", [[], [503], [503, 429, 500], ["cut"], ["cut", 503, "cut"]])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_on_a_busy_server_is_read_whole_and_never_taken_for_damaged(server, tmp_path, faults, ranges):
    settings = config(f"{server.url}/crawl/a.jsonl.gz")
    list_units(settings)
    server.faults, server.ranges = list(faults), ranges
    assert texts(settings, tmp_path / "spool") == TEXTS
    resumed = [asked for method, _, asked in server.seen if method == "GET" and asked]
    assert bool(resumed) == ("cut" in faults)


def test_servers_that_refuse_head_or_give_no_tags_are_read_too(server, tmp_path):
    known = set()
    for server.no_head, server.tags in ((True, True), (False, False)):
        settings = config(f"{server.url}/crawl/a.jsonl.gz")
        assert texts(settings, tmp_path / "spool") == TEXTS
        known |= {unit.xxh3 for unit in list_units(settings)}
    assert len(known) == 2  # known by its tag, and by the hash of its bytes


def test_a_server_that_stays_silent_is_a_fault_that_passes(server, tmp_path):
    [unit] = list_units(settings := config(f"{server.url}/crawl/a.jsonl.gz"))
    server.faults = [503] * 100
    with pytest.raises(TryLater) as caught:
        list(read(unit, settings.sources[0], Limits.of(10**7), SourceTally(), tmp_path / "spool"))
    assert "HTTP status 503" in caught.value.what
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_file_that_changed_since_it_was_listed_is_refused(server, tmp_path):
    [unit] = list_units(settings := config(f"{server.url}/crawl/a.jsonl.gz"))
    server.files["/crawl/a.jsonl.gz"] = gzip.compress(lines("other"))
    with pytest.raises(MachineError) as caught:
        list(read(unit, settings.sources[0], Limits.of(10**7), SourceTally(), tmp_path / "spool"))
    assert "has changed" in caught.value.what
    assert list_units(settings)[0].xxh3 != unit.xxh3


def test_a_file_that_is_not_there_and_secrets_in_addresses_are_the_users_to_mend(server):
    host = server.url.removeprefix("http://")
    with pytest.raises(UserError) as caught:
        list_units(config(f"{server.url}/no?token=secret", f"http://me:secret@{host}/crawl/a.jsonl.gz"))
    assert [problem.what.split(" (")[0] for problem in caught.value.problems] == [
        "no such remote file", "the address holds user information, which would be kept with the corpus",
    ]  # fmt: skip
    assert "secret" not in str(caught.value)


def test_what_is_signed_in_an_address_is_shown_in_no_message(server):
    address = f"{server.url}/a.jsonl?signature=hunter2"
    server.files["/a.jsonl?signature=hunter2"] = lines(*TEXTS)
    with pytest.raises(UserError) as twice:
        list_units(config(address, address))
    sources = [Source(name=name, type="jsonl", paths=[address]) for name in ("one", "two")]
    with pytest.raises(UserError) as both:
        list_units(Config(sources=sources))
    for caught in (twice, both):
        said = "".join(f"{problem.what}{problem.where}{problem.hint}" for problem in caught.value.problems)
        assert "listed twice" in said and "/a.jsonl" in said and "hunter2" not in said


def test_a_listing_of_paths_on_a_server_is_followed(server, tmp_path):
    server.files["/crawl/b.jsonl"] = lines("b")
    server.files["/wet.paths.gz"] = gzip.compress(b"crawl/b.jsonl\n\n# a remark\ncrawl/a.jsonl.gz\n")
    settings = config(f"{server.url}/wet.paths.gz")
    assert [unit.relative_path for unit in list_units(settings)] == ["crawl/a.jsonl.gz", "crawl/b.jsonl"]
    assert texts(settings, tmp_path / "spool") == [*TEXTS, "b"]
    (tmp_path / "wet.paths").write_text("crawl/b.jsonl\n")
    assert texts(config(tmp_path / "wet.paths", base=server.url), tmp_path / "spool") == ["b"]


def test_a_listing_of_local_paths_tells_all_that_are_missing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(lines("a"))
    listing = tmp_path / "list"
    listing.write_text("in/a.jsonl\n")
    assert texts(config(f"@{listing}"), tmp_path / "spool") == ["a"]
    listing.write_text("in/a.jsonl\nin/b.jsonl\nin/c.jsonl\n../up\n")
    with pytest.raises(UserError) as caught:
        list_units(config(f"@{listing}"))
    assert "leads out of the base" in caught.value.problems[0].what
    listing.write_text("in/a.jsonl\nin/b.jsonl\nin/c.jsonl\n")
    with pytest.raises(UserError) as caught:
        list_units(config(f"@{listing}"))
    assert "2 of 3 files of the listing are not there" in caught.value.problems[0].what


def test_directories_and_globs_of_a_store_are_listed_as_local_ones_are(memory, tmp_path):
    for name in ("a.jsonl", "sub/b.jsonl", "sub/c.txt", ".hidden.jsonl"):
        memory.pipe(f"/bucket/{name}", lines(name))
    settings = config("memory://bucket")
    assert [unit.relative_path for unit in list_units(settings)] == ["a.jsonl", "sub/b.jsonl"]
    assert texts(settings, tmp_path / "spool") == ["a.jsonl", "sub/b.jsonl"]
    assert texts(config("memory://bucket/*/b*"), tmp_path / "spool") == ["sub/b.jsonl"]
    with pytest.raises(UserError) as caught:
        list_units(config("memory://bucket/none.jsonl"))
    assert caught.value.problems[0].what == "no such remote file"


def test_a_short_read_of_a_store_is_tried_again(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_BACKOFF_SECONDS", 0.001)
    memory.pipe("/bucket/a.jsonl", lines(*TEXTS))
    whole, calls = type(memory).cat_file, []

    def short(self, path, start=None, end=None, **more):
        calls.append(start)
        data = whole(self, path, start=start, end=end, **more)
        return data[:-7] if len(calls) == 1 else data

    monkeypatch.setattr(type(memory), "cat_file", short)
    assert texts(config("memory://bucket/a.jsonl"), tmp_path / "spool") == TEXTS
    assert len(calls) == 2


@pytest.mark.parametrize("address", ["s3://bucket/x.jsonl", "gs://bucket/x.jsonl", "nonsense://x"])
def test_a_store_whose_package_is_missing_says_which(address):
    scheme = address.partition("://")[0]
    package = {"s3": "s3fs", "gs": "gcsfs"}.get(scheme, "")
    try:
        __import__(package or "no_such_package")
        pytest.skip(f"{package} is installed")
    except ImportError:
        pass
    with pytest.raises(UserError) as caught:
        list_units(config(address))
    assert (package or "known are") in caught.value.problems[0].hint


def test_publishing_puts_each_file_once_and_goes_on_where_it_stopped(memory, tmp_path):
    files = []
    for name in ("clean/a.parquet", "clean/b.parquet", "manifest.json"):
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1000))
        files.append((path, name))
    for target in ("memory://bucket/corpus", str(tmp_path / "published")):
        first = publish(files[:1], target)
        assert (first.put, first.put_bytes, first.present) == (1, 1000, 0)
        again = publish(files, target)
        assert (again.put, again.present) == (2, 1)
        assert publish(files, target).present == 3
    before = files[0][0].read_bytes()
    assert memory.cat("/bucket/corpus/clean/a.parquet") == before
    assert (tmp_path / "published/clean/a.parquet").read_bytes() == before
    files[0][0].write_bytes(os.urandom(1000))  # of the same size: the hash tells
    assert publish(files, str(tmp_path / "published")).put == 1
    assert (tmp_path / "published/clean/a.parquet").read_bytes() == files[0][0].read_bytes()
    left = [path for path in Path(tmp_path / "published").rglob("*") if path.name.endswith(".partial")]
    assert left == []
