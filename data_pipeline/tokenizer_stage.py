"""The tokenizer's place on the road: trained on a sample of the kept documents, or taken from an existing file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from configs.loader import Loaded
from data_pipeline.output import fingerprint, write_bytes, write_json
from data_pipeline.progress import Progress
from data_pipeline.tokenize import train
from data_pipeline.tokenize.codec import Codec
from data_pipeline.tokenize.sample import draw_sample, read_sample
from data_pipeline.units import Unit

TOKENIZER_PATH = "tokenizer/tokenizer.model"
"""Relative to the corpus."""


def make_tokenizer(
    loaded: Loaded, out: Path, units: Sequence[Unit], report: Progress, before_change: Callable[[], None]
) -> tuple[Codec, dict[str, Any]]:
    """Puts the tokenizer in its place, unless the right one is there. Returns it and what is to be told of it.

    before_change: called before the file in place is replaced or first written. UserError: no model where
    `tokenizer.model` points, or a vocabulary that the text does not support.
    """
    settings = loaded.config.tokenizer
    path, record = out / TOKENIZER_PATH, out / "work" / "tokenizer.json"
    if settings.model:
        codec = Codec.load(settings.model)
        if not path.is_file() or path.read_bytes() != codec.model:
            before_change()
            write_bytes(path, codec.model)
        report.say(f"tokenizer: existing model, {codec.vocab_size:,} pieces")
        return codec, {"trained": False, "documents": 0, "bytes": 0, "sentences": 0, "cut_lines": 0}
    with report.stage("tokenizer", 0, "documents") as stage:
        sample = draw_sample(out, units, settings.train_bytes)
        mark = fingerprint(
            stage="tokenizer",
            version=train.VERSION,
            settings=settings.model_dump(mode="json", exclude={"model", "train_bytes"}),
            sample=sample.hash,
            sentencepiece=version("sentencepiece"),
        )
        known = _finished(path, record, mark)
        if known is not None:
            codec, told = known
        else:
            model, counts = train.train(read_sample(out, units, sample), settings, loaded.where("tokenizer.vocab_size"))
            codec, told = Codec(model), {"trained": True, **vars(counts)}
            before_change()
            # The record first: a model in its place then is a finished one, whenever this process dies.
            write_json(record, {"fingerprint": mark, "hash": codec.hash, "told": told})
            write_bytes(path, model)
        stage.advance(told["documents"])
    state = "finished already" if known is not None else "trained"
    cut = f", {told['cut_lines']:,} long lines cut" if told["cut_lines"] else ""
    text = f"{told['documents']:,} documents, {told['bytes']:,} bytes{cut}"
    report.say(f"tokenizer: {state}, {codec.vocab_size:,} pieces from {text}")
    return codec, told


def _finished(path: Path, record: Path, mark: str) -> tuple[Codec, dict[str, Any]] | None:
    try:
        known = orjson.loads(record.read_bytes())
        codec = Codec(path.read_bytes(), str(path))
    except (OSError, ValueError):
        return None
    return (codec, known["told"]) if (known.get("fingerprint"), known.get("hash")) == (mark, codec.hash) else None
