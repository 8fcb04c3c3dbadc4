"""Deduplication: speed, recall and precision of `minhash` against the usual way, and against brute force.

The usual way is datasketch with its defaults: one `update` for each shingle, an LSH index with the library's own bands for
the threshold, every candidate taken for a duplicate; `bulk` is the same with the library's faster way to sign. All run on
the same texts in the same process, so the ratio is meaningful on a busy machine where the seconds are not. Texts are
sentences of this Python's own documentation in random order; a fifth are planted copies with characters replaced, many of
them near the threshold.

    python benchmarks/dedup.py [--rows 4000] [--seed 1] [--json]
"""

from __future__ import annotations

import argparse
import json
import pydoc_data.topics
import random
import string
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from datasketch import MinHash, MinHashLSH

from cogumi_core import Example, Registry, RunContext
from cogumi_teachers.dedup.bands import candidate_probability, choose_bands
from cogumi_teachers.dedup.shingles import jaccard, normalise, shingles

THRESHOLD, NUM_PERM, SHINGLE = 0.8, 128, 3
Pairs = set[tuple[int, int]]
"""(row kept, row dropped)"""


def corpus(rows: int, rng: random.Random) -> list[str]:
    """Texts of 400 to 2400 characters; one in five is a damaged copy of an earlier one."""
    sentences = [line for text in pydoc_data.topics.topics.values() for line in text.split(". ") if 30 < len(line) < 300]
    texts: list[str] = []
    while len(texts) < rows:
        if texts and rng.random() < 0.2:
            texts.append(damage(rng.choice(texts), rng.uniform(0.005, 0.06), rng))
        else:
            texts.append(". ".join(rng.choices(sentences, k=rng.randint(4, 20))))
    return texts


def damage(text: str, share: float, rng: random.Random) -> str:
    letters = list(text)
    for position in rng.sample(range(len(letters)), round(share * len(letters))):
        letters[position] = rng.choice(string.ascii_lowercase)
    return "".join(letters)


def brute_force(texts: list[str]) -> dict[tuple[int, int], float]:
    """Every pair that reaches the threshold, by comparing all rows: one matrix product counts the shared shingles, exactly."""
    sets = [shingles(normalise(text), SHINGLE) for text in texts]
    vocabulary = np.unique(np.concatenate(sets))
    table = np.zeros((len(sets), len(vocabulary)), dtype=np.float32)
    for row, grams in zip(table, sets, strict=True):
        row[np.searchsorted(vocabulary, grams)] = 1.0
    sizes = np.array([len(grams) for grams in sets])
    found = {}
    for first, row in enumerate(table):
        shared = table[first + 1 :] @ row
        similarity = shared / (sizes[first + 1 :] + sizes[first] - shared)
        for offset in np.flatnonzero(similarity >= THRESHOLD - 1e-6).tolist():
            exact = jaccard(sets[first], sets[first + 1 + offset])
            if exact >= THRESHOLD:
                found[first, first + 1 + offset] = exact
    return found


def ours(texts: list[str]) -> Iterator[tuple[int, int]]:
    """The component, as a Python user would call it."""
    registry = Registry.installed({})
    deduper = registry.create("deduper", "minhash", threshold=THRESHOLD, of="response")
    rows = [Example.of(f"{index:07d}", "-", text) for index, text in enumerate(texts)]
    with TemporaryDirectory() as scratch:
        run = RunContext(seed=0, scratch=Path(scratch), services=registry.services)
        for group in deduper.groups(rows, run):
            for copy in group.duplicates:
                yield int(group.survivor), int(copy.id)


def grams_of(text: str) -> set[bytes]:
    text = normalise(text)
    return {text[start : start + SHINGLE].encode() for start in range(len(text) - SHINGLE + 1)}


def one_by_one(texts: list[str]) -> Iterator[MinHash]:
    for text in texts:
        sketch = MinHash(num_perm=NUM_PERM)
        for gram in grams_of(text):
            sketch.update(gram)
        yield sketch


def usual(texts: list[str]) -> Iterator[tuple[int, int]]:
    """datasketch with its defaults, shingle by shingle."""
    return unverified(one_by_one(texts))


def bulk(texts: list[str]) -> Iterator[tuple[int, int]]:
    """datasketch with its defaults and its own fast path."""
    return unverified(MinHash.generator(map(grams_of, texts), num_perm=NUM_PERM))


def unverified(sketches: Iterable[MinHash]) -> Iterator[tuple[int, int]]:
    """What the index returns is taken for a duplicate; first come, first kept."""
    index = MinHashLSH(threshold=THRESHOLD, num_perm=NUM_PERM)
    for number, sketch in enumerate(sketches):
        if found := index.query(sketch):
            yield min(found), number
        else:
            index.insert(number, sketch)


def timed(method: Callable[[list[str]], Iterator[tuple[int, int]]], texts: list[str]) -> tuple[Pairs, float]:
    start = time.perf_counter()
    pairs = set(method(texts))
    return pairs, time.perf_counter() - start


def quality(pairs: Pairs, true: dict[tuple[int, int], float]) -> dict[str, float | int]:
    """Precision: dropped rows that reach the threshold against the row kept in their place. Recall: true pairs of which at
    least one row is gone; `recall_80_85` counts only pairs of similarity 0.80 to 0.85."""
    gone = {dropped for _, dropped in pairs}
    near = {pair for pair, similarity in true.items() if similarity < 0.85}
    covered = {pair for pair in true if gone.intersection(pair)}
    return {
        "dropped": len(gone),
        "precision": round(sum((min(pair), max(pair)) in true for pair in pairs) / max(1, len(pairs)), 4),
        "recall": round(len(covered) / max(1, len(true)), 4),
        "recall_80_85": round(len(covered & near) / max(1, len(near)), 4),
    }


def measure(rows: int, seed: int) -> dict[str, object]:
    texts = corpus(rows, random.Random(seed))
    true = brute_force(texts)
    results: dict[str, object] = {
        "rows": rows,
        "mean_characters": round(sum(map(len, texts)) / rows),
        "true_pairs": len(true),
        "true_pairs_80_85": sum(similarity < 0.85 for similarity in true.values()),
    }
    seconds = {}
    for name, method in (("usual", usual), ("bulk", bulk), ("minhash", ours)):
        pairs, seconds[name] = timed(method, texts)
        results[name] = {"rows_a_second": round(rows / seconds[name]), **quality(pairs, true)}
    results["times_as_fast"] = {name: round(seconds[name] / seconds["minhash"], 1) for name in ("usual", "bulk")}
    return results


def show(results: dict[str, object]) -> None:
    bands, length = choose_bands(THRESHOLD, NUM_PERM, 0.99)
    print(f"{results['rows']} texts of {results['mean_characters']} characters, {results['true_pairs']} true pairs,")
    print(f"{results['true_pairs_80_85']} of them between 0.80 and 0.85")
    print(f"minhash uses {bands} bands of {length}: {candidate_probability(THRESHOLD, bands, length):.2%} at the threshold")
    print(f"{'':10}{'rows/s':>8}{'dropped':>9}{'precision':>11}{'recall':>8}{'recall .80-.85':>16}")
    for name in ("usual", "bulk", "minhash"):
        row = results[name]
        assert isinstance(row, dict)
        figures = f"{row['precision']:11.4f}{row['recall']:8.4f}{row['recall_80_85']:16.4f}"
        print(f"{name:10}{row['rows_a_second']:8}{row['dropped']:9}{figures}")
    faster = results["times_as_fast"]
    assert isinstance(faster, dict)
    print(f"minhash is {faster['usual']} times as fast as usual and {faster['bulk']} times as bulk, verification included")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = measure(options.rows, options.seed)
    if options.json:
        print(json.dumps(results))
    else:
        show(results)


if __name__ == "__main__":
    main()
