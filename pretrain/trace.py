"""What a step was trained on: from (run, step) to the documents of its batch. Needs no torch.

The batch of a step is a function of the run's log (which life computed the step, and how many samples had been consumed
before it), the config of that life and the corpus. Nothing about batches is ever stored, and nothing needs to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import MachineError, Problem, UserError
from configs.loader import load_file
from data_pipeline.shards import ShardCache, load_manifest
from data_pipeline.tokenize.codec import Codec
from pretrain.checkpoint.directory import directories, read_index
from pretrain.data.stream import SampleStream
from pretrain.tracking.metrics import read_metrics


@dataclass(frozen=True)
class Span:
    """A piece of a window that lies in one document. All spans are [begin, end).

    sample_tokens: in the window of sequence length + 1. document_tokens: in the document, which has `document_length`
    tokens with its end-of-document id. characters, text: of the document's text, where asked for; a character of which
    the span holds only some bytes counts as held.
    """

    id: str
    url: str
    shard: str
    sample_tokens: tuple[int, int]
    document_tokens: tuple[int, int]
    document_length: int
    characters: tuple[int, int] | None = None
    text: str | None = None


@dataclass(frozen=True)
class Sample:
    """One window of the batch: window number `window` of its source, read in that source's epoch `epoch`."""

    sample: int
    source: str
    epoch: int
    window: int
    documents: list[Span]


@dataclass(frozen=True)
class Trace:
    """The batch of a step, in its order. life: which life computed it. trained: False when it lies ahead of the run."""

    run: str
    step: int
    life: int
    trained: bool
    corpus_id: str
    seq_length: int
    samples: list[Sample]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """For people: a line per window, below it a line per document."""
        documents = len({span.id for sample in self.samples for span in sample.documents})
        when = f"life {self.life}" if self.trained else "not trained yet"
        first, last = self.samples[0].sample, self.samples[-1].sample
        yield (f"step {self.step} of {self.run} ({when}): samples {first:,} to {last:,}, {len(self.samples)} x "
               f"{self.seq_length + 1} tokens of {documents:,} documents, corpus {self.corpus_id}")  # fmt: skip
        for sample in self.samples:
            yield f"sample {sample.sample:,}: {sample.source}, epoch {sample.epoch}, window {sample.window:,}"
            for span in sample.documents:
                begin, end = span.document_tokens
                characters = f", characters {span.characters[0]:,}-{span.characters[1]:,}" if span.characters else ""
                yield (f"  {span.id}  tokens {begin:,}-{end:,} of {span.document_length:,}{characters}  "
                       f"{_printable(span.url)}")  # fmt: skip
                if span.text:
                    yield f"    {_printable(span.text)}"


@dataclass(frozen=True)
class _Place:
    """Where a step stands in a run: `consumed` samples before it, `batch` in it."""

    life: int
    trained: bool
    consumed: int
    batch: int
    corpus_id: str


def trace(run_dir: Path, step: int, data_dir: Path | None = None, text: bool = False) -> Trace:
    """The documents of the batch of update `step` (the first is 1); a step that lies ahead is told as it will be.

    data_dir: where the corpus is now, if not where the run found it. text: with characters and text of each span.
    Raises UserError (no run, no such step, not the corpus of the run), MachineError (damaged corpus or log).
    """
    place = _place(run_dir, step)
    config = _config(run_dir, place.life)
    train = config["train"]
    if step > train["steps"]:
        what = f"there is no step {step}: the run ends at train.steps {train['steps']}"
        raise UserError(Problem(what, str(run_dir), f"name a step from 1 to {train['steps']}"))
    directory = data_dir or Path(config["data"]["dir"])
    try:
        stream = SampleStream(directory, "train", train["seq_length"], train["seed"], config["data"]["blend"])
    except UserError as error:
        raise UserError(*error.problems, Problem("the corpus of the run was not found where the run had it",
                                                 str(directory), "name its directory: --data DIR")) from None  # fmt: skip
    if stream.corpus_id != place.corpus_id:
        what = f"step {step} was trained on corpus {place.corpus_id}, but {directory} holds corpus {stream.corpus_id}"
        raise UserError(Problem(what, str(run_dir), "name the directory of that corpus: --data DIR"))
    codec = Codec.load(directory / load_manifest(directory).tokenizer_path) if text else None
    shards = ShardCache()
    samples = []
    for number in range(place.consumed, place.consumed + place.batch):
        source, epoch, window = stream.locate(number)
        samples.append(Sample(number, source, epoch, window, list(_spans(stream, source, window, shards, codec))))
    return Trace(str(run_dir), step, place.life, place.trained, place.corpus_id, train["seq_length"], samples)


def _spans(stream: SampleStream, source: str, window: int, shards: ShardCache, codec: Codec | None) -> Iterator[Span]:
    """The documents of one window, in order."""
    found = next(s for s in stream.sources if s.name == source)
    length = stream.seq_length + 1
    begin = window * stream.seq_length
    at = begin
    while at < begin + length:
        number = int(np.searchsorted(found.starts, at, side="right")) - 1
        entry, first = found.shards[number], int(found.starts[number])
        try:
            reader = shards.get(stream.directory / entry.path)
        except UserError as error:
            raise MachineError(error.problems[0].what, str(stream.directory / entry.path),
                               go_on="find what else is damaged: millrace data verify") from error  # fmt: skip
        if len(reader.tokens) != entry.tokens:
            what = f"the shard holds {len(reader.tokens):,} tokens, the manifest says {entry.tokens:,}"
            raise MachineError(what, str(reader.path), go_on="find what else is damaged: millrace data verify")
        document = reader.document_at(at - first)
        start, stop = int(reader.offsets[document]), int(reader.offsets[document + 1])
        end = min(begin + length, first + stop)
        span = (at - first - start, end - first - start)
        characters, text = _text(codec, reader.tokens[start:stop], span) if codec else (None, None)
        yield Span(
            id=reader.doc_id(document).hex(),
            url=reader.url(document),
            shard=entry.path,
            sample_tokens=(at - begin, end - begin),
            document_tokens=span,
            document_length=stop - start,
            characters=characters,
            text=text,
        )
        at = end


def _text(codec: Codec, document: np.ndarray, span: tuple[int, int]) -> tuple[tuple[int, int], str]:
    """The characters that tokens [span) of a document spell. Byte tokens may cut a character, which then reads as
    U+FFFD and is told from a real one by the whole text."""
    whole = codec.decode(document)
    before, upto = codec.decode(document[: span[0]]), codec.decode(document[: span[1]])
    begin, end = _agreeing(before, whole), _agreeing(upto, whole)
    end += end < len(upto)
    return (begin, end), whole[begin:end]


def _agreeing(part: str, whole: str) -> int:
    """How many characters the beginnings of both have in common; only the last few of `part` can differ."""
    length = min(len(part), len(whole))
    while length and part[:length] != whole[:length]:
        length -= 1
    return length


def _printable(text: str) -> str:
    """Crawled text on one line; control characters must not reach the terminal."""
    return text if text.isprintable() else ascii(text)


def _place(run_dir: Path, step: int) -> _Place:
    rows = read_metrics(run_dir)
    starts = [row for row in rows if row.get("event") == "start"]
    if not starts:
        hint = "name a run directory, as `run.dir` of its config"
        raise UserError(Problem("no run has started here", str(run_dir), hint))
    if step < 1:
        raise UserError(Problem(f"there is no step {step}", str(run_dir), "the first update is step 1"))
    # A life voids what came after the step it started from, so the last one that started before this step computed it.
    start = [row for row in starts if row["from_step"] < step][-1]
    layout = start["layout"]
    batch = layout["dp"] * layout["micro_batch"] * layout["accumulation"]
    counted = [row for row in rows if "consumed" in row]
    trained = any(row["step"] >= step for row in counted)
    mine = [row for row in counted if row["life"] == start["life"]]
    if mine:
        consumed = mine[0]["consumed"] - (mine[0]["step"] - step + 1) * batch
    else:
        consumed = _consumed_at(run_dir, start["from_step"], counted) + (step - 1 - start["from_step"]) * batch
    return _Place(start["life"], trained, consumed, batch, start["corpus_id"])


def _consumed_at(run_dir: Path, step: int, counted: list[dict[str, Any]]) -> int:
    """Samples consumed once `step` was done, for a life that left no row of its own."""
    if step == 0:
        return 0
    if found := [row["consumed"] for row in counted if row["step"] == step]:
        return found[-1]
    for saved, _, path in reversed(directories(run_dir)):
        if saved == step and (path / "index.json").is_file():
            return read_index(path)["state"]["consumed"]
    raise MachineError(f"neither a row nor a checkpoint tells what step {step} had consumed", str(run_dir))


def _config(run_dir: Path, life: int) -> dict[str, Any]:
    """The config of a life: as one of its checkpoints holds it, else the run's latest."""
    for _, written, path in directories(run_dir):
        if written == life and (path / "index.json").is_file():
            return read_index(path)["state"]["config"]
    return load_file(run_dir / "config.yaml").to_dict()
