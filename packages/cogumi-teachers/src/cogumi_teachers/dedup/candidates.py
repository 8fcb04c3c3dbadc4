"""Finds the pairs of signatures that share a band, without an index of Python objects.

Each band of all rows is hashed to 64 bits and sorted; equal neighbours are the bucket. That needs a few numbers a row
instead of the library's dictionary entries, and gives the same pairs. Two cheap tests then drop what cannot be a
duplicate: the sizes of the sets, and the share of equal positions in the signatures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cogumi_teachers.dedup.shingles import mix

Index = npt.NDArray[np.int64]
Signatures = npt.NDArray[np.uint32]
_CHUNK = 65_536
_SIGMAS = 4.0
"""How far below the threshold an estimate may be: four standard deviations miss 1 in 30,000 true pairs."""


def candidate_pairs(signatures: Signatures, sizes: Index, threshold: float, bands: int, rows: int) -> tuple[Index, Index]:
    """Pairs (i, j), i < j, sorted, each once, that may reach `threshold`. `signatures` [n, num_perm], `sizes` of sets [n]."""
    count = len(signatures)
    found = np.empty(0, dtype=np.int64)
    for band in range(bands):
        keys = _band_keys(signatures[:, band * rows : (band + 1) * rows])
        likely = [first * count + second for first, second in _likely(_same_key(keys), signatures, sizes, threshold)]
        # Merged after every band: a true pair shares many bands, and would otherwise be held once for each.
        found = np.unique(np.concatenate([found, *likely]))
    return found // count, found % count


def _band_keys(columns: Signatures) -> npt.NDArray[np.uint64]:
    keys = np.zeros(len(columns), dtype=np.uint64)
    for column in columns.T:
        keys = mix(keys ^ column.astype(np.uint64)) + np.uint64(1)
    return keys


def _same_key(keys: npt.NDArray[np.uint64]) -> Iterator[tuple[Index, Index]]:
    """Pairs with equal keys, in chunks. A bucket of k rows gives its k(k-1)/2 pairs, distance by distance in sorted order."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    alive = np.flatnonzero(ordered[:-1] == ordered[1:])
    distance = 1
    while len(alive):
        for start in range(0, len(alive), _CHUNK):
            part = alive[start : start + _CHUNK]
            yield order[part], order[part + distance]
        distance += 1
        alive = alive[alive + distance < len(keys)]
        alive = alive[ordered[alive] == ordered[alive + distance]]


def _likely(
    pairs: Iterator[tuple[Index, Index]], signatures: Signatures, sizes: Index, threshold: float
) -> Iterator[tuple[Index, Index]]:
    """The pairs that pass both tests, with the smaller index first."""
    length = signatures.shape[1]
    least = (threshold - _SIGMAS * math.sqrt(threshold * (1 - threshold) / length)) * length
    for a, b in pairs:
        first, second = np.minimum(a, b), np.maximum(a, b)
        # |A ∩ B| <= min, |A ∪ B| >= max: sets whose sizes are too far apart cannot reach the threshold.
        low, high = np.minimum(sizes[first], sizes[second]), np.maximum(sizes[first], sizes[second])
        close = low >= threshold * high
        first, second = first[close], second[close]
        equal = (signatures[first] == signatures[second]).sum(axis=1)
        yield first[equal >= least], second[equal >= least]
