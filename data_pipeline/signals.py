"""Signals: what was measured of each document, beside it, so that rules can be decided again without its text.

One row per document of the unit's documents file, in order: `id`, `bytes` (of the text in UTF-8), `language` (code as
detected, "" without letters), `domain` (registered domain of the address, "" without a host), and one float64 column
per signal.
NaN: a signal that says nothing of this document; every rule keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.units import Unit, unit_path

_FIXED = (
    pa.field("id", pa.binary(16), nullable=False),
    pa.field("bytes", pa.int64(), nullable=False),
    pa.field("language", pa.string(), nullable=False),
    pa.field("domain", pa.string(), nullable=False),
)


def signals_path(out: Path, unit: Unit) -> Path:
    """Where the unit's signals lie."""
    return unit_path(out / "work" / "signals", unit)


def signals_schema(names: Sequence[str]) -> pa.Schema:
    """The schema of a unit with the signals of these names."""
    return pa.schema([*_FIXED, *(pa.field(name, pa.float64(), nullable=False) for name in names)])


def signals_batch(
    schema: pa.Schema,
    documents: pa.RecordBatch,
    sizes: Sequence[int],
    domains: Sequence[str],
    signals: Mapping[str, np.ndarray],
) -> pa.RecordBatch:
    """One batch. signals: float64 [documents] each, one for each column of the schema."""
    columns = [documents.column("id"), pa.array(sizes, pa.int64()), documents.column("language")]
    columns.append(pa.array(domains, pa.string()))
    columns += [pa.array(np.asarray(signals[name], np.float64)) for name in schema.names[len(_FIXED) :]]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def measured(batch: pa.RecordBatch) -> dict[str, np.ndarray]:
    """The signals of a batch by name, float64 [documents] each."""
    return {name: batch.column(name).to_numpy() for name in batch.schema.names[len(_FIXED) :]}
