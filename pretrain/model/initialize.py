"""Initial values that do not depend on the layout.

Each *logical* tensor is drawn in tiles of 128 x 128 (16,384 elements for vectors) by numpy's Philox keyed by
(seed, logical name, tile). A rank draws the tiles its part touches, whole, and cuts: it computes about its own share and
every layout starts from the same weights.
"""

from __future__ import annotations

from itertools import product
from math import sqrt

import numpy as np
import xxhash

from configs.schema.train import Model
from pretrain.model.logical import Segment

TILE = 128
VECTOR_TILE = 16_384


def standard_deviation(name: str, model: Model) -> float:
    """GPT-2's scheme (Radford et al. 2019, 2.3): N(0, init_std), outputs into the residual stream / sqrt(2 x layers)."""
    if name.endswith(("attention.output.weight", "mlp.down.weight")):
        return model.init_std / sqrt(2 * model.num_layers)
    return model.init_std


def _tile(seed: int, name: str, index: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    digest = xxhash.xxh3_128_digest(f"{seed}\0{name}\0{','.join(map(str, index))}".encode())
    key = np.frombuffer(digest, dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float32)


def draw(segment: Segment, seed: int) -> np.ndarray:
    """Standard normal values of the segment's box, float32, of shape `segment.box_shape`."""
    size = (VECTOR_TILE,) if len(segment.shape) == 1 else (TILE,) * len(segment.shape)
    out = np.empty(segment.box_shape, dtype=np.float32)
    touched = [range(lo // t, -(-hi // t)) for (lo, hi), t in zip(segment.box, size, strict=True)]
    for index in product(*touched):
        tile = _tile(seed, segment.name, index, size)
        inner, outer = [], []
        for i, t, (lo, hi) in zip(index, size, segment.box, strict=True):
            a, b = max(lo, i * t), min(hi, (i + 1) * t)
            inner.append(slice(a - i * t, b - i * t))
            outer.append(slice(a - lo, b - lo))
        out[tuple(outer)] = tile[tuple(inner)]
    return out


def initial_values(segment: Segment, model: Model, seed: int) -> np.ndarray:
    """float32 values of the segment's box: ones for norm weights, zeros for biases, else scaled normal values."""
    if segment.name.endswith(".bias"):
        return np.zeros(segment.box_shape, dtype=np.float32)
    if segment.name.endswith("norm.weight"):
        return np.ones(segment.box_shape, dtype=np.float32)
    return draw(segment, seed) * np.float32(standard_deviation(segment.name, model))
