"""The deduper `minhash`: near-identical rows by Jaccard similarity of character shingles.

Three passes. Rows whose normalised text is identical are put together by hash. MinHash signatures in bands propose
pairs among the rest, with bands chosen for recall (`bands`), not for few candidates. Every proposal is then verified by
exact similarity.

The best copy stays: highest `metadata.quality_score`, then the longer response, then a digest of the content. Rows are
taken from best to worst; each one still there becomes a survivor and takes the rows that are similar *to it*. So there
are no chains in which the first and the last row differ, and the order of the input does not matter. The cost: a copy
that lies between two survivors goes to the better one, though the other may be more similar.

Groups are given as they are found, the best survivor's first. One pass over the input. Memory is about 1.2 kB a row with 128
permutations (measured with 100,000 rows; 600,000 rows: about 0.8 GB); normalised texts wait in a file in the run's scratch
folder. Sharing the work between processes, and comparing with an older data set, are left out.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from cogumi_core import Dataset, Duplicate, DuplicateGroup, Example, InputError, Progress, RunContext, Services
from cogumi_teachers.dedup.bands import choose_bands
from cogumi_teachers.dedup.candidates import Index, Signatures, candidate_pairs
from cogumi_teachers.dedup.settings import MinHashSettings
from cogumi_teachers.dedup.shingles import Shingles, Signer, jaccard, normalise, shingles

Rank = tuple[float, int, bytes, str]
"""Sorts the better copy first; the id decides only between rows that are the same in all else."""
_CACHED_SETS = 4096


class MinHashDeduper:
    """See `cogumi_core.Deduper`."""

    def __init__(self, settings: MinHashSettings, services: Services) -> None:
        self._settings = settings
        self._bands, self._rows = choose_bands(settings.threshold, settings.num_perm, settings.recall)

    def groups(self, dataset: Dataset, run: RunContext) -> Iterator[DuplicateGroup]:
        """Groups by rank of the survivor, duplicates by id. Raises InputError when an id occurs twice."""
        with tempfile.SpooledTemporaryFile(max_size=max(1, self._settings.memory), dir=str(run.scratch)) as spool:
            texts = _Texts(spool, self._settings.shingle)
            ranked = sorted(self._identical(dataset, texts, run.progress), key=lambda same: same.rank)
            for survivor, copies in self._near(ranked, texts, run.progress):
                identical = [Duplicate(name, 1.0) for name in survivor.ids[1:]]
                near = [Duplicate(name, similarity) for copy, similarity in copies for name in copy.ids]
                if duplicates := sorted(identical + near, key=lambda duplicate: duplicate.id):
                    yield DuplicateGroup(survivor.ids[0], tuple(duplicates))

    def _identical(self, dataset: Dataset, texts: _Texts, progress: Progress) -> list[_Class]:
        """One class for each distinct normalised text."""
        classes: dict[bytes, _Class] = {}
        seen: set[str] = set()
        total = len(dataset)
        for done, example in enumerate(dataset, start=1):
            if example.id in seen:
                message = f"the id '{example.id}' occurs twice; deduplication needs unique ids"
                raise InputError(message)
            seen.add(example.id)
            text = self._text(example)
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if (known := classes.get(digest)) is None:
                classes[digest] = _Class(_rank(example), texts.add(text), [example.id])
            else:
                known.add(_rank(example), example.id)
            progress(done, total, "rows read")
        return list(classes.values())

    def _text(self, example: Example) -> str:
        if self._settings.of == "instruction":
            return normalise(example.instruction)
        if self._settings.of == "response":
            return normalise(example.response)
        # A line break cannot occur in normalised text, so the seam between the two is a shingle of its own.
        return f"{normalise(example.instruction)}\n{normalise(example.response)}"

    def _near(
        self, ranked: Sequence[_Class], texts: _Texts, progress: Progress
    ) -> Iterator[tuple[_Class, list[tuple[_Class, float]]]]:
        """(survivor, its near copies with their similarity), best survivor first. `ranked`: best first."""
        first, second = self._candidates(ranked, texts, progress)
        starts = np.searchsorted(first, np.arange(len(ranked) + 1))
        taken = np.zeros(len(ranked), dtype=bool)
        grams = lru_cache(_CACHED_SETS)(lambda index: texts.shingles(ranked[index].text))
        for index, survivor in enumerate(ranked):
            progress(index + 1, len(ranked), "texts compared")
            if taken[index]:
                continue
            copies: list[tuple[_Class, float]] = []
            for other in second[starts[index] : starts[index + 1]].tolist():
                if not taken[other] and (similarity := jaccard(grams(index), grams(other))) >= self._settings.threshold:
                    taken[other] = True
                    copies.append((ranked[other], similarity))
            yield survivor, copies

    def _candidates(self, ranked: Sequence[_Class], texts: _Texts, progress: Progress) -> tuple[Index, Index]:
        signer = Signer(self._settings.num_perm)
        signatures: Signatures = np.empty((len(ranked), self._settings.num_perm), dtype=np.uint32)
        sizes: Index = np.empty(len(ranked), dtype=np.int64)
        # Read in the order of the file, not of the ranks, which would jump about in it.
        in_file = sorted(range(len(ranked)), key=lambda index: ranked[index].text)
        for done, index in enumerate(in_file, start=1):
            grams = texts.shingles(ranked[index].text)
            signatures[index], sizes[index] = signer.sign(grams), len(grams)
            progress(done, len(ranked), "texts signed")
        return candidate_pairs(signatures, sizes, self._settings.threshold, self._bands, self._rows)


@dataclass(slots=True)
class _Class:
    """Rows with the same normalised text: `ids[0]` is the best of them and `rank` its rank; `text` is (offset, bytes)."""

    rank: Rank
    text: tuple[int, int]
    ids: list[str]

    def add(self, rank: Rank, name: str) -> None:
        if rank < self.rank:
            self.rank = rank
            self.ids.insert(0, name)
        else:
            self.ids.append(name)


class _Texts:
    """Normalised texts, one after the other in a file that stays in memory while it is small."""

    def __init__(self, spool: tempfile.SpooledTemporaryFile[bytes], size: int) -> None:
        self._spool = spool
        self._size = size
        self._end = 0

    def add(self, text: str) -> tuple[int, int]:
        data = text.encode("utf-8", "surrogatepass")
        self._spool.write(data)
        place = (self._end, len(data))
        self._end += len(data)
        return place

    def shingles(self, place: tuple[int, int]) -> Shingles:
        offset, length = place
        self._spool.seek(offset)
        return shingles(self._spool.read(length).decode("utf-8", "surrogatepass"), self._size)


def _rank(example: Example) -> Rank:
    content = f"{example.instruction}\0{example.response}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(content, digest_size=8).digest()
    return -_score(example.metadata.get("quality_score")), -len(example.response), digest, example.id


def _score(value: Any) -> float:
    """A row without a usable score ranks below every row that has one."""
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    return float(value) if usable else -math.inf
