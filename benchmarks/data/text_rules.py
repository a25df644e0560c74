"""What is done to the text of a document, step by step, in MB of text (UTF-8)."""

from __future__ import annotations

from benchmarks.data.inputs import Inputs
from benchmarks.data.measure import Measured, Say, repeat

_BATCH_DOCUMENTS = 1000  # of a batch as `documents_stage` makes them
_ON = {"enabled": True}


def heuristics(inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    """Every rule of Gopher (quality and repetition), C4, FineWeb and RefinedWeb's lines: lines removed, signals measured,
    verdicts given."""
    import pyarrow as pa

    from configs.schema.clean import Clean
    from data_pipeline.clean import heuristics, language, rules

    sections = ("gopher_quality", "gopher_repetition", "c4", "fineweb", "lines")
    config = Clean.model_validate(dict.fromkeys(sections, _ON))
    texts = inputs.texts
    parts = [texts[start : start + _BATCH_DOCUMENTS] for start in range(0, len(texts), _BATCH_DOCUMENTS)]
    batches = [(pa.array(part, pa.large_string()), [language.detect(text)[0] for text in part]) for part in parts]
    table = rules.in_force(config)
    size = _bytes(texts)
    refused = 0

    def once() -> int:
        nonlocal refused
        refused = 0
        for batch, languages in batches:
            measured = heuristics.measure(batch, languages, config)
            reasons, _ = rules.judge(measured.signals, table, config)
            refused += int((reasons >= 0).sum())
        return size

    once()  # compiles, or loads what was compiled before
    measured = repeat(once, seconds, repeats, say)
    more = {"documents": len(texts), "refused": refused, "rules": len(table)}
    return Measured(measured.bytes, measured.rates, measured.cpu_seconds, more)


def language_id(inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    """Language and score of each document, by the installed model."""
    from data_pipeline.clean import language

    texts = inputs.texts
    size = _bytes(texts)
    found: dict[str, int] = {}

    def once() -> int:
        found.clear()
        for text in texts:
            code, _ = language.detect(text)
            found[code] = found.get(code, 0) + 1
        return size

    language.detect("ready")
    measured = repeat(once, seconds, repeats, say)
    return Measured(measured.bytes, measured.rates, measured.cpu_seconds, {"languages": dict(sorted(found.items()))})


def pii(inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    """Every kind of personal data and secrets found and masked."""
    from configs.schema.private import Pii
    from data_pipeline.clean import pii

    texts, config = inputs.texts, Pii(enabled=True)
    size = _bytes(texts)
    found: dict[str, int] = {}

    def once() -> int:
        found.clear()
        for text in texts:
            for kind, count in pii.treat(text, config).counts.items():
                found[kind] = found.get(kind, 0) + count
        return size

    pii.treat("someone@example.org", config)
    measured = repeat(once, seconds, repeats, say)
    return Measured(measured.bytes, measured.rates, measured.cpu_seconds, {"found": dict(sorted(found.items()))})


def _bytes(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)
