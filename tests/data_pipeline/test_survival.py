"""What befalls the machine costs time, never documents: a full disk, and kills at any moment."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from data_pipeline.progress import Progress
from data_pipeline.shards import load_manifest
from data_pipeline.verify import verify
from tests.conftest import absent
from tests.data_pipeline import road
from tests.data_pipeline.raw import page

KILLS = 20


def test_a_disk_that_fills_up_is_named_and_with_room_the_same_command_goes_on(made: Path, tmp_path: Path) -> None:
    """A file system of its own, too small for the corpus, then larger."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        absent("mount namespaces of its own (unshare -rm)")
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    run = " ".join(road.command("data", "run", "data.yaml", f"data.dir={disk}/corpus", "data.workers=2"))
    script = f"""
        mount -t tmpfs -o size=700k millrace {disk} || exit 99
        {run}; echo "first: $?"
        find {disk} -name '*.partial' | wc -l
        mount -o remount,size=64m {disk} || exit 99
        {run}; echo "second: $?"
        cp -r {disk}/corpus {kept}
    """
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=made, capture_output=True, text=True, check=False)
    assert "first: 1\n0\n" in done.stdout and "second: 0" in done.stdout, done.stdout + done.stderr
    assert "No space left on device" in done.stderr and "make room" in done.stderr and "Traceback" not in done.stderr
    assert "finished already" in done.stderr
    assert road.content(kept) == road.content(made / "corpus")


def test_a_page_that_hangs_the_extractor_is_told_as_the_exception_to_the_same_bytes(tmp_path: Path) -> None:
    prose = "The mill stands by the river, and the wheel that turns it has been there for years. " * 9
    (tmp_path / "a.warc").write_bytes(page("<div>" * 300_000) + page(prose))
    (tmp_path / "data.yaml").write_text(
        "sources: [{name: s, type: warc, paths: [a.warc]}]\nextract: {max_depth: 1000000, max_nodes: 10000000, time_limit: 0.5}\n"
        "data: {dir: out, product: documents}\n"
    )
    done = road.millrace(tmp_path, "data", "run", "data.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["documents_kept"] == 1
    assert "1 pages rejected as extract_timeout: another run may decide otherwise" in done.stderr
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats["unrepeatable"] == {"extract_timeout": 1}


@pytest.mark.slow
@pytest.mark.parametrize("product", ["shards", "documents"])
def test_kills_at_twenty_random_moments_leave_the_same_result(made: Path, tmp_path: Path, product: str) -> None:
    """Each life is killed at a moment drawn over the length of a whole one, until one comes to its end."""
    corpus, draw = tmp_path / "killed", random.Random(time.time_ns())
    more = ("data.workers=2", f"data.product={product}")
    start = time.monotonic()
    done = road.millrace(made, "data", "run", "data.yaml", f"data.dir={tmp_path}/whole", *more)
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - start
    kills = 0
    while kills < KILLS:
        process = subprocess.Popen(
            road.command("data", "run", "data.yaml", f"data.dir={corpus}", *more), cwd=made, stderr=subprocess.PIPE
        )
        time.sleep(draw.random() * seconds)
        process.kill()
        process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0)
        kills += process.returncode != 0
        if process.returncode == 0:
            shutil.rmtree(corpus)
    done = road.millrace(made, "data", "run", "data.yaml", f"data.dir={corpus}", *more)
    assert done.returncode == 0, done.stderr
    whole = {str(p.relative_to(tmp_path / "whole")): p for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    if list(corpus.rglob("*.partial")):  # of a killed worker that was still dying, deep in a call of the disk
        assert road.millrace(made, "data", "run", "data.yaml", f"data.dir={corpus}", *more).returncode == 0
    found = {str(p.relative_to(corpus)): p for p in corpus.rglob("*") if p.is_file()}
    volatile = {"stats.json", "report.html", "work/lock", "work/hashes.json"}
    assert found.keys() == whole.keys()
    differ = [name for name in found.keys() - volatile if found[name].read_bytes() != whole[name].read_bytes()]
    assert not differ, differ
    if product == "shards":
        assert not verify(corpus, Progress(quiet=True)).problems and load_manifest(corpus)
