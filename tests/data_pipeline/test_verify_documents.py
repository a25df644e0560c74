"""`data verify` finds every damaged bit of a corpus of documents, and tells two corpora in one directory apart."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.documents_manifest import DocumentsManifest, load_documents_manifest, write_documents_manifest
from data_pipeline.progress import Progress
from data_pipeline.verify_documents import verify_documents
from tests.data_pipeline import road

QUIET = Progress(quiet=True)


@pytest.fixture(scope="session")
def parquet(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of documents. Not to be changed."""
    corpus = tmp_path_factory.mktemp("parquet") / "corpus"
    done = road.millrace(made, "data", "run", "data.yaml", "data.product=documents", f"data.dir={corpus}")
    assert done.returncode == 0, done.stderr
    return corpus


@pytest.fixture
def corpus(parquet: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    shutil.copytree(parquet, tmp_path / "corpus")
    return tmp_path / "corpus"


def problems(corpus: Path) -> list[str]:
    return [str(problem) for problem in verify_documents(corpus, QUIET).problems]


def protected(corpus: Path) -> list[Path]:
    return [corpus / "documents.json", *sorted((corpus / "documents").rglob("*.parquet"))]


def test_sound_documents_are_sound(parquet: Path) -> None:
    found, manifest = verify_documents(parquet, QUIET), load_documents_manifest(parquet)
    assert found.problems == [] and found.corpus_id == manifest.corpus_id
    assert (found.files, found.documents) == (len(manifest.files), sum(entry.documents for entry in manifest.files))
    assert found.documents == manifest.stages[-1]["documents"]["kept"] > 0


def test_every_flipped_bit_is_found(corpus: Path) -> None:
    draw, files = random.Random(0), protected(corpus)
    for _ in range(150):
        path = draw.choice(files)
        sound = path.read_bytes()
        bit = draw.randrange(8 * len(sound))
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert any(str(path) in problem for problem in problems(corpus)), f"bit {bit} of {path}"
        path.write_bytes(sound)
    assert problems(corpus) == []


def test_every_truncation_and_every_stranger_is_found(corpus: Path) -> None:
    draw = random.Random(0)
    for path in protected(corpus):
        sound = path.read_bytes()
        for keep in (0, 1, draw.randrange(len(sound)), len(sound) - 1):
            path.write_bytes(sound[:keep])
            assert any(str(path) in problem for problem in problems(corpus)), f"{keep} bytes of {path}"
        path.write_bytes(sound)
    first, second, *_ = protected(corpus)[1:]
    second.unlink()
    shutil.copy(first, corpus / "documents" / "stranger.parquet")
    found = problems(corpus)
    assert any(str(second) in problem for problem in found)
    assert any("stranger" in problem and "not in documents.json" in problem for problem in found)


def lie_about_stages(manifest: DocumentsManifest) -> DocumentsManifest:
    stages = json.loads(json.dumps(manifest.stages))
    stages[-2]["documents"]["rejected"]["nothing"] = 1
    return replace(manifest, stages=stages)


def lie_about(**what: object) -> Callable[[DocumentsManifest], DocumentsManifest]:
    return lambda found: replace(found, files=[replace(found.files[0], **what), *found.files[1:]])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lie_about_stages, "stage filter"),
        (lie_about(documents=1), "number of documents"),
        (lie_about(text_bytes=1), "bytes of text"),
        (lie_about(source="code"), "source is web"),
        (lie_about(path="documents/../../secret"), "no place for a file"),
        (lie_about(path="/etc/passwd"), "no place for a file"),
    ],
)
def test_a_list_that_says_other_things_than_the_files_is_found(
    corpus: Path, lie: Callable[[DocumentsManifest], DocumentsManifest], said: str
) -> None:
    write_documents_manifest(corpus, lie(load_documents_manifest(corpus)))
    assert any(said in problem for problem in problems(corpus))


def test_the_command_verifies_documents_and_a_corpus_of_both_kinds(corpus: Path, made: Path) -> None:
    sound = road.millrace(corpus, "data", "verify", ".")
    assert sound.returncode == 0 and "Parquet files" in sound.stdout and "all as written" in sound.stdout
    again = road.millrace(made, "data", "run", "data.yaml", f"data.dir={corpus}")
    assert again.returncode == 0, again.stderr
    both = road.millrace(corpus, "data", "verify", ".", "--json")
    report = json.loads(both.stdout)
    assert both.returncode == 0 and report["ok"] and report["shards"] and report["others"][0]["files"]
    assert "From raw text to shards" in (corpus / "report.html").read_text()
    last = road.millrace(made, "data", "run", "data.yaml", f"data.dir={corpus}", "data.product=documents")
    assert last.returncode == 0 and "From raw text to documents" in (corpus / "report.html").read_text()
    path = protected(corpus)[-1]
    path.write_bytes(path.read_bytes()[:-1])
    damaged = road.millrace(corpus, "data", "verify", ".")
    assert damaged.returncode == 1 and path.name in damaged.stdout and "Traceback" not in damaged.stderr


def test_a_damaged_file_is_never_listed_as_sound_by_the_next_run(corpus: Path, made: Path) -> None:
    path, before = protected(corpus)[1], load_documents_manifest(corpus)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    command = ("data", "run", "data.yaml", "data.product=documents", f"data.dir={corpus}")
    assert road.millrace(made, *command).returncode == 0
    assert load_documents_manifest(corpus) == before and any(str(path) in problem for problem in problems(corpus))
    path.unlink()
    assert road.millrace(made, *command).returncode == 0 and problems(corpus) == []


def test_a_part_never_writes_out_what_was_decided_under_other_settings(corpus: Path, made: Path) -> None:
    command = ("data", "run", "data.yaml", "data.product=documents", f"data.dir={corpus}", "--phase", "shards")
    assert road.millrace(made, *command).returncode == 0
    for changed in ("clean.gopher_quality.min_words=100", "clean.normalization=none"):
        refused = road.millrace(made, *command, changed)
        assert refused.returncode == 1 and "--phase decide" in refused.stderr, refused.stderr
    assert problems(corpus) == []


def test_what_needs_shards_says_that_these_are_documents(parquet: Path) -> None:
    for command in (("data", "locate", str(parquet), "0"), ("train", "gpt-demo", f"data.dir={parquet}", "--procs=2")):
        refused = road.millrace(parquet, *command)
        assert refused.returncode == 2 and "the corpus ends with documents" in refused.stderr, refused.stderr
        assert "data.product=shards" in refused.stderr and "Traceback" not in refused.stderr


def test_lists_are_known_by_their_bytes_wherever_they_lie(made: Path, tmp_path: Path) -> None:
    ids = []
    for place, text in (("a", "example.com"), ("b", "example.com"), ("c", "example.net")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "list").write_text(f"{text}\n")
        more = (f"data.dir={tmp_path / place / 'corpus'}", f"clean.urls.domains=[{tmp_path / place / 'list'}]")
        assert road.millrace(made, "data", "run", "data.yaml", "data.product=documents", *more).returncode == 0
        ids.append(load_documents_manifest(tmp_path / place / "corpus").corpus_id)
    assert ids[0] == ids[1] != ids[2]
