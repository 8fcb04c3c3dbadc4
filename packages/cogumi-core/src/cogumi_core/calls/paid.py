"""The paid-call engine: what a stage's `run.calls` is, and the one place where all runs' money and answers meet.

Every answer is committed to the cache before it is given out; a killed run asks again only what it had not received. Two gaps
remain: a crash in the milliseconds between a provider's answer and its commit loses a paid answer, and a call cancelled by an
interruption may have been charged. Batches have neither.

Left out: rates that adapt to the provider's limits (`concurrency` is fixed).
"""

from __future__ import annotations

import asyncio
import random
import uuid
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cogumi_core.api.errors import StoreError
from cogumi_core.api.interfaces import Answer, BatchTeacher, Progress, Teacher
from cogumi_core.api.interfaces.context import no_progress
from cogumi_core.api.types import CompletionRequest
from cogumi_core.calls.account import Account
from cogumi_core.calls.batched import BatchAsk
from cogumi_core.calls.batches import Batch
from cogumi_core.calls.budget import Budget
from cogumi_core.calls.database import Database
from cogumi_core.calls.desk import Desk, Log
from cogumi_core.calls.ledger import Total
from cogumi_core.calls.online import OnlineAsk
from cogumi_core.calls.retry import RetryPolicy, Sleep
from cogumi_core.calls.run import CallRun

T = TypeVar("T")


@contextmanager
def open_calls(
    path: Path,
    *,
    root: str,
    recipe: str,
    usd: float | None = None,
    max_cost: float | None = None,
    environ: Mapping[str, str] | None = None,
    policy: RetryPolicy | None = None,
    sleep: Sleep = asyncio.sleep,
    jitter: random.Random | None = None,
) -> Iterator[PaidCalls]:
    """The engine on the database at `path`, for one run of a recipe. `root` is the recipe's file, or any text that stays the
    same from run to run: `usd` limits what all its runs spend together, `max_cost` what this one does, both in US dollars.
    `recipe` is its name for people; `environ` tells which texts are secrets. Raises StoreError."""
    database = Database(path)
    try:
        budget = Budget(database, root, uuid.uuid4().hex, recipe=recipe, usd=usd, max_cost=max_cost)
        paid = PaidCalls(database, budget, recipe, environ or {}, policy or RetryPolicy(), sleep=sleep, jitter=jitter)
    except BaseException:
        database.close()
        raise
    patient = True
    try:
        yield paid
    except BaseException as exc:
        patient = isinstance(exc, Exception)  # not when the person lost patience (KeyboardInterrupt)
        raise
    finally:
        paid.close(patient=patient)


class PaidCalls(CallRun):
    """Model calls of one run of a recipe. Made by `open_calls`."""

    def __init__(self, *of: Any, **more: Any) -> None:
        super().__init__(*of, **more)
        self._works: weakref.WeakSet[OnlineAsk | BatchAsk] = weakref.WeakSet()

    def stage(self, name: str, progress: Progress = no_progress, log: Log = lambda message: None) -> StageCalls:
        """What the components of stage `name` ask through. While they wait, `progress(given, None, "answers", usd=...)` is
        called several times a second, so that what it raises stops them; `log` gets sentences that a person should read."""
        return StageCalls(self, name, progress, log)

    def totals(self) -> list[Total]:
        """What this recipe paid over all its runs, by stage, teacher and model."""
        return self.ledger.totals(self.budget.root)

    def pending(self) -> list[Batch]:
        """The batches of this recipe that are under way."""
        return self.batches.of_root()

    def begin(self, work: OnlineAsk | BatchAsk) -> Answers:
        """The answers of one asking, which has begun."""
        self._works.add(work)
        return Answers(work, self.policy.grace)

    def close(self, *, patient: bool = True) -> None:
        """Ends what is under way; `patient`: waits a little for calls that were sent, which may have been charged."""
        try:
            for work in list(self._works):
                work.end(self.policy.grace if patient else 0.0)
        finally:
            self.closed = True
            let_go = self.background.close(patient=patient)
            with suppress(StoreError):  # the claims of a process that has ended count for nothing
                self.claims.free_all()
            if let_go:  # otherwise an answer may still come, and should be stored
                self.database.close()


class StageCalls(Desk):
    """The engine as one stage sees it: `api.interfaces.Calls`. Several `ask`s may be open at once, from several threads."""

    paid: PaidCalls

    def ask(self, teacher: Teacher, requests: Iterable[CompletionRequest]) -> Answers:
        """See `Calls.ask`. The answers are an iterator that can be closed; one that is dropped asks nothing more."""
        account = Account.of(self, teacher)
        if account.batches:
            return self.paid.begin(BatchAsk(self, account, requests))
        if isinstance(account.teacher, BatchTeacher):
            BatchAsk(self, account, ()).collect()  # what it took in batches before it was told not to
        return self.paid.begin(OnlineAsk(self, account, requests))


class _Work(Protocol):
    """One asking: online or in batches."""

    def start(self) -> None: ...

    def next(self) -> Answer: ...

    def end(self, grace: float) -> None: ...

    def abandon(self) -> None: ...


class Answers(Generator[Answer, None, None]):
    """The answers of one `ask`, in order. Whatever ends it, nothing is left running: an error, `close`, or losing it. No
    generator function, because one of those does nothing before its first answer is wanted, and this one works from the
    beginning."""

    def __init__(self, work: _Work, grace: float) -> None:
        self._work = work
        self._grace = grace
        self._over = False
        self._ending(work.start)

    def send(self, value: None) -> Answer:
        if self._over:
            raise StopIteration
        return self._ending(self._work.next)

    def throw(self, *error: Any) -> Answer:
        self.close()
        return super().throw(*error)

    def close(self) -> None:
        """Asks nothing more; what was sent is waited for a little, and stored."""
        if not self._over:
            self._over = True
            self._work.end(self._grace)

    def __del__(self) -> None:
        if not self._over:
            self._work.abandon()

    def _ending(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except BaseException as exc:
            self._over = True
            self._work.end(self._grace if isinstance(exc, Exception) else 0.0)
            raise
