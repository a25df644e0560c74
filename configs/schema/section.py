"""What every section of the tree shares: unknown keys are refused, types are strict, sizes may carry units."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _UNITS[f"{_letter}b"] = 1000**_power
    _UNITS[f"{_letter}ib"] = 1024**_power


class Section(BaseModel):
    """A group of keys. Strict: a string is not silently taken for a number, nor 1.0 for an integer."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def parse_bytes(value: Any) -> Any:
    """`65536`, `"64 kB"` (1000) or `"64 KiB"` (1024) -> bytes as int. Raises ValueError for a unit it does not know."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", value)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"{value!r} is not a size: write a number of bytes or a number with kB, MB, GB, KiB, MiB, GiB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
"""A number of bytes; in YAML also `64kB`, `2GiB`."""
