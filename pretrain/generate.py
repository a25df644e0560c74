"""Text from a checkpoint, on one process, whatever layout wrote it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from configs.errors import Problem, UserError
from configs.loader import load_file
from data_pipeline.tokenize.codec import Codec
from pretrain.checkpoint.directory import newest
from pretrain.checkpoint.read import CheckpointReader
from pretrain.model.layers import SequentialModel, Shape
from pretrain.model.logical import segments
from pretrain.parallel import runtime
from pretrain.sampling import Sampling, choose, draws

GREEDY = Sampling()


def load_model(run_dir: Path) -> tuple[SequentialModel, CheckpointReader]:
    """The newest checkpoint of a run as a float32 model on this process, ready for evaluation."""
    found = newest(run_dir)
    if found is None:
        raise UserError(Problem("this run has no complete checkpoint", str(run_dir), "train it first: millrace train"))
    reader = CheckpointReader(found.path)
    model = load_file(run_dir / "config.yaml").config.model
    assert model is not None
    runtime.start_single()
    shape = Shape(model, reader.state["vocab_size"], reader.state["positions"])
    module = SequentialModel(shape)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.zero_()
            for part in segments(name, model, shape.vocab_size, shape.positions, rank=0, tp=1):
                values = torch.from_numpy(reader.weights(part)).reshape(-1)
                parameter.view(-1)[part.offset : part.offset + part.numel].copy_(values)
    return module.eval().to(runtime.device()), reader


@torch.no_grad()
def continued(
    module: SequentialModel,
    tokens: list[int],
    count: int,
    end_of_document: int,
    context: int,
    sampling: Sampling = GREEDY,
    chance: np.random.Generator | None = None,
) -> list[int]:
    """Appends up to `count` tokens, stopping after an end of document.

    tokens: the prompt, at least one. context: the most tokens the model sees at once; older ones fall out of view.
    chance: what a `sampling` with a temperature draws from.
    """
    tokens = list(tokens)
    place = next(module.parameters()).device
    chance = chance or draws(0, 0)
    for _ in range(count):
        logits = module(torch.tensor([tokens[-context:]], device=place))[-1, 0]
        tokens.append(choose(logits.float().cpu().numpy(), sampling, chance))
        if tokens[-1] == end_of_document:
            break
    return tokens


def generate(
    run_dir: Path, prompt: str, count: int, sampling: Sampling = GREEDY, seed: int = 0, texts: int = 1
) -> list[str]:
    """The prompt with each of `texts` continuations by up to `count` tokens. Text i is the same however many are asked."""
    module, reader = load_model(run_dir)
    codec = Codec.load(run_dir / "tokenizer.model")
    # Training saw documents begin after the end of the one before.
    tokens = [codec.end_of_document, *(int(t) for t in codec.encode(prompt))]
    context, end = reader.state["positions"], codec.end_of_document
    found = [continued(module, tokens, count, end, context, sampling, draws(seed, i)) for i in range(texts)]
    return [codec.decode(t for t in text if t != end) for text in found]
