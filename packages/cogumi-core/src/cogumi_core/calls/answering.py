"""What happens to one call between being sent and being stored; this part runs in the background loop.

An answer is given out only when its commit is on the disk. Calls that end together share one commit, because a commit waits
for the disk and a fast teacher would otherwise wait with it.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from cogumi_core.api.errors import CogumiError, Interrupted, TeacherError, TeacherRefusal, TeacherUnavailable
from cogumi_core.api.interfaces import Teacher
from cogumi_core.api.types import Completion, Usage
from cogumi_core.calls.budget import Budget
from cogumi_core.calls.cache import Call, CallCache, Outcome
from cogumi_core.calls.ledger import Entry, Ledger, cost
from cogumi_core.calls.retry import RetryPolicy, Sleep, ask

Answer = Completion | TeacherError


@dataclass(frozen=True, slots=True)
class Labels:
    """What the ledger says of all calls of one run of requests."""

    recipe: str
    run: str
    stage: str
    teacher: str


@dataclass(frozen=True, slots=True)
class _Finished:
    call: Call
    outcome: Outcome
    usd: float | None
    stored: asyncio.Future[Outcome]


class Answerer:
    """Answers the calls of one run of requests. `stopped` is what ended it for good, None while all is well."""

    def __init__(
        self,
        teacher: Teacher,
        cache: CallCache,
        ledger: Ledger,
        budget: Budget,
        labels: Labels,
        policy: RetryPolicy,
        *,
        sleep: Sleep,
        jitter: random.Random,
    ) -> None:
        self.stopped: BaseException | None = None
        self._teacher = teacher
        self._cache = cache
        self._ledger = ledger
        self._budget = budget
        self._labels = labels
        self._policy = policy
        self._sleep = sleep
        self._jitter = jitter
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: set[asyncio.Task[Any]] = set()
        self._finished: list[_Finished] = []
        self._failed_in_a_row = 0

    async def answer(self, call: Call, reserved: float) -> Answer:
        """The stored answer, or the error of this one request. Raises what stops the whole run."""
        task = _this_task()
        self._tasks.add(task)
        try:
            return await self._answer(call, reserved)
        except CogumiError as exc:
            self._stop(exc)
            raise
        finally:
            self._tasks.discard(task)

    async def _answer(self, call: Call, reserved: float) -> Answer:
        try:
            answer = await ask(self._teacher, call.request, self._policy, sleep=self._wait, jitter=self._jitter)
        except TeacherRefusal as exc:
            self._budget.release(reserved)
            return await self._store(call, exc, None)
        except TeacherUnavailable:
            self._budget.release(reserved)
            raise
        except TeacherError as exc:
            self._budget.release(reserved)
            self._count_failure(exc)
            return exc
        except BaseException:
            self._budget.release(reserved)
            raise
        self._failed_in_a_row = 0
        usd = self._cost(answer, reserved)
        self._budget.settle(reserved, usd)
        return await self._store(call, answer, usd)

    def _cost(self, answer: Completion, reserved: float) -> float | None:
        # A priced teacher that reports no tokens would never use up a budget, so its worst case is charged.
        unreported = answer.usage == Usage() and answer.text
        return reserved if unreported and self._teacher.price is not None else cost(self._teacher.price, answer.usage)

    def _count_failure(self, exc: TeacherError) -> None:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= self._policy.give_up_after:
            message = (
                f"{self._failed_in_a_row} requests in a row failed in every attempt, the last with: {exc}. "
                "Every answer so far is stored; run the same command again when the teacher answers"
            )
            raise TeacherUnavailable(message) from exc

    async def _wait(self, seconds: float) -> None:
        task = _this_task()
        self._waiting.add(task)
        try:
            if self.stopped is None:
                await self._sleep(seconds)
        finally:
            self._waiting.discard(task)
        if self.stopped is not None:
            raise asyncio.CancelledError

    def _stop(self, exc: BaseException) -> None:
        """Nothing more is asked. Calls already sent may end; those that wait for another attempt are cancelled."""
        self.stopped = self.stopped or exc
        for task in self._waiting:
            task.cancel()

    # --- storing ------------------------------------------------------------------------------------------------------------

    async def _store(self, call: Call, outcome: Outcome, usd: float | None) -> Outcome:
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[Outcome] = loop.create_future()
        self._finished.append(_Finished(call, outcome, usd, stored))
        if len(self._finished) == 1:
            loop.call_soon(self._commit)
        return await stored

    def _commit(self) -> None:
        finished, self._finished = self._finished, []
        try:
            with self._cache.database.transaction():
                outcomes = [self._write(item) for item in finished]
        except CogumiError as exc:
            for item in finished:
                if not item.stored.done():
                    item.stored.set_exception(exc)
            return
        for item, outcome in zip(finished, outcomes, strict=True):
            if not item.stored.done():
                item.stored.set_result(outcome)

    def _write(self, item: _Finished) -> Outcome:
        if isinstance(item.outcome, Completion):
            labels, answer = self._labels, item.outcome
            self._ledger.add(
                Entry(
                    item.call.key,
                    labels.recipe,
                    labels.run,
                    labels.stage,
                    labels.teacher,
                    answer.model,
                    answer.usage,
                    item.usd,
                )
            )
        return self._cache.put(item.call, item.outcome, item.usd)

    async def drain(self, grace: float) -> None:
        """Asks nothing more, waits `grace` seconds for what was sent, and cancels the rest; what was answered is stored."""
        self._stop(Interrupted("the run was stopped"))
        tasks = list(self._tasks)
        if tasks and grace:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._finished:
            self._commit()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # only ever called from a coroutine that a loop runs
    return task
