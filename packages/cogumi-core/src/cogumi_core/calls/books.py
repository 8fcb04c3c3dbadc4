"""Settling: an answer, its line in the ledger and the end of its claim are stored together or not at all.

An answer is given out only when its commit is on the disk. Calls that end together share one commit, because a commit waits for
the disk and a fast teacher would otherwise wait with it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cogumi_core.api.types import Completion, Price, Usage
from cogumi_core.calls.boundary import Checked
from cogumi_core.calls.cache import CallCache, Outcome
from cogumi_core.calls.database import Database
from cogumi_core.calls.ledger import Entry, Ledger, Payer, cost
from cogumi_core.calls.request import Call


@dataclass(frozen=True, slots=True)
class Purchase:
    """A call that came to an end. `outcome` None: something was charged and nothing can be used. `entry` None: it cost nothing
    that is known of, as a refusal."""

    call: Call
    outcome: Outcome | None
    entry: Entry | None


def purchase(call: Call, checked: Checked, payer: Payer, price: Price | None, worst: float) -> Purchase:
    """What an answer cost. A priced teacher that does not say what it used would never use up a budget, and one whose answer
    cannot be used may have been paid, so their worst case is charged."""
    answer, usage = checked.answer, checked.usage or Usage()
    model = answer.model if isinstance(answer, Completion) else ""
    if checked.usage is None and price is not None:
        return Purchase(call, answer, Entry(call.key, payer, model, usage, worst, assumed=True))
    return Purchase(call, answer, Entry(call.key, payer, model, usage, cost(price, usage)))


class Books:
    """Cache and ledger, written as one."""

    def __init__(self, database: Database, cache: CallCache, ledger: Ledger) -> None:
        self._database = database
        self._cache = cache
        self._ledger = ledger
        self._waiting: list[tuple[Purchase, asyncio.Future[Outcome | None]]] = []

    async def settle(self, purchase: Purchase) -> Outcome | None:
        """What is now stored for the call, once that is on the disk. Raises StoreError. For the background loop."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[Outcome | None] = loop.create_future()
        self._waiting.append((purchase, stored))
        if len(self._waiting) == 1:
            loop.call_soon(self._commit)
        return await stored

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            with self._database.transaction():
                outcomes = [self.record(purchase) for purchase, _ in waiting]
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for _, stored in waiting:
                if not stored.done():
                    stored.set_exception(exc)
            return
        for (_, stored), outcome in zip(waiting, outcomes, strict=True):
            if not stored.done():
                stored.set_result(outcome)

    def record(self, purchase: Purchase) -> Outcome | None:
        """Writes one purchase, inside a transaction; returns what is stored for its call."""
        call, entry = purchase.call, purchase.entry
        self._database.change("DELETE FROM claims WHERE key = ?", (call.key,))
        if entry is not None:
            self._ledger.add(entry)
        if purchase.outcome is None:
            return None
        return self._cache.put(call, purchase.outcome, None if entry is None else entry.usd)
