"""Every token leads to its document, whichever way it is named."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from configs.errors import UserError
from data_pipeline.documents import document_id
from data_pipeline.locate import locate
from data_pipeline.shards import ShardReader, load_manifest
from tests.data_pipeline import road


def lines(made: Path) -> dict[str, tuple[str, str]]:
    """id -> (text, url) from the raw files."""
    found = {}
    for source, name in (("web", "web/a"), ("web", "web/b"), ("books", "books"), ("code", "code")):
        offset = 0
        for line in (made / "raw" / f"{name}.jsonl").read_bytes().splitlines(keepends=True):
            row = json.loads(line)
            found[document_id(source, f"{Path(name).name}.jsonl", offset).hex()] = (row["text"], row["url"])
            offset += len(line)
    return found


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_any_token_leads_to_its_document(made: Path, split: str) -> None:
    corpus, raw = made / "corpus", lines(made)
    manifest = load_manifest(corpus)
    stream = [(entry, ShardReader(corpus / entry.path)) for entry in manifest.splits[split]]
    tokens = [token for _, reader in stream for token in reader.tokens.tolist()]
    draw = random.Random(1)
    for index in [0, len(tokens) - 1, *draw.sample(range(len(tokens)), 25)]:
        found = locate(corpus, f"{split}:{index}")
        text, url = raw[found.document_id]
        assert found.token == tokens[index] and found.split == split and found.url == url
        assert found.text.strip() in text
        assert (
            tokens[index - found.offset_in_document - 1] == manifest.end_of_document
        )  # the document before ends there
        # The other names of the same token.
        before = sum(r.tokens.size for e, r in stream if e.source == found.source and e.path < found.shard)
        assert locate(corpus, f"{split}/{found.source}:{before + found.offset_in_shard}") == found
        assert locate(corpus, f"{found.shard}:{found.offset_in_shard}") == found


def test_a_plain_number_counts_through_the_training_split(made: Path) -> None:
    assert locate(made / "corpus", "1_234") == locate(made / "corpus", "train:1234")


@pytest.mark.parametrize("token", ["", "-1", "train", "train:x", "nowhere:3", "train/nowhere:3", "train:999999999"])
def test_a_token_that_is_not_there_is_refused_in_words(made: Path, token: str) -> None:
    with pytest.raises(UserError):
        locate(made / "corpus", token)


def test_the_command_prints_what_it_found_and_no_control_character(made: Path) -> None:
    done = road.millrace(made, "data", "locate", "corpus", "100")
    assert done.returncode == 0 and done.stdout.isascii() and "https://example.org/" in done.stdout
    found = json.loads(road.millrace(made, "data", "locate", "corpus", "100", "--json").stdout)
    assert found["document_id"] in done.stdout and found["offset_in_shard"] == 100
