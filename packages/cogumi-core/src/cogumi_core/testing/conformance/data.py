"""Contracts of what makes and cleans data: sources, filters, dedupers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from cogumi_core.api.types import Example, Prompt
from cogumi_core.formats.rows import prompt_from_row, prompt_row
from cogumi_core.testing.conformance.base import ComponentSuite
from cogumi_core.testing.samples import near_copies, sample_examples

__all__ = ["DeduperSuite", "FilterSuite", "SourceSuite"]

_LOOKED_AT = 500


class SourceSuite(ComponentSuite):
    """A source streams, repeats itself, and gives complete prompts with unique ids."""

    kind = "source"

    @pytest.fixture
    def prompts(self, made: Any) -> list[Prompt]:
        """The first prompts."""
        return list(islice(made.prompts(), _LOOKED_AT))

    def test_gives_prompts(self, prompts: list[Prompt]) -> None:
        assert prompts, "there is not one prompt"
        assert all(isinstance(prompt, Prompt) for prompt in prompts), "something is not a Prompt"

    def test_streams(self, made: Any) -> None:
        assert isinstance(made.prompts(), Iterator), "prompts() must give an iterator, not hold everything"

    def test_ids_are_unique(self, prompts: list[Prompt]) -> None:
        ids = [prompt.id for prompt in prompts]
        assert all(ids), "a prompt has an empty id"
        assert len(ids) == len(set(ids)), "two prompts have one id"

    def test_repeats_itself(self, make: Callable[[], Any], prompts: list[Prompt]) -> None:
        assert list(islice(make().prompts(), _LOOKED_AT)) == prompts, "the same settings gave other prompts, or another order"

    def test_every_prompt_asks_something(self, prompts: list[Prompt]) -> None:
        silent = [prompt.id for prompt in prompts if not prompt.messages or not prompt.messages[-1].content.strip()]
        assert not silent, f"prompts whose last message is empty: {silent[:5]}"

    def test_every_prompt_has_domain_source_and_licence(self, prompts: list[Prompt]) -> None:
        bare = [prompt.id for prompt in prompts if not (prompt.domain and prompt.source and prompt.licence)]
        assert not bare, f"prompts without domain, source or licence: {bare[:5]}"

    def test_references_are_text_or_none(self, prompts: list[Prompt]) -> None:
        blank = [prompt.id for prompt in prompts if prompt.reference is not None and not prompt.reference.strip()]
        assert not blank, f"references that are blank instead of None: {blank[:5]}"

    def test_prompts_survive_a_file(self, prompts: list[Prompt]) -> None:
        again = [prompt_from_row(json.loads(json.dumps(prompt_row(prompt)))) for prompt in prompts]
        assert again == prompts, "metadata must be plain JSON"


class FilterSuite(ComponentSuite):
    """A filter gives one verdict an example, in order, streaming, and a reason for each drop. `examples` may be replaced by
    some that it keeps and drops."""

    kind = "filter"

    @pytest.fixture
    def examples(self) -> list[Example]:
        return sample_examples()

    def test_one_verdict_for_each_example(self, made: Any, examples: list[Example]) -> None:
        assert len(list(made.verdicts(examples))) == len(examples), "verdicts and examples differ in number"

    def test_verdicts_follow_the_order(self, made: Any, examples: list[Example]) -> None:
        straight = list(made.verdicts(examples))
        alone = [next(iter(made.verdicts([example]))) for example in examples]
        assert [verdict.keep for verdict in straight] == [verdict.keep for verdict in alone], "a verdict is not its example's"

    def test_drops_have_a_short_reason(self, made: Any, examples: list[Example]) -> None:
        reasons = [verdict.reason for verdict in made.verdicts(examples) if not verdict.keep]
        assert all(reasons), "a drop has no reason"
        assert all(len(reason) <= 60 for reason in reasons), "a reason is long: what was seen belongs in `evidence`"

    def test_streams(self, made: Any) -> None:
        seen: list[Example] = []
        first = list(islice(made.verdicts(_endless(seen)), 5))
        assert len(first) == 5, "verdicts stop before the examples do"

    def test_repeats_itself(self, made: Any, examples: list[Example]) -> None:
        assert list(made.verdicts(examples)) == list(made.verdicts(examples)), "the second pass judges otherwise"

    def test_nothing_in_nothing_out(self, made: Any) -> None:
        assert list(made.verdicts([])) == []


class DeduperSuite(ComponentSuite):
    """A deduper groups copies whatever their order, keeps the best-scored, and leaves the rest alone."""

    kind = "deduper"

    @pytest.fixture
    def examples(self) -> list[Example]:
        """Twelve different examples and three groups of copies."""
        return [*sample_examples(), *(copy for index in (100, 101, 102) for copy in near_copies(index))]

    def test_finds_the_copies(self, made: Any, examples: list[Example]) -> None:
        found = {frozenset([group.survivor, *_duplicates(group)]) for group in made.groups(examples)}
        expected = {frozenset(copy.id for copy in near_copies(index)) for index in (100, 101, 102)}
        assert expected <= found, f"copies that differ in one word were not grouped: {expected - found}"

    def test_best_scored_copy_survives(self, made: Any, examples: list[Example]) -> None:
        score = {example.id: example.metadata["quality_score"] for example in examples}
        worse = [
            group for group in made.groups(examples) if any(score[id_] > score[group.survivor] for id_ in _duplicates(group))
        ]
        assert not worse, f"a worse copy survives: {worse[:2]}"

    def test_order_does_not_matter(self, made: Any, examples: list[Example]) -> None:
        shuffled = random.Random(17).sample(examples, len(examples))
        assert _as_sets(made.groups(shuffled)) == _as_sets(made.groups(examples)), "another order gave other groups"

    def test_no_id_is_in_two_groups(self, made: Any, examples: list[Example]) -> None:
        ids = [id_ for group in made.groups(examples) for id_ in (group.survivor, *_duplicates(group))]
        assert len(ids) == len(set(ids)), "an id stands in two groups"
        assert set(ids) <= {example.id for example in examples}, "an id that was never given"

    def test_similarities_are_shares(self, made: Any, examples: list[Example]) -> None:
        values = [duplicate.similarity for group in made.groups(examples) for duplicate in group.duplicates]
        assert all(0 < value <= 1 for value in values), "a similarity outside (0, 1]"

    def test_different_examples_stay(self, made: Any) -> None:
        assert list(made.groups(sample_examples())) == [], "different examples were grouped"

    def test_nothing_in_nothing_out(self, made: Any) -> None:
        assert list(made.groups([])) == []


def _endless(seen: list[Example]) -> Iterator[Example]:
    """Examples without end; fails the test where a filter wants them all before its first verdict."""
    examples = sample_examples()
    while True:
        seen.append(examples[len(seen) % len(examples)])
        assert len(seen) < 20_000, "the filter reads on and on without a verdict: it does not stream"
        yield seen[-1]


def _duplicates(group: Any) -> list[str]:
    return [duplicate.id for duplicate in group.duplicates]


def _as_sets(groups: Any) -> set[tuple[str, frozenset[str]]]:
    return {(group.survivor, frozenset(_duplicates(group))) for group in groups}
