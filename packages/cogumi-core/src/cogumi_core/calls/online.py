"""The online path: each request is a call of its own, some of them under way at once, answers in the order of the requests.

Requests are pulled in the caller's thread, a window at a time, so that what makes them need not be thread-safe; the background
loop then works through the window by itself, also while the caller reads from another teacher. Only `teacher.concurrency` of
them are with the teacher; the rest wait, and cost nothing when the caller stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import Any, Final

from cogumi_core.api.errors import Interrupted, PluginError, StoreError, TeacherError, TeacherRefusal, TeacherUnavailable
from cogumi_core.api.interfaces import Answer
from cogumi_core.api.types import CompletionRequest
from cogumi_core.calls.account import Account
from cogumi_core.calls.books import Purchase
from cogumi_core.calls.boundary import CANCEL_SECONDS, checked, valid
from cogumi_core.calls.cache import Outcome
from cogumi_core.calls.desk import Desk, Given
from cogumi_core.calls.request import Call
from cogumi_core.calls.retry import persistently

logger = logging.getLogger(__name__)
LEAST_ROWS: Final = 256
LEASE_SECONDS: Final = 60.0
"""How much longer than its deadline a call stays claimed."""
LOOK_SECONDS: Final = 0.1
"""How often is looked whether another process has answered, or whether money has become free."""


class OnlineAsk:
    """The requests of one `ask` that are under way. `next`, `end` and `abandon` belong to the caller, the coroutines to the
    background loop, which alone changes `_sent` and `_unsent`."""

    def __init__(self, stage: Desk, account: Account, requests: Iterable[CompletionRequest]) -> None:
        self._stage, self._paid, self._account = stage, stage.paid, account
        self._source = iter(requests)
        self._slots: deque[Future[Given]] = deque()
        self._sent: set[asyncio.Task[Any]] = set()
        self._unsent: set[asyncio.Task[Any]] = set()
        self._turn = asyncio.Lock()
        self._over = self._ended = False
        self._fatal: Exception | None = None
        self._failed_in_a_row = 0

    def start(self) -> None:
        """Pulls requests until the window is full, and has those asked that were never answered."""
        window = max(LEAST_ROWS, 4 * self._paid.gate(self._account.teacher).places)
        while not self._over and len(self._slots) < window:
            request = next(self._source, None)
            if request is None:
                return
            call = Call(self._account.identity, request)
            found = self._paid.cache.get(call.key)
            if found is None:
                self._slots.append(self._paid.background.submit(self._answer(call)))
            else:
                stored: Future[Given] = Future()
                stored.set_result(Given(found, bought=False))
                self._slots.append(stored)

    def next(self) -> Answer:
        """The answer to the next request. Raises StopIteration after the last, and what ended the asking."""
        self.start()
        if not self._slots:
            raise StopIteration
        first = self._slots[0]
        while not first.done() and not self._over:
            self._stage.wait(first)
        if not first.done():
            self.end(self._paid.policy.grace)  # it was sent before the asking ended, and may be answered yet
        if not first.done() or first.cancelled() or first.exception() is not None:
            raise self._fatal or Interrupted("the run has ended")
        self._slots.popleft()
        return self._stage.count(first.result())

    def end(self, grace: float) -> None:
        """Nothing more is asked; what was sent is waited for, at most `grace` seconds, and stored."""
        self._over = True
        if self._ended or all(slot.done() for slot in self._slots):
            return
        self._ended = True
        if not grace and self._paid.background.stuck:
            return
        draining = self._paid.background.submit(self._drain(grace))
        try:
            draining.result(timeout=grace + 3 * CANCEL_SECONDS)
        except NotYet:
            logger.warning("the teacher '%s' does not let go of its calls; they are left behind", self._account.name)

    def abandon(self) -> None:
        """The same, without waiting here: the caller has lost interest."""
        self._over = True
        if not self._paid.closed and not all(slot.done() for slot in self._slots):
            self._paid.background.submit(self._drain(self._paid.policy.grace))

    # --- in the background loop -----------------------------------------------------------------------------------------------

    async def _answer(self, call: Call) -> Given:
        """One request from here to its answer. Whatever ends one for good ends all."""
        task = _this_task()
        self._unsent.add(task)
        try:
            return await self._once(call)
        except Exception as exc:  # a bug of ours must not leave the caller waiting either
            self._stop(exc)
            raise
        finally:
            self._unsent.discard(task)
            self._sent.discard(task)

    async def _once(self, call: Call) -> Given:
        """Asks what nobody in this process is asking, and otherwise waits for whoever is."""
        in_flight = self._paid.in_flight
        while (other := in_flight.get(call.key)) is not None:
            await asyncio.wait({other})
            if (answer := other.result()) is not None:
                return Given(answer, bought=False)
        if self._over:
            raise asyncio.CancelledError
        mine = in_flight[call.key] = asyncio.get_running_loop().create_future()
        given: Given | None = None
        try:
            given = await self._buy(call)
            return given
        finally:
            del in_flight[call.key]
            mine.set_result(None if given is None else given.answer)

    async def _buy(self, call: Call) -> Given:
        worst = self._account.worst(call.request)
        async with self._paid.gate(self._account.teacher):
            found = await self._claim(call, worst)
            if found is not None:
                return Given(found, bought=False)
            try:
                return await self._ask_teacher(call, worst)
            except BaseException:
                with suppress(StoreError):  # what is being raised matters more; the claim ends with its lease
                    self._paid.claims.free(call.key)
                raise

    async def _claim(self, call: Call, worst: float) -> Outcome | None:
        """None once the call is ours to ask, or its answer, from wherever it came meanwhile. Raises BudgetExceeded when nothing
        under way could still make room, Pending when a batch has the call."""
        claims, lease = self._paid.claims, self._account.seconds + LEASE_SECONDS
        look = LOOK_SECONDS / 32  # a call of our own may settle any moment; what takes longer is looked at less often
        while True:
            async with self._turn:  # one that waits for money holds back the rest, so that the order decides who gets it
                while (found := claims.take(call.key, worst, lease)) == "no room":
                    if not claims.under_way():
                        raise self._paid.budget.exceeded(worst)
                    await asyncio.sleep(look)
                    look = min(2 * look, LOOK_SECONDS)
            if found != "held":
                return found
            self._paid.refuse_if_in_batch(call.key)
            await asyncio.sleep(look)
            look = min(2 * look, LOOK_SECONDS)

    async def _ask_teacher(self, call: Call, worst: float) -> Given:
        account, books = self._account, self._paid.books
        self._mark(sent=True)

        async def pause(seconds: float) -> None:
            self._paid.claims.renew(call.key, seconds + account.seconds + LEASE_SECONDS)
            self._mark(sent=False)
            await self._paid.sleep(seconds)
            self._mark(sent=True)

        try:
            given = await persistently(
                lambda: account.called(lambda: account.teacher.complete(call.request)),
                self._paid.policy,
                pause,
                self._paid.jitter,
            )
        except TeacherRefusal as exc:
            stored = await books.settle(Purchase(call, TeacherRefusal(valid(str(exc))), None))
            return Given(stored or exc, bought=True)
        except TeacherUnavailable:
            raise
        except TeacherError as exc:
            self._note_failure(exc)
            self._paid.claims.free(call.key)
            return Given(exc, bought=True)
        self._failed_in_a_row = 0
        answer = checked(account.name, given)
        stored = await books.settle(account.purchase(call, answer, worst))
        if stored is None:
            message = f"{answer.problem}. It may have been paid for and is in the ledger"
            raise PluginError(message)
        return Given(stored, bought=True)

    def _note_failure(self, exc: TeacherError) -> None:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= self._paid.policy.give_up_after:
            message = (
                f"{self._failed_in_a_row} requests in a row failed in every attempt, the last with: {exc}. "
                "Every answer so far is stored; run the same command again when the teacher answers"
            )
            raise TeacherUnavailable(message) from exc

    def _mark(self, *, sent: bool) -> None:
        """Whether this call is with the teacher, where it may be charged, or could be dropped at no cost."""
        task = _this_task()
        (self._sent if sent else self._unsent).add(task)
        (self._unsent if sent else self._sent).discard(task)

    def _stop(self, exc: Exception | None) -> None:
        """Nothing more is asked: calls already sent may end, all others are cancelled."""
        self._fatal = self._fatal or exc
        self._over = True
        for task in self._unsent - {_this_task()}:
            task.cancel()

    async def _drain(self, grace: float) -> None:
        self._stop(None)
        if self._sent and grace:
            await asyncio.wait(set(self._sent), timeout=grace)
        left = self._sent | self._unsent
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=2 * CANCEL_SECONDS)


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # only ever called from a coroutine that a loop runs
    return task
