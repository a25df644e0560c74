"""The presets are what they say: the published sizes, and layouts that hold on the processes their comments name."""

from __future__ import annotations

import re

import pytest

from configs import presets
from configs.loader import load
from pretrain import flops
from pretrain.parallel import layout

# Brown et al. 2020, Table D.1, millions of parameters; with GPT-2's vocabulary of 50,257.
GPT3 = {
    "gpt3-125m": 125,
    "gpt3-350m": 356,
    "gpt3-760m": 760,
    "gpt3-1.3b": 1_320,
    "gpt3-2.7b": 2_650,
    "gpt3-6.7b": 6_660,
    "gpt3-13b": 12_850,
    "gpt3-175b": 174_600,
}
# Numbers of elements of the published weights, with their vocabulary of 128,256.
LLAMA = {"llama-1b": 1_235_814_400, "llama-8b": 8_030_261_248}
# Table 2.1: batch in tokens, peak learning rate.
PUBLISHED = {
    "gpt3-125m": (0.5e6, 6.0e-4),
    "gpt3-350m": (0.5e6, 3.0e-4),
    "gpt3-760m": (0.5e6, 2.5e-4),
    "gpt3-1.3b": (1e6, 2.0e-4),
    "gpt3-2.7b": (1e6, 1.6e-4),
    "gpt3-6.7b": (2e6, 1.2e-4),
    "gpt3-13b": (2e6, 1.0e-4),
    "gpt3-175b": (3.2e6, 0.6e-4),
}
PROCESSES = {
    "gpt-demo": 2,
    "gpt3-125m": 8,
    "gpt3-350m": 8,
    "gpt3-760m": 8,
    "gpt3-1.3b": 8,
    "gpt3-2.7b": 16,
    "gpt3-6.7b": 16,
    "gpt3-13b": 32,
    "gpt3-175b": 1024,
    "llama-150m": 8,
    "llama-1b": 8,
    "llama-8b": 32,
}


@pytest.mark.parametrize("name", GPT3)
def test_gpt3_has_the_papers_number_of_parameters(name: str) -> None:
    model = load(name).config.model
    assert model is not None
    counted = flops.parameters(model, 50_257, 2048)
    assert counted == pytest.approx(GPT3[name] * 1e6, rel=0.005)


@pytest.mark.parametrize("name", LLAMA)
def test_llama_has_exactly_the_published_number_of_parameters(name: str) -> None:
    model = load(name).config.model
    assert model is not None
    assert flops.parameters(model, 128_256, 0) == LLAMA[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_gpt3_trains_with_the_papers_batch_and_rate_on_300_billion_tokens(name: str) -> None:
    config = load(name).config
    tokens, rate = PUBLISHED[name]
    batch = config.train.global_batch * config.train.seq_length
    assert batch == pytest.approx(tokens, rel=0.05)
    assert config.optimizer.lr == rate
    assert batch * (config.train.steps - 1) < 300e9 <= batch * config.train.steps
    assert config.schedule.warmup_steps == round(375e6 / batch)


@pytest.mark.parametrize("name", [n.partition("/")[2] for n in presets.names() if n.startswith("train/")])
def test_every_training_preset_fits_the_processes_it_is_meant_for(name: str) -> None:
    config = load(name).config
    assert PROCESSES.keys() >= {name}, "state the number of processes of this preset"
    for processes in (PROCESSES[name], config.layout.tp * config.layout.pp):
        assert layout.problems(config, processes) == []
    resolved = layout.resolve(config, PROCESSES[name], 50_257)
    assert resolved.world_size == PROCESSES[name]
    text = (presets.ROOT / f"train/{name}.yaml").read_text().replace("\n# ", " ")
    said = re.search(r"Meant for (\d+) accelerators", text)
    assert said is None or int(said[1]) == PROCESSES[name]


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_begins_with_what_it_is(name: str) -> None:
    assert (presets.ROOT / f"{name}.yaml").read_text().startswith("# ")
