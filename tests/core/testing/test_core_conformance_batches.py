"""The suite of teachers that take batches: it passes one that keeps the contract and fails what loses or buys twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conformance_support import Isolated, checks

from cogumi_core import BatchLimits, BatchState, Completion, CompletionRequest, Message, Price, Sampling, TeacherRefusal
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing import BatchTeacherSuite, EchoTeacher, FakeBatchTeacher, IsolatedPlugins, Moods

FREE, LIMITS = Price(0.0, 0.0), BatchLimits()


@dataclass
class Batcher(EchoTeacher):
    """A provider that answers a batch when it is asked about it for the second time."""

    wants_batches: Any = True
    batch_price: Price | None = FREE
    batch_limits: BatchLimits = LIMITS
    batches: dict[str, Mapping[str, CompletionRequest]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    async def submit(self, requests: Mapping[str, CompletionRequest], tag: str) -> str:
        identifier = f"batch-{len(self.batches)}"
        self.batches[identifier], self.tags[tag] = requests, identifier
        return identifier

    async def find(self, tag: str) -> str | None:
        return self.tags.get(tag)

    async def poll(self, batch: str) -> BatchState:
        self.asked[batch] = self.asked.get(batch, 0) + 1
        return BatchState("open" if self.asked[batch] < 2 else "ended", seconds=0)

    async def fetch(self, batch: str) -> Mapping[str, Completion | Exception]:
        return {key: self._answer(request) for key, request in reversed(self.batches[batch].items())}


class TestBatcher(Isolated, BatchTeacherSuite):
    factory = staticmethod(lambda settings, services: Batcher())


class TestFakeBatchTeacher(Isolated, BatchTeacherSuite):
    """The provider of the tests of the paid-call engine, in a good mood."""

    @pytest.fixture
    def registry(self, isolated_plugins: IsolatedPlugins, tmp_path: Path) -> Registry:
        isolated_plugins.offer("teacher", "mine", lambda settings, services: FakeBatchTeacher(tmp_path, Moods(polls=1)))
        return isolated_plugins.registry()

    @pytest.fixture
    def question(self) -> CompletionRequest:
        """Its answers have twenty tokens, however many are asked for."""
        return CompletionRequest((Message("user", "Red?"),), Sampling(max_tokens=20))


BATCH = {"key-b": CompletionRequest((Message("user", "Red?"),)), "key-a": CompletionRequest((Message("user", "Blue?"),))}


class Forgetful(Batcher):
    async def find(self, tag: str) -> str | None:
        return None


class Presuming(Batcher):
    async def find(self, tag: str) -> str | None:
        return "batch-0"


class Losing(Batcher):
    async def fetch(self, batch: str) -> Mapping[str, Completion | Exception]:
        return dict([*(await super().fetch(batch)).items()][:1])


class Raising(Batcher):
    async def fetch(self, batch: str) -> Mapping[str, Completion | Exception]:
        return {key: KeyError("the SDK's own") for key in self.batches[batch]}


class Refusing(Batcher):
    async def fetch(self, batch: str) -> Mapping[str, Completion | Exception]:
        return {key: TeacherRefusal("no") for key in self.batches[batch]}


class OnlyOnce(Batcher):
    async def fetch(self, batch: str) -> Mapping[str, Completion | Exception]:
        found = await super().fetch(batch)
        self.batches[batch] = {}
        return found


class Words(Batcher):
    async def poll(self, batch: str) -> Any:
        return "completed"


class Failing(Batcher):
    async def poll(self, batch: str) -> BatchState:
        return BatchState("failed", reason="out of credit")


BAD_BATCHERS: dict[str, tuple[str, Batcher]] = {
    "forgets what it accepted": ("test_a_submitted_batch_is_found_by_its_tag", Forgetful()),
    "finds what was never submitted": ("test_an_unknown_tag_finds_nothing", Presuming()),
    "loses an answer": ("test_every_request_is_answered_under_its_key", Losing()),
    "lets an error of its SDK out": ("test_every_request_is_answered_under_its_key", Raising()),
    "answers nothing": ("test_every_request_is_answered_under_its_key", Refusing()),
    "fails": ("test_every_request_is_answered_under_its_key", Failing()),
    "gives its answers once": ("test_answers_can_be_fetched_again", OnlyOnce()),
    "tells its state in words": ("test_state_is_told", Words()),
    "takes nothing": ("test_has_what_batches_need", Batcher(batch_limits=BatchLimits(requests=0))),
    "does not say": ("test_has_what_batches_need", Batcher(wants_batches=None)),
    "pays us": ("test_has_what_batches_need", Batcher(batch_price=Price(-1.0, 0.0))),
    "has no batches": ("test_has_what_batches_need", EchoTeacher()),  # type: ignore[dict-item]
}


@pytest.mark.parametrize(("check", "made"), BAD_BATCHERS.values(), ids=BAD_BATCHERS)
def test_batch_teacher_suite_notices(check: str, made: Any) -> None:
    with pytest.raises(AssertionError):
        checks(BatchTeacherSuite, check, made=made, batch=BATCH)


def test_a_batch_that_needs_a_day_is_skipped() -> None:
    class Slow(Batcher):
        async def poll(self, batch: str) -> BatchState:
            return BatchState("open", seconds=3600)

    with pytest.raises(pytest.skip.Exception):
        checks(BatchTeacherSuite, "test_answers_can_be_fetched_again", made=Slow(), batch=BATCH)
