"""Given the same values, our layers compute what transformers' GPT-2 and Llama compute."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributed.ranks import Zygote


@pytest.mark.parametrize("family", ["gpt", "llama"])
def test_logits_and_gradients_equal_transformers(zygote: Zygote, tmp_path: Path, family: str) -> None:
    [found] = zygote.run("tests.distributed.references:compare", 1, tmp_path / "case", family=family)
    assert found["logits"] <= 1e-4
    assert found["padding_is_masked"]
    assert max(found["gradients"].values()) <= 1e-4, found["gradients"]
    assert len(found["gradients"]) >= 2 * 8
