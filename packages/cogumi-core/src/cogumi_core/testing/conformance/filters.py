"""The contract of filters: one verdict for each row, and what a verdict may say."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import pytest

from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import Example, Verdict
from cogumi_core.formats.rows import dump_line, example_from_row, example_row
from cogumi_core.stages.data.filter import annotated
from cogumi_core.testing.conformance.base import ComponentSuite
from cogumi_core.testing.samples import sample_conversations, sample_examples

__all__ = ["FilterSuite"]

OWNED: Final = frozenset({"domain", "licence", "source", "teacher", "model", "tokens", "redacted_by"})
"""Metadata that say where a row came from; a score of such a name would overwrite it."""


class FilterSuite(ComponentSuite):
    """A filter gives one verdict an example, in order, streaming, and a reason for each drop. `examples` may be replaced by
    some that it keeps and drops."""

    kind = "filter"

    @pytest.fixture
    def examples(self) -> list[Example]:
        return [*sample_examples(), *sample_conversations()]

    @pytest.fixture
    def verdicts(self, made: Any, examples: list[Example], run: RunContext) -> list[Verdict]:
        return list(made.verdicts(examples, run))

    def test_says_whether_it_is_row_wise(self, made: Any) -> None:
        assert isinstance(made.row_wise, bool), "`row_wise` must be True or False"

    def test_one_verdict_for_each_example(self, verdicts: list[Verdict], examples: list[Example]) -> None:
        assert len(verdicts) == len(examples), "verdicts and examples differ in number"
        assert all(isinstance(verdict, Verdict) for verdict in verdicts), "something is not a Verdict"

    def test_any_split_of_the_rows_gives_the_same_verdicts(
        self, make: Callable[[], Any], examples: list[Example], run: RunContext
    ) -> None:
        """Which is what lets a stage judge in several processes; each part is judged by a filter made anew."""
        if not make().row_wise:
            pytest.skip("it looks at several rows")
        whole = list(make().verdicts(examples, run))
        for size in (1, 2, 5):
            parts = [examples[start : start + size] for start in range(0, len(examples), size)]
            split = [verdict for part in parts for verdict in make().verdicts(part, run)]
            assert split == whole, f"judged {size} at a time, the rows get other verdicts: it is not row-wise"

    def test_verdicts_can_travel(self, verdicts: list[Verdict]) -> None:
        assert pickle.loads(pickle.dumps(verdicts)) == verdicts, "verdicts cannot come back from another process"

    def test_drops_have_a_short_reason(self, verdicts: list[Verdict]) -> None:
        reasons = [verdict.reason for verdict in verdicts if not verdict.keep]
        assert all(reasons), "a drop has no reason"
        assert all(len(reason) <= 60 for reason in reasons), "a reason is long: what was seen belongs in `evidence`"

    def test_scores_are_numbers_under_names_of_their_own(self, verdicts: list[Verdict]) -> None:
        for name, value in (item for verdict in verdicts for item in verdict.scores.items()):
            assert name.strip(), "a score has no name"
            assert name not in OWNED, f"the score '{name}' would overwrite where the row came from"
            assert isinstance(value, int | float), f"the score '{name}' is {type(value).__name__}, not a number"
            assert math.isfinite(value), f"the score '{name}' is {value}"

    def test_what_it_changes_is_a_conversation_still(self, verdicts: list[Verdict], examples: list[Example]) -> None:
        for verdict, example in zip(verdicts, examples, strict=True):
            if verdict.keep and verdict.messages is not None:
                roles = [message.role for message in verdict.messages]
                assert roles == [message.role for message in example.messages], f"the turns of '{example.id}' became {roles}"

    def test_kept_rows_survive_a_file(self, verdicts: list[Verdict], examples: list[Example]) -> None:
        for verdict, example in zip(verdicts, examples, strict=True):
            if verdict.keep:
                kept = annotated(example, verdict, self.component or "it")
                assert example_from_row(json.loads(dump_line(example_row(kept))), "the row") == kept

    def test_streams(self, made: Any, run: RunContext) -> None:
        seen: list[Example] = []
        first = list(islice(made.verdicts(_endless(seen), run), 5))
        assert len(first) == 5, "verdicts stop before the examples do"

    def test_repeats_itself(self, made: Any, examples: list[Example], run: RunContext) -> None:
        first, second = (list(made.verdicts(examples, run)) for _ in range(2))
        assert first == second, "the second pass judges otherwise"

    def test_nothing_in_nothing_out(self, made: Any, run: RunContext) -> None:
        assert list(made.verdicts([], run)) == []


def _endless(seen: list[Example]) -> Iterator[Example]:
    """Examples without end; fails the test where a filter wants them all before its first verdict."""
    examples = sample_examples()
    while True:
        seen.append(examples[len(seen) % len(examples)])
        assert len(seen) < 20_000, "the filter reads on and on without a verdict: it does not stream"
        yield seen[-1]
