"""The batch path: requests are handed to the provider many at a time, at its batch price, and answered up to a day later.

An `ask` first gathers all requests that were never answered into batches and hands them over; then it gives out answers in
order and, at the first that is not there, takes in what the provider has. What ended without an answer is handed over again,
alone. If the provider needs longer than the policy waits, the run ends with Pending, and the next one goes on from the
database.

Nothing is bought twice, whenever a run dies: a batch's tag and requests are on the disk before it is handed over, so the next
run asks the provider for the tag. Memory: 33 bytes a request, and the requests of one batch.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cogumi_core.api.errors import (
    BudgetExceeded,
    Pending,
    PluginError,
    TeacherError,
    TeacherRefusal,
    TeacherUnavailable,
    TransientTeacherError,
)
from cogumi_core.api.interfaces import Answer
from cogumi_core.api.types import BatchState, CompletionRequest
from cogumi_core.calls.account import Account
from cogumi_core.calls.batches import Batch, Item, lease_key
from cogumi_core.calls.books import Purchase, purchase
from cogumi_core.calls.boundary import checked, valid
from cogumi_core.calls.budget import worst_case
from cogumi_core.calls.desk import Desk, Given
from cogumi_core.calls.request import Call, parsed
from cogumi_core.calls.retry import named_wait, persistently

logger = logging.getLogger(__name__)
ROWS_A_COMMIT: Final = 200
LEASE_SECONDS: Final = 3600.0
"""How long a process on another machine may be at a batch before it is taken to have died."""
LOOK_SECONDS: Final = 0.05
_KEY_BYTES: Final = 32


class BatchAsk:
    """One `ask` of a teacher that takes batches. All of it runs in the caller's thread but for the teacher's own methods."""

    def __init__(self, stage: Desk, account: Account, requests: Iterable[CompletionRequest]) -> None:
        self._stage, self._paid, self._account = stage, stage.paid, account
        self._source = iter(requests)
        self._keys = bytearray()  # of all requests so far, in order
        self._cached = bytearray()  # for each, 1 if its answer was there when it was pulled
        self._at = 0
        self._waiting: dict[str, Item] = {}  # gathered for the next batch
        self._size = 0
        self._elsewhere: dict[str, Item] = {}  # somebody else was asking these
        self._errors: dict[str, TeacherError] = {}
        self._short: BudgetExceeded | None = None
        self._patience: float | None = None

    # --- gathering ------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Pulls requests and hands over what was never answered, until there are no more or the money is used up."""
        while self._short is None:
            request = next(self._source, None)
            if request is None:
                self._hand_over()
                return
            call = Call(self._account.identity, request)
            cached = call.key in self._paid.cache
            self._keys += bytes.fromhex(call.key)
            self._cached.append(cached or call.key in self._waiting)
            if not cached:
                self._gather(Item(call.key, call.text, worst_case(self._account.price, request)))
            self._stage.tell()

    def _gather(self, item: Item) -> None:
        limits, size = self._account.teacher.batch_limits, len(item.request.encode())
        if self._paid.claims.in_batch(item.key):
            return  # answered with it
        if size > limits.bytes:
            message = f"the request has {size} bytes, and '{self._account.name}' takes batches of at most {limits.bytes}"
            self._errors[item.key] = TeacherRefusal(message)
        elif item.key not in self._waiting:
            if self._size + size > limits.bytes or len(self._waiting) >= limits.requests:
                self._hand_over()
            self._waiting[item.key] = item
            self._size += size

    def _hand_over(self) -> None:
        """Makes batches of what was gathered. What does not fit the budget stays."""
        while self._waiting and self._short is None:
            portion = self._portion()
            opened = self._paid.batches.open(self._account.payer, self._account.identity, portion, LEASE_SECONDS)
            unpaid = {item.key for item in opened.unpaid}
            for item in portion:
                if item.key not in unpaid:
                    del self._waiting[item.key]
            self._size = sum(len(item.request.encode()) for item in self._waiting.values())
            self._elsewhere.update({item.key: item for item in opened.elsewhere})
            if opened.unpaid:
                self._short = self._paid.budget.exceeded(opened.unpaid[0].usd)
            if opened.items:
                self._submit(opened.tag, opened.items)

    def _portion(self) -> list[Item]:
        """The first of the gathered requests, as many as one batch may have."""
        limits, portion, size = self._account.teacher.batch_limits, list[Item](), 0
        for item in self._waiting.values():
            size += len(item.request.encode())
            if portion and (len(portion) >= limits.requests or size > limits.bytes):
                break
            portion.append(item)
        return portion

    def _submit(self, tag: str, items: Iterable[Item]) -> None:
        """Hands a batch over. A provider that failed may have taken it all the same, so it is asked before it gets it again."""
        requests = {item.key: parsed(item.request) for item in items}
        policy, teacher = self._paid.policy, self._account.teacher
        failures = 0
        try:
            while True:
                try:
                    id: object = self._called(lambda: teacher.submit(requests, tag))
                except TransientTeacherError as exc:
                    failures += 1
                    id = self._find(tag)
                    if id is None and failures >= policy.attempts:
                        message = f"'{self._account.name}' takes no batch: {exc}; run the same command again later"
                        raise TeacherUnavailable(message) from exc
                    if id is None:
                        self._pause(policy.wait(failures, named_wait(exc, policy), self._paid.jitter))
                        continue
                except TeacherError as exc:  # it said no
                    self._paid.batches.close(tag)
                    message = f"'{self._account.name}' does not take the batch: {exc}"
                    raise TeacherUnavailable(message) from exc
                self._accept(tag, id)
                return
        finally:
            self._paid.claims.free(lease_key(tag))

    def _find(self, tag: str) -> object:
        """The provider's id of a batch; None once it has been asked often enough to be sure that there is none."""
        policy, teacher = self._paid.policy, self._account.teacher
        for attempt in range(policy.finds):
            found = self._persistently(lambda: teacher.find(tag))
            if found is not None:
                return found
            if attempt + 1 < policy.finds:
                self._pause(min(policy.most_wait, policy.first_wait * 2.0**attempt))
        return None

    def _accept(self, tag: str, id: object) -> None:
        if not isinstance(id, str) or not id:
            message = f"the teacher {self._account.name} gave {id!r} as the id of a batch; it must be a text"
            raise PluginError(message)
        self._paid.batches.accepted(tag, id)
        batch = self._paid.batches.get(tag)
        if batch is not None:
            self._stage.log(f"{batch.requests} requests are in a batch at '{self._account.name}' ({id})")

    # --- giving out -----------------------------------------------------------------------------------------------------------

    def next(self) -> Answer:
        """The answer to the next request. Raises StopIteration after the last, Pending when it will come later, and what ended
        the asking."""
        while True:
            if self._at < len(self._cached):
                given = self._given()
                if given is not None:
                    self._at += 1
                    return self._stage.count(given)
            elif self._short is None:
                raise StopIteration
            self._move_on()

    def _given(self) -> Given | None:
        key = self._key()
        answer: Answer | None = self._errors.get(key) or self._paid.cache.get(key)
        return None if answer is None else Given(answer, bought=not self._cached[self._at])

    def _key(self) -> str:
        """The key of the request whose answer is given next; empty when it has not been pulled."""
        return self._keys[self._at * _KEY_BYTES : (self._at + 1) * _KEY_BYTES].hex()

    def _move_on(self) -> None:
        """Takes in what batches have answered, hands over what is left, and waits if that is worth while."""
        if self._patience is None:
            self._patience = time.monotonic() + self._paid.policy.batch_wait
        seconds = self.collect()
        self._short = None
        self._waiting |= self._elsewhere
        self._elsewhere.clear()
        self.start()
        if self._at < len(self._cached) and self._given() is not None:
            return
        mine, holder = self._paid.budget.root, self._paid.claims.held_by(self._key())
        under_way = self._paid.batches.of_teacher(self._account.identity)
        batches = [batch for batch in under_way if batch.payer.root == mine or batch.tag == holder]
        if batches:
            self._wait_for(batches, LOOK_SECONDS if seconds is None else max(seconds, LOOK_SECONDS))
        elif self._short is not None:
            raise self._short
        elif self._elsewhere:
            self._pause(LOOK_SECONDS)
        elif self._at < len(self._cached):
            # Another process took its batch in, and it had no answer there.
            self._errors[self._key()] = TransientTeacherError("its batch gave no answer; run the same command again")

    def _wait_for(self, batches: list[Batch], seconds: float) -> None:
        assert self._patience is not None
        if time.monotonic() + seconds <= self._patience:
            self._pause(seconds)
            return
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        count = sum(batch.requests for batch in batches)
        many = "a batch" if len(batches) == 1 else f"{len(batches)} batches"
        rest = "; the rest does not fit the budget before these are settled" if self._short is not None else ""
        message = (
            f"{count} requests are in {many} at '{self._account.name}'{rest}. Come back at {until:%Y-%m-%d %H:%M} UTC: "
            "the same command then takes the answers in and goes on; nothing is paid twice"
        )
        raise Pending(message, until=until)

    # --- taking in ------------------------------------------------------------------------------------------------------------

    def collect(self) -> float | None:
        """Takes in what this teacher's batches have answered, from earlier runs and other recipes too. Seconds until it is
        worth asking again; None when no batch was under way."""
        waits = [self._advance(batch) for batch in self._paid.batches.of_teacher(self._account.identity)]
        return min(waits, default=None)

    def _advance(self, batch: Batch) -> float:
        """Brings one batch as far as it goes now; seconds until it is worth asking again."""
        lease = lease_key(batch.tag)
        if self._paid.claims.take(lease, 0.0, LEASE_SECONDS) is not None:
            return LOOK_SECONDS  # another process is at it
        try:
            id = batch.id or self._recover(batch)
            state = self._poll(id)
            if state.state == "open":
                self._paid.batches.expect(batch.tag, state.seconds)
                return state.seconds
            self._take_in(batch, id, state)
            return 0.0
        except TeacherError as exc:
            if batch.payer.root == self._paid.budget.root:
                raise
            self._stage.log(f"a batch of another recipe cannot be looked at: {exc}")
            return self._paid.policy.most_wait
        finally:
            self._paid.claims.free(lease)

    def _recover(self, batch: Batch) -> str:
        """The id of a batch that was under way to the provider when its run ended: it is adopted, or handed over anew."""
        found = self._find(batch.tag)
        if found is None:
            self._submit(batch.tag, self._paid.batches.items(batch.tag))
        else:
            self._accept(batch.tag, found)
        again = self._paid.batches.get(batch.tag)
        assert again is not None  # accepted a moment ago, by this process, which holds its lease
        assert again.id is not None
        return again.id

    def _poll(self, id: str) -> BatchState:
        state = self._persistently(lambda: self._account.teacher.poll(id))
        if not isinstance(state, BatchState) or state.state not in ("open", "ended", "expired", "failed"):
            message = f"the teacher {self._account.name} said {state!r} of a batch; `poll` must give a BatchState"
            raise PluginError(message)
        seconds: Any = state.seconds
        sound = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0
        return BatchState(state.state, min(float(seconds), 1e7) if sound else BatchState("open").seconds, str(state.reason))

    def _take_in(self, batch: Batch, id: str, state: BatchState) -> None:
        """Stores each answer of a batch once, with its cost, and has what failed asked again."""
        items = {item.key: item for item in self._paid.batches.items(batch.tag)}
        missing = f"the batch {state.state} without an answer to it" + (f" ({state.reason})" if state.reason else "")
        failures = dict.fromkeys(items, missing)
        seen: set[object] = set()
        bought: list[Purchase] = []
        strange = 0
        for key, given in self._fetch(id, state).items():
            item = items.get(key)
            strange += item is None
            if item is None or key in seen:
                continue
            seen.add(key)
            purchase, problem = self._read(batch, item, given)
            failures.pop(key)
            if problem:
                failures[key] = problem
            if purchase is not None:
                bought.append(purchase)
            if len(bought) >= ROWS_A_COMMIT:
                self._record(batch, bought)
                bought = []
        self._record(batch, bought)
        self._paid.batches.close(batch.tag)
        if strange:
            self._stage.log(f"'{self._account.name}' answered {strange} requests that batch {id} does not wait for; ignored")
        self._again(items, failures)

    def _fetch(self, id: str, state: BatchState) -> Mapping[str, object]:
        try:
            answers = self._persistently(lambda: self._account.teacher.fetch(id))
        except TeacherUnavailable as exc:
            if state.state == "ended" or not isinstance(exc.__cause__, TransientTeacherError):
                raise
            logger.info("a batch that %s has no answers to fetch: %s", state.state, exc)
            return {}
        if not isinstance(answers, Mapping):
            message = f"the teacher {self._account.name} fetched {type(answers).__name__}; `fetch` must give answers by key"
            raise PluginError(message)
        return answers

    def _read(self, batch: Batch, item: Item, given: object) -> tuple[Purchase | None, str]:
        """What one item cost and gave, and why it is to be asked again."""
        call = Call(self._account.identity, parsed(item.request))
        if isinstance(given, TeacherRefusal):
            return Purchase(call, TeacherRefusal(valid(str(given))), None), ""
        if isinstance(given, BaseException):
            return None, str(given) or type(given).__name__
        answer = checked(self._account.name, given)
        return purchase(call, answer, batch.payer, self._account.teacher.batch_price, item.usd), answer.problem

    def _record(self, batch: Batch, bought: Iterable[Purchase]) -> None:
        with self._paid.database.transaction():
            for item in bought:
                if self._paid.batches.take(batch.tag, item.call.key):  # not if another process was here first
                    self._paid.books.record(item)

    def _again(self, items: Mapping[str, Item], failures: Mapping[str, str]) -> None:
        """Hands over anew what failed and this `ask` wants; what has failed often enough is that request's error."""
        wanted = self._wanted(failures)
        for key in wanted:
            item, limit = items[key], self._paid.policy.batch_attempts
            if item.attempt >= limit:
                self._errors[key] = TransientTeacherError(f"failed in {limit} batches, in the last one: {failures[key]}")
            else:
                self._waiting[key] = Item(key, item.request, item.usd, item.attempt + 1)
        if wanted:
            self._hand_over()

    def _wanted(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that this `ask` was asked for."""
        sought = {bytes.fromhex(key): key for key in keys}
        found: dict[str, None] = {}
        for start in range(0, len(self._keys) if sought else 0, _KEY_BYTES):
            if (key := sought.get(bytes(self._keys[start : start + _KEY_BYTES]))) is not None:
                found[key] = None
        return list(found)

    # --- the teacher's methods ------------------------------------------------------------------------------------------------

    def _called(self, method: Callable[[], Awaitable[object]]) -> object:
        return self._done(self._account.called(method))

    def _persistently(self, method: Callable[[], Awaitable[object]]) -> object:
        paid, account = self._paid, self._account
        try:
            return self._done(persistently(lambda: account.called(method), paid.policy, paid.sleep, paid.jitter))
        except TransientTeacherError as exc:
            message = f"'{account.name}' cannot say how its batches fare: {exc}; run the same command again later"
            raise TeacherUnavailable(message) from exc

    def _pause(self, seconds: float) -> None:
        async def pause() -> None:
            await self._paid.sleep(seconds)

        self._done(pause())

    def _done(self, work: Any) -> Any:
        """The result of a coroutine in the background loop, while progress is shown. Raises what it raises, and what ends the
        waiting: then the database knows how far things went."""
        future = self._paid.background.submit(work)
        try:
            while not future.done():
                self._stage.wait(future)
            return future.result()
        except asyncio.CancelledError as exc:
            message = "the run has ended"
            raise PluginError(message) from exc
        finally:
            future.cancel()

    def end(self, grace: float) -> None:
        """Nothing is under way here between two answers."""

    def abandon(self) -> None:
        """Nothing to do: see `end`."""
