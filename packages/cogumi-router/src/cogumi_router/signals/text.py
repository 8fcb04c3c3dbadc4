"""A query as numbers: hashed character n-grams and words, the same when learning and when serving.

Hashing needs no vocabulary file and takes any script. Character n-grams are hashed by numpy over UTF-8 bytes, all at once,
which keeps a decision on a long query well below a millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cogumi_core import Message

NGRAMS = (2, 3, 4)
LONGEST = 4000
"""Characters looked at, from the end: the newest turn says most, and a pasted file must not slow a decision down."""
_MULTIPLIER = np.uint32(0x9E3779B1)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Query:
    """What the gate learns from: the person's words, their domain, and whether they came with a schema."""

    text: str
    domain: str
    has_schema: bool = False


def query_text(messages: Iterable[Message]) -> str:
    """What the person wrote: all user turns. System turns would tell which program asks, not what."""
    return "\n".join(message.content for message in messages if message.role == "user")


def features(text: str, size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """(columns below `size`, weights) with Euclidean length 1: square roots of how often each hash occurs. `size` is a power
    of two. Both are empty for a text without letters or digits."""
    plain = " ".join(text.lower()[-LONGEST:].split())
    words = _WORD.findall(plain)
    if not words:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    hashes = np.concatenate([*_character_hashes(f" {plain} "), _word_hashes(words)])
    # The upper bits of a product are the well-mixed ones.
    columns, counts = np.unique(hashes >> np.uint32(32 - (size.bit_length() - 1)), return_counts=True)
    weights = np.sqrt(counts).astype(np.float32)
    return columns.astype(np.int64), weights / np.linalg.norm(weights)


def _character_hashes(text: str) -> list[npt.NDArray[np.uint32]]:
    raw = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.uint32)
    return [_windows(raw, n) for n in NGRAMS if len(raw) >= n]


def _windows(raw: npt.NDArray[np.uint32], n: int) -> npt.NDArray[np.uint32]:
    """A multiplicative hash of every window of `n` bytes; unsigned arithmetic wraps, as meant."""
    out = np.full(len(raw) - n + 1, n, np.uint32)
    for offset in range(n):
        out = (out ^ raw[offset : offset + len(out)]) * _MULTIPLIER
        out ^= out >> np.uint32(15)
    return out * _MULTIPLIER


def _word_hashes(words: list[str]) -> npt.NDArray[np.uint32]:
    pairs = (f"{first} {second}" for first, second in pairwise(words))
    return np.array([crc32(word.encode("utf-8", "replace")) for word in (*words, *pairs)], np.uint32) * _MULTIPLIER
