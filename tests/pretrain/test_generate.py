from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pretrain.generate import continued
from pretrain.sampling import Sampling, draws

END = 0


class Unigram(nn.Module):
    """The simplest language model: the same logits whatever came before."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))
        self.longest = 0

    def forward(self, tokens: Tensor) -> Tensor:
        self.longest = max(self.longest, tokens.size(1))
        return self.logits.expand(tokens.size(1), tokens.size(0), -1)


def test_without_temperature_the_most_likely_token_is_taken() -> None:
    assert continued(Unigram([0.0, 1.0, 2.0]), [1], 4, END, 8) == [1, 2, 2, 2, 2]


def test_it_stops_after_the_end_of_a_document() -> None:
    assert continued(Unigram([3.0, 1.0, 2.0]), [1], 4, END, 8) == [1, END]


def test_the_model_sees_no_more_than_its_context() -> None:
    model = Unigram([0.0, 1.0, 2.0])
    assert len(continued(model, [1, 1, 1], 10, END, 4)) == 13
    assert model.longest == 4


def test_draws_follow_the_distribution_at_their_temperature() -> None:
    logits = [float("-inf"), 0.0, 1.0, 2.0, float("-inf")]
    drawn = continued(Unigram(logits), [1], 4000, END, 1, Sampling(0.5), draws(1, 0))[1:]
    share = np.bincount(drawn, minlength=5) / len(drawn)
    expected = torch.softmax(torch.tensor(logits) / 0.5, dim=0).numpy()
    assert share[0] == share[4] == 0, "a padded or excluded token is never drawn"
    # Three standard errors of a share of 4,000 draws are at most 0.024.
    assert np.abs(share - expected).max() < 0.024


def test_the_same_seed_gives_the_same_text() -> None:
    model = Unigram([-9.0, 1.0, 1.0, 1.0])
    keys = [(7, 0), (7, 0), (8, 0), (7, 1)]
    first, again, *others = (continued(model, [1], 40, END, 4, Sampling(1.0), draws(*key)) for key in keys)
    assert first == again and first not in others and others[0] != others[1]
