"""Clusters of duplicates from edges: union-find on integer arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Clusters:
    """The documents that have a duplicate. members: int64, ascending. kept: int64, the one that stays, for each."""

    members: np.ndarray
    kept: np.ndarray

    @property
    def rejected(self) -> int:
        """Documents that go."""
        return int(np.count_nonzero(self.members != self.kept))

    def of(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The rejected documents among [start, start + count): numbers less `start`, and those of the kept ones."""
        a, b = np.searchsorted(self.members, [start, start + count])
        members, kept = self.members[a:b], self.kept[a:b]
        gone = members != kept
        return members[gone] - start, kept[gone]


def cluster(edges: np.ndarray) -> Clusters:
    """Connected components of `edges` (int64 [edges, 2]); of each the smallest number, the first in unit order, stays.

    The result does not depend on the order of the edges. Roots are hooked onto smaller roots and paths halved until no
    edge joins two trees (Shiloach & Vishkin 1982): a few rounds of array operations.
    """
    members, flat = np.unique(edges, return_inverse=True)
    a, b = flat.reshape(-1, 2).T
    parent = np.arange(len(members))
    while True:
        root_a, root_b = parent[a], parent[b]
        apart = root_a != root_b
        if not apart.any():
            return Clusters(members.astype(np.int64), members[parent].astype(np.int64))
        a, b, root_a, root_b = a[apart], b[apart], root_a[apart], root_b[apart]
        np.minimum.at(parent, np.maximum(root_a, root_b), np.minimum(root_a, root_b))
        while not np.array_equal(parent, above := parent[parent]):
            parent = above
