"""The deduper against brute force, in any order of the input."""

from __future__ import annotations

import random
import string
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from cogumi_core import Dataset, DuplicateGroup, Example, InputError, RunContext, Services
from cogumi_core.testing import written_dataset
from cogumi_teachers.dedup.bands import candidate_probability, choose_bands
from cogumi_teachers.dedup.candidates import candidate_pairs
from cogumi_teachers.dedup.minhash import MinHashDeduper
from cogumi_teachers.dedup.settings import MinHashSettings
from cogumi_teachers.dedup.shingles import Signer, hash32, jaccard, normalise, shingles

TEXT = "The quick brown fox jumps over the lazy dog while the cat sleeps on the warm windowsill."


def deduper(**given: object) -> MinHashDeduper:
    return MinHashDeduper(MinHashSettings(**given), Services(registry=None))


def dedup(examples: list[Example], **given: object) -> list[DuplicateGroup]:
    """The groups of these rows, which need no files here: a list can be read again, and has a length."""
    with TemporaryDirectory() as scratch:
        run = RunContext(seed=17, scratch=Path(scratch), services=Services(registry=None))
        return list(deduper(**given).groups(cast(Dataset, examples), run))


def row(name: str, response: str, score: float | None = None, instruction: str = "Say something.") -> Example:
    return Example.of(name, instruction, response, {} if score is None else {"quality_score": score})


def similarity(a: Example, b: Example) -> float:
    def grams(example: Example) -> np.ndarray:
        return shingles(f"{normalise(example.instruction)}\n{normalise(example.response)}", 3)

    return jaccard(grams(a), grams(b))


def edited(text: str, share: float, rng: random.Random) -> str:
    """`text` with a share of its characters replaced."""
    letters = list(text)
    for position in rng.sample(range(len(letters)), round(share * len(letters))):
        letters[position] = rng.choice(string.ascii_lowercase)
    return "".join(letters)


def planted(count: int, rng: random.Random, *, length: int = 700) -> list[Example]:
    """Random texts, each with a copy whose similarity is spread around the threshold."""
    rows = []
    for index in range(count):
        words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(length // 6)]
        text = " ".join(words)
        copy = edited(text, rng.uniform(0.01, 0.05), rng)
        rows += [row(f"{index}a", text, rng.random()), row(f"{index}b", copy, rng.random())]
    return rows


@st.composite
def corpora(draw: st.DrawFn) -> list[Example]:
    """Small corpora full of near-duplicates, short and odd texts and equal scores."""
    seed = draw(st.integers(0, 2**32 - 1))
    bases = [*draw(st.lists(st.text(min_size=0, max_size=40), min_size=1, max_size=4)), TEXT, TEXT * 2]
    rng = random.Random(seed)
    texts = [edited(rng.choice(bases), rng.uniform(0, 0.08), rng) for _ in range(draw(st.integers(2, 14)))]
    return [row(f"r{i}", text, rng.choice([None, 1.0, 7.5, 7.5, 9])) for i, text in enumerate(texts)]


@settings(max_examples=60, deadline=None)
@given(corpora(), st.randoms(use_true_random=False))
def test_the_result_does_not_depend_on_the_order_of_the_input(corpus: list[Example], rng: random.Random) -> None:
    shuffled = rng.sample(corpus, len(corpus))
    assert dedup(corpus) == dedup(shuffled)


@settings(max_examples=60, deadline=None)
@given(corpora())
def test_no_id_is_in_two_groups(corpus: list[Example]) -> None:
    groups = dedup(corpus)
    ids = [name for group in groups for name in (group.survivor, *(copy.id for copy in group.duplicates))]
    assert len(ids) == len(set(ids))
    assert set(ids) <= {example.id for example in corpus}


@settings(max_examples=60, deadline=None)
@given(corpora())
def test_every_duplicate_reaches_the_threshold_against_its_own_survivor(corpus: list[Example]) -> None:
    by_id = {example.id: example for example in corpus}
    for group in dedup(corpus):
        for copy in group.duplicates:
            assert copy.similarity >= 0.8
            assert copy.similarity == pytest.approx(similarity(by_id[group.survivor], by_id[copy.id]))


@settings(max_examples=60, deadline=None)
@given(corpora())
def test_the_survivor_is_the_best_scored_of_its_group(corpus: list[Example]) -> None:
    scores = {example.id: example.metadata.get("quality_score", -1) for example in corpus}
    for group in dedup(corpus):
        assert scores[group.survivor] >= max(scores[copy.id] for copy in group.duplicates)


@settings(max_examples=40, deadline=None)
@given(corpora())
def test_no_two_rows_that_stay_are_similar(corpus: list[Example]) -> None:
    dropped = {copy.id for group in dedup(corpus) for copy in group.duplicates}
    kept = [example for example in corpus if example.id not in dropped]
    # At most 14 rows: a pair that the bands miss (1 in 600 at the threshold, fewer above) would be very bad luck.
    pairs = [(a, b) for i, a in enumerate(kept) for b in kept[i + 1 :] if similarity(a, b) >= 0.9]
    assert pairs == []


def test_recall_of_planted_pairs_just_above_the_threshold_is_at_least_99_percent() -> None:
    rows = planted(1500, random.Random(5))
    found = {frozenset((g.survivor, c.id)) for g in dedup(rows) for c in g.duplicates}
    true = [frozenset((a.id, b.id)) for a, b in zip(rows[::2], rows[1::2], strict=True) if 0.8 <= similarity(a, b) <= 0.9]
    assert len(true) > 400
    assert sum(pair in found for pair in true) / len(true) >= 0.99


def test_a_chain_of_copies_is_not_one_group() -> None:
    rng = random.Random(3)
    chain = [" ".join("".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(60))]
    for _ in range(6):
        chain.append(edited(chain[-1], 0.03, rng))
    rows = [row(f"c{index}", text, score=9 - index) for index, text in enumerate(chain)]
    assert all(similarity(a, b) >= 0.8 for a, b in pairwise(rows))
    dropped = {copy.id for group in dedup(rows) for copy in group.duplicates}
    # Brute force: best first, each row that is still there takes what is similar to it.
    expected: set[str] = set()
    for index, best in enumerate(rows):
        if best.id not in expected:
            expected |= {other.id for other in rows[index + 1 :] if similarity(best, other) >= 0.8}
    assert dropped == expected
    assert len(dropped) < len(rows) - 1


@pytest.mark.parametrize(
    ("scores", "lengths", "survivor"),
    [
        ((5, 8), (0, 0), "b"),
        ((8, 5), (0, 0), "a"),
        ((8, 8), (0, 3), "b"),
        ((None, 0.0), (5, 0), "b"),
        ((float("nan"), 1), (5, 0), "b"),
        (("9", 1), (5, 0), "b"),
    ],
    ids=["higher score", "first may win", "longer", "scored before unscored", "NaN is no score", "text is no score"],
)
def test_the_best_copy_stays(scores: tuple, lengths: tuple, survivor: str) -> None:
    rows = [row(name, TEXT + "!" * more, score) for name, score, more in zip("ab", scores, lengths, strict=True)]
    (group,) = dedup(rows)
    assert group.survivor == survivor
    assert len(group.duplicates) == 1


@pytest.mark.parametrize(
    "other",
    [TEXT.upper(), TEXT.replace(" ", "\n\t "), f"  {TEXT} "],
    ids=["case", "whitespace", "margins"],
)
def test_texts_equal_but_for_case_and_whitespace_are_identical(other: str) -> None:
    (group,) = dedup([row("a", TEXT), row("b", other)])
    assert group.duplicates[0].similarity == 1.0


def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert normalise("Caf\u00e9") == normalise("cafe\u0301")


def test_superscripts_stay_apart_from_digits() -> None:
    assert normalise("x²") != normalise("x2")


def test_texts_shorter_than_a_shingle_are_only_equal_to_themselves() -> None:
    rows = [row(name, text) for name, text in [("a", "no"), ("b", "ok"), ("c", "no"), ("d", "n")]]
    (group,) = dedup(rows, of="response")
    assert {group.survivor, group.duplicates[0].id} == {"a", "c"}


@pytest.mark.parametrize(("of", "count"), [("both", 0), ("instruction", 1), ("response", 0)])
def test_only_the_chosen_text_is_compared(of: str, count: int) -> None:
    rows = [row("a", "Yes, at once.", instruction=TEXT), row("b", string.printable[:95], instruction=TEXT)]
    assert len(dedup(rows, of=of)) == count


def test_the_texts_may_go_to_disk_without_changing_the_result() -> None:
    rows = planted(30, random.Random(1))
    assert dedup(rows, memory=0) == dedup(rows)


def test_groups_come_as_they_are_found(work: RunContext, tmp_path: Path) -> None:
    copies = [row(f"{index}{name}", f"{TEXT} {index}" * 3, score=index) for index in range(3) for name in "ab"]
    groups = deduper(threshold=1.0).groups(written_dataset(tmp_path / "data", copies), work)
    assert next(groups).survivor[0] == "2"  # the best-scored first; the others are still to come
    assert len(list(groups)) == 2


def test_progress_is_told_of_every_pass(work: RunContext) -> None:
    told: list[tuple[float, float | None, str]] = []

    def progress(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
        told.append((done, total, unit))

    list(deduper().groups([row("a", TEXT), row("b", TEXT), row("c", "Something else.")], replace(work, progress=progress)))
    assert [one for one in told if one[0] == one[1]] == [(3, 3, "rows read"), (2, 2, "texts signed"), (2, 2, "texts compared")]


def test_texts_wait_in_the_scratch_folder_once_they_outgrow_memory(work: RunContext) -> None:
    without_scratch = replace(work, scratch=work.scratch / "gone")
    rows = [row("a", TEXT), row("b", "Something else.")]
    assert list(deduper().groups(rows, without_scratch)) == []
    with pytest.raises(FileNotFoundError, match="gone"):
        list(deduper(memory=1).groups(rows, without_scratch))


def test_an_id_that_occurs_twice_is_refused() -> None:
    with pytest.raises(InputError, match="'a' occurs twice"):
        dedup([row("a", TEXT), row("a", "other")])


@pytest.mark.parametrize("text", ["", "a", "ab", "abc", TEXT, "日本語のテキスト 🎉" * 3, TEXT * 40])
def test_signatures_equal_those_of_datasketch(text: str) -> None:
    grams = shingles(normalise(text), 3)
    expected = MinHash(num_perm=128, hashfunc=int, scheme="affine32")
    expected.update_batch(hash32(grams).tolist())
    assert np.array_equal(Signer(128).sign(grams), expected.hashvalues)


def test_candidates_are_those_of_datasketch_that_pass_the_filters() -> None:
    bands, rows = choose_bands(0.8, 128, 0.99)
    grams = [shingles(normalise(example.response), 3) for example in planted(60, random.Random(2))]
    signatures = np.array([Signer(128).sign(item) for item in grams])
    first, second = candidate_pairs(signatures, np.array([len(item) for item in grams]), 0.8, bands, rows)
    index = MinHashLSH(num_perm=128, params=(bands, rows))
    sketches = [MinHash(num_perm=128, hashvalues=values, scheme="affine32") for values in signatures]
    for name, sketch in enumerate(sketches):
        index.insert(name, sketch)
    theirs = {(a, b) for a, sketch in enumerate(sketches) for b in index.query(sketch) if a < b}
    ours = set(zip(first.tolist(), second.tolist(), strict=True))
    assert ours <= theirs
    assert {pair for pair in theirs if jaccard(grams[pair[0]], grams[pair[1]]) >= 0.8} <= ours


@pytest.mark.parametrize(("size", "text"), [(1, "abca"), (3, "abcabc"), (5, "abcdefabcdef"), (16, "x" * 40)])
def test_the_number_of_shingles_is_exact(size: int, text: str) -> None:
    expected = {text[start : start + size] for start in range(len(text) - size + 1)}
    assert len(shingles(text, size)) == len(expected)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_chosen_bands_reach_the_recall_at_the_threshold(threshold: float) -> None:
    bands, rows = choose_bands(threshold, 128, 0.99)
    assert bands * rows <= 128
    assert candidate_probability(threshold, bands, rows) >= 0.99
    assert rows == 128 or candidate_probability(threshold, 128 // (rows + 1), rows + 1) < 0.99


def test_settings_that_cannot_reach_the_recall_are_refused() -> None:
    with pytest.raises(ValueError, match="raise num_perm or threshold"):
        MinHashSettings(threshold=0.2, num_perm=16)
