"""`millrace data train-classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Files = list[str]
# Defaults of fastText where it has them, but for texts fewer and longer than its own: see docs/classifiers.md.


def train_classifier(
    positive: Annotated[
        Files, typer.Option(metavar="FILE", help="Documents that the label means; repeat for several files or globs.")
    ],
    negative: Annotated[Files, typer.Option(metavar="FILE", help="Documents that it does not mean, likewise.")],
    out: Annotated[Path, typer.Option(metavar="MODEL.bin", help="Where the model is written, in fastText's format.")],
    label: Annotated[str, typer.Option(help="Name of the label, such as hq or toxic; the other is not_NAME.")] = "hq",
    text_field: Annotated[str, typer.Option(help="The field of a JSON line that holds the text.")] = "text",
    normalize: Annotated[
        str, typer.Option(metavar="words|none", help="words: lower case, punctuation and CJK characters cut apart.")
    ] = "words",
    ngrams: Annotated[int, typer.Option(min=1, max=16, help="Longest run of words that counts.")] = 2,
    minn: Annotated[int, typer.Option(min=0, max=16, help="Shortest run of characters in a word that counts.")] = 0,
    maxn: Annotated[
        int, typer.Option(min=0, max=16, help="Longest; 0: none. 3 to 5 helps where texts are few or misspelt.")
    ] = 0,
    epochs: Annotated[
        int, typer.Option(min=0, help="Times that each document is seen; 0: by their number, 5 to 100.")
    ] = 0,
    lr: Annotated[float, typer.Option(min=1e-6, max=100, help="Learning rate at the start; it falls to 0.")] = 0.5,
    dim: Annotated[int, typer.Option(min=1, max=10_000, help="Numbers per word: the size of the model.")] = 32,
    buckets: Annotated[
        int, typer.Option(min=0, max=2**31 - 2**24, help="Rows shared by all n-grams; 0: from the texts, to 2,097,152.")
    ] = 0,
    min_count: Annotated[int, typer.Option(min=1, help="Words rarer than this get no row of their own.")] = 1,
    max_characters: Annotated[int, typer.Option(min=1, help="Read of each document, from its beginning.")] = 100_000,
    test_share: Annotated[
        float, typer.Option(min=0, max=0.9, help="Of each label, held out to measure on; the rest is trained on.")
    ] = 0.1,
    seed: Annotated[
        int, typer.Option(help="Of the held-out share, the start and the order: same seed, same bytes.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace MODEL.bin where it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Train a text classifier (quality, toxicity, topic ...) from two labelled sets of documents.

    Files: one document per line, or JSON lines (.jsonl), plain or .gz or .zst. Prints what the model is worth on the
    held-out documents at each threshold, and the lines of configuration that use it.
    """
    from configs.errors import Problem, UserError
    from data_pipeline.progress import Progress
    from data_pipeline.train_classifier.train import Settings, train

    problems = []
    if normalize not in ("words", "none"):
        problems.append(Problem(f"--normalize {normalize!r} is not known", "--normalize", "words or none"))
    if not label or any(character.isspace() or character == "\0" for character in label):
        problems.append(Problem(f"--label {label!r} is no single word", "--label", "such as hq or toxic"))
    if problems:
        raise UserError(*problems)
    settings = Settings(
        label=label.removeprefix("__label__"),
        text_field=text_field,
        normalize="words" if normalize == "words" else "none",
        max_characters=max_characters,
        epochs=epochs,
        rate=lr,
        dimension=dim,
        ngrams=ngrams,
        min_n=minn,
        max_n=maxn,
        buckets=buckets,
        min_count=min_count,
        seed=seed,
        test_share=test_share,
    )
    summary = train(positive, negative, out, settings, Progress(), force)
    if as_json:
        import json

        typer.echo(json.dumps(summary.as_json(), indent=2, ensure_ascii=False))
    else:
        typer.echo(summary.text())
