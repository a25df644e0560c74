"""`data verify` finds every damaged bit, names every damaged file, and says nothing of a sound corpus."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import UserError
from data_pipeline.progress import Progress
from data_pipeline.shards import Manifest, load_manifest
from data_pipeline.shards.manifest import write_manifest
from data_pipeline.shards.writer import ShardWriter
from data_pipeline.verify import verify
from tests.data_pipeline import road

QUIET = Progress(quiet=True)


def problems(corpus: Path) -> list[str]:
    return [str(problem) for problem in verify(corpus, QUIET).problems]


def protected(corpus: Path) -> list[Path]:
    return [
        corpus / "manifest.json",
        corpus / "tokenizer/tokenizer.model",
        *sorted((corpus / "shards").rglob("*.arrow")),
    ]


def test_a_sound_corpus_is_sound(made: Path) -> None:
    found = verify(made / "corpus", QUIET)
    manifest = load_manifest(made / "corpus")
    entries = [entry for shards in manifest.splits.values() for entry in shards]
    assert found.problems == [] and found.corpus_id == manifest.corpus_id
    assert (found.shards, found.tokens) == (len(entries), sum(entry.tokens for entry in entries))


def test_every_flipped_bit_is_found(copy: Path) -> None:
    corpus, draw = copy / "corpus", random.Random(0)
    files = protected(corpus)
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


def test_every_truncation_is_found(copy: Path) -> None:
    corpus, draw = copy / "corpus", random.Random(0)
    for path in protected(corpus):
        sound = path.read_bytes()
        for keep in (0, 1, draw.randrange(len(sound)), len(sound) - 1):
            path.write_bytes(sound[:keep])
            assert any(str(path) in problem for problem in problems(corpus)), f"{keep} bytes of {path}"
        path.write_bytes(sound + b"\0")
        assert any(str(path) in problem for problem in problems(corpus)), f"a byte more of {path}"
        path.write_bytes(sound)


def test_every_damaged_file_is_listed_not_only_the_first(copy: Path) -> None:
    corpus = copy / "corpus"
    files = protected(corpus)[1:]
    for path in files[:-1]:
        path.write_bytes(path.read_bytes()[:-1])
    files[-1].unlink()
    shutil.copy(files[1], corpus / "shards" / "train" / "stranger-00000.arrow")
    found = problems(corpus)
    assert all(any(str(path) in problem for problem in found) for path in files)
    assert any("stranger" in problem and "not in the manifest" in problem for problem in found)


def test_damage_is_exit_status_1_and_no_corpus_is_2(copy: Path, tmp_path: Path) -> None:
    sound = road.millrace(copy, "data", "verify", "corpus")
    assert sound.returncode == 0 and "all as written" in sound.stdout
    path = protected(copy / "corpus")[-1]
    path.write_bytes(path.read_bytes()[:-1])
    damaged = road.millrace(copy, "data", "verify", "corpus", "--json")
    report = json.loads(damaged.stdout)
    assert damaged.returncode == 1 and report["ok"] is False and path.name in report["problems"][0]["where"]
    missing = road.millrace(copy, "data", "verify", str(tmp_path / "nowhere"))
    assert missing.returncode == 2 and "no corpus here" in missing.stderr and "Traceback" not in missing.stderr


def test_a_directory_that_is_no_corpus_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no corpus here"):
        verify(tmp_path, QUIET)


def test_a_damaged_corpus_is_mended_by_the_command_that_made_it(copy: Path, made: Path) -> None:
    shards = sorted((copy / "corpus" / "shards").rglob("*.arrow"))
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:-8])
    assert road.millrace(copy, "data", "run", "data.yaml").returncode == 0
    assert road.content(copy / "corpus") == road.content(made / "corpus")


def lie_about_stages(manifest: Manifest) -> Manifest:
    stages = json.loads(json.dumps(manifest.stages))
    stages[1]["documents"]["kept"] += 1
    return replace(manifest, stages=stages)


def lie_about_shards(manifest: Manifest) -> Manifest:
    first, *rest = manifest.splits["train"]
    return replace(
        manifest, splits={**manifest.splits, "train": [replace(first, documents=first.documents + 1), *rest]}
    )


def lie_about_the_source(manifest: Manifest) -> Manifest:
    first, *rest = manifest.splits["train"]
    return replace(manifest, splits={**manifest.splits, "train": [replace(first, source="other"), *rest]})


@pytest.mark.parametrize("lie", [lie_about_stages, lie_about_shards, lie_about_the_source])
def test_a_manifest_that_contradicts_itself_or_its_shards_is_found(
    copy: Path, lie: Callable[[Manifest], Manifest]
) -> None:
    """Checksums all right: it was written wrong."""
    write_manifest(copy / "corpus", lie(load_manifest(copy / "corpus")))
    assert [problem for problem in problems(copy / "corpus") if "belongs to corpus" not in problem]


def test_an_end_in_the_middle_of_a_document_is_found(copy: Path) -> None:
    corpus = copy / "corpus"
    manifest = load_manifest(corpus)
    entry = manifest.splits["train"][0]
    end = manifest.end_of_document
    with ShardWriter(
        corpus / entry.path, entry.source, "train", manifest.vocab_size, end, manifest.tokenizer_hash
    ) as writer:
        writer.append(bytes(16), "", np.array([5, end, 6]))
        changed = writer.close()
    shards = [changed, *manifest.splits["train"][1:]]
    write_manifest(corpus, replace(manifest, splits={**manifest.splits, "train": shards}))
    assert any("end-of-document ids do not stand" in problem for problem in problems(corpus))
