"""Teachers: what answers requests, one by one or in batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from cogumi_core.api.types import JSON, BatchLimits, BatchState, Completion, CompletionRequest, Price, Sampling


@runtime_checkable
class Teacher(Protocol):
    """Answers one request. Cache, budget, retries, concurrency and resume are the paid-call engine's: `complete` is called at
    most once for each distinct request, ever, and only by that engine.

    `identity` names what determines the answer (provider, model, digest of a local file) and is part of the cache key: no
    key, host, path or time. `sampling` is what it is asked with unless a stage says otherwise. `price` None means unknown,
    which is refused under a budget; free is `Price(0, 0)`. `concurrency` is how many calls may be under way at once.
    `needs_reference`: only prompts with a reference answer suit it.

    A call may take ten minutes, or as many seconds as an attribute `call_seconds` says, where a teacher has one; after that it
    has failed for now. `complete` must not block its event loop.

    Raises TransientTeacherError, TeacherRefusal or TeacherUnavailable, and lets no other error of its SDK escape."""

    identity: Mapping[str, JSON]
    sampling: Sampling
    price: Price | None
    concurrency: int
    needs_reference: bool

    async def complete(self, request: CompletionRequest) -> Completion: ...


@runtime_checkable
class BatchTeacher(Teacher, Protocol):
    """A teacher whose provider also takes batches that may need a day, at `batch_price`. `wants_batches`: they are to be used,
    which is for the teacher's settings to say; otherwise it is asked call by call as any other.

    `submit` hands over the requests by key under a `tag` of the caller's, and returns the provider's id. The caller commits
    the tag before and the id after, so that `find(tag)` can adopt a batch that was accepted by the provider when the caller
    died. `fetch` gives what is there, by key, in any order: an answer, or the error of that one item. They raise what
    `complete` may raise; a TransientTeacherError of `submit` leaves open whether the batch was taken, any other says that it
    was not."""

    wants_batches: bool
    batch_price: Price | None
    batch_limits: BatchLimits

    async def submit(self, requests: Mapping[str, CompletionRequest], tag: str) -> str: ...

    async def find(self, tag: str) -> str | None:
        """The id of the batch with this tag, None when the provider has none."""
        ...

    async def poll(self, batch: str) -> BatchState: ...

    async def fetch(self, batch: str) -> Mapping[str, Completion | Exception]: ...
