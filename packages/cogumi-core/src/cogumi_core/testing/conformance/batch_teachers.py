"""The contract of teachers whose provider takes batches: nothing is lost between a submission and its answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from cogumi_core.api.errors import TeacherError
from cogumi_core.api.types import BatchLimits, BatchState, Completion, CompletionRequest, Message, Price
from cogumi_core.testing.conformance.teachers import TeacherSuite

__all__ = ["BatchTeacherSuite"]

METHODS = ("submit", "find", "poll", "fetch")


class BatchTeacherSuite(TeacherSuite):
    """A teacher that also takes batches. A real provider may need a day: a check whose batch is open after `polls` questions is
    skipped; `wait` may be replaced by one that sleeps."""

    polls: ClassVar[int] = 20

    async def wait(self, seconds: float) -> None:
        """Between two questions whether a batch has ended."""

    @pytest.fixture
    def batch(self, question: CompletionRequest) -> dict[str, CompletionRequest]:
        """Requests by key; the keys are not in the order of the requests."""
        again = replace(question, messages=(Message("user", "Name another colour of the rainbow."),))
        return {"key-b": question, "key-a": again}

    def test_has_what_batches_need(self, made: Any) -> None:
        lacking = [name for name in METHODS if not callable(getattr(made, name, None))]
        assert not lacking, f"it lacks {', '.join(lacking)}()"
        assert made.batch_price is None or (
            isinstance(made.batch_price, Price) and made.batch_price.input_usd >= 0 and made.batch_price.output_usd >= 0
        )
        assert isinstance(made.wants_batches, bool), "`wants_batches` must be True or False"
        assert isinstance(made.batch_limits, BatchLimits)
        assert made.batch_limits.requests >= 1
        assert made.batch_limits.bytes >= 1

    def test_a_submitted_batch_is_found_by_its_tag(self, made: Any, batch: dict[str, CompletionRequest]) -> None:
        """Which is how a batch that was accepted just before a crash is adopted, and not bought again."""
        tag = _new_tag()
        identifier = asyncio.run(made.submit(batch, tag))
        assert identifier, "submit() gave no id"
        assert asyncio.run(made.find(tag)) == identifier, "find() does not know the batch that was just submitted"

    def test_an_unknown_tag_finds_nothing(self, made: Any) -> None:
        assert asyncio.run(made.find(_new_tag())) is None, "a tag that was never submitted found a batch"

    def test_state_is_told(self, made: Any, batch: dict[str, CompletionRequest]) -> None:
        state = asyncio.run(made.poll(asyncio.run(made.submit(batch, _new_tag()))))
        assert isinstance(state, BatchState)
        assert state.seconds >= 0

    def test_every_request_is_answered_under_its_key(self, made: Any, batch: dict[str, CompletionRequest]) -> None:
        answers = asyncio.run(self._fetched(made, batch))
        assert set(answers) == set(batch), "keys of the answers are not those of the requests"
        for key, answer in answers.items():
            assert isinstance(answer, Completion | TeacherError), f"'{key}' came back as {type(answer).__name__}"
        assert any(isinstance(answer, Completion) for answer in answers.values()), "not one request was answered"

    def test_answers_can_be_fetched_again(self, made: Any, batch: dict[str, CompletionRequest]) -> None:
        """A run may die between fetching answers and writing them down."""

        async def twice() -> tuple[Any, Any]:
            identifier = await self._ended(made, batch)
            return await made.fetch(identifier), await made.fetch(identifier)

        first, second = asyncio.run(twice())
        assert dict(first) == dict(second), "fetched again, the answers are others"

    async def _fetched(self, made: Any, batch: dict[str, CompletionRequest]) -> dict[str, Any]:
        return dict(await made.fetch(await self._ended(made, batch)))

    async def _ended(self, made: Any, batch: dict[str, CompletionRequest]) -> str:
        identifier: str = await made.submit(batch, _new_tag())
        for _ in range(self.polls):
            state = await made.poll(identifier)
            if state.state == "ended":
                return identifier
            assert state.state == "open", f"the batch {state.state}: {state.reason}"
            await self.wait(state.seconds)
        return pytest.skip(f"the batch is open after {self.polls} questions")


def _new_tag() -> str:
    return f"conformance-{uuid4().hex}"
