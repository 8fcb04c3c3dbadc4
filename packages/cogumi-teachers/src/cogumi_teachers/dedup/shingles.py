"""Texts as sets of character n-grams, and the MinHash signatures of such sets.

The text is normalised for comparing only (NFC, case folding, runs of whitespace as one space); what is stored never
changes. NFKC is not used: it makes x² and x2 equal. A shingle of up to three characters is packed into 64 bits without
loss, 21 bits each, so set sizes and similarities are exact; longer shingles are hashed to 64 bits.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt
from datasketch import MinHash

Shingles = npt.NDArray[np.uint64]
"""Distinct shingles of one text, ascending."""
Signature = npt.NDArray[np.uint32]

_BITS = np.uint64(21)
_PACKED = 3
_BLOCK = 2048
"""Shingles permuted at a time: a block of 128 permutations is 1 MiB, which stays in the processor's cache."""


def normalise(text: str) -> str:
    """The text as it is compared."""
    # Folding can undo the composition (U+0345), so NFC comes last; the second pass is cheap because most text is NFC already.
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def shingles(text: str, size: int) -> Shingles:
    """The distinct `size`-grams of a normalised text. A shorter text is one shingle, the text itself; an empty one has none."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    if not len(codes):
        return codes
    size_here = min(size, len(codes))
    count = len(codes) - size_here + 1
    grams = np.zeros(count, dtype=np.uint64)
    for offset in range(size_here):
        grams = _append(grams, codes[offset : offset + count], packed=size <= _PACKED)
    return np.unique(grams)


def _append(grams: Shingles, codes: Shingles, *, packed: bool) -> Shingles:
    return (grams << _BITS) | codes if packed else mix(grams ^ mix(codes + np.uint64(1)))


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A fixed bijection of 64-bit integers that spreads every bit (the finaliser of MurmurHash3, Appleby, public domain)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


def jaccard(a: Shingles, b: Shingles) -> float:
    """Exact similarity of two sets: shared shingles over all shingles, in [0, 1]; two empty sets are equal."""
    if not len(a) and not len(b):
        return 1.0
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


class Signer:
    """Computes the signatures that `datasketch.MinHash(num_perm, seed)` would, with its permutations, some ten times as fast.

    The library hashes shingle by shingle in Python; here the shingles are hashed and permuted as arrays (its scheme
    `affine32`: finaliser, then a·h + b modulo 2^32). A test holds both equal."""

    def __init__(self, num_perm: int, seed: int = 1) -> None:
        permutations: Any = MinHash(num_perm=num_perm, seed=seed, scheme="affine32").permutations
        self._a = np.asarray(permutations[0], dtype=np.uint32).reshape(-1, 1)
        self._b = np.asarray(permutations[1], dtype=np.uint32).reshape(-1, 1)

    def sign(self, grams: Shingles) -> Signature:
        """Signature [num_perm]; of an empty set, the largest value everywhere."""
        lowest = np.full(len(self._a), 0xFFFFFFFF, dtype=np.uint32)
        hashes = _finalise(hash32(grams))
        for start in range(0, len(hashes), _BLOCK):
            permuted = self._a * hashes[start : start + _BLOCK] + self._b
            np.minimum(lowest, permuted.min(axis=1), out=lowest)
        return lowest


def hash32(grams: Shingles) -> npt.NDArray[np.uint32]:
    """What the permutations are fed: 32 well-mixed bits of each shingle."""
    return mix(grams).astype(np.uint32)


def _finalise(hashes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """MurmurHash3's finaliser of 32 bits, which datasketch applies before it permutes."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))
