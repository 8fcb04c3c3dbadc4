"""What one run's model calls share: the database behind its tables, the budget, the loop, and who asks what at this moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cogumi_core.api.errors import Pending
from cogumi_core.api.interfaces import Answer
from cogumi_core.calls.background import Background
from cogumi_core.calls.batches import Batches
from cogumi_core.calls.books import Books
from cogumi_core.calls.budget import Budget
from cogumi_core.calls.cache import CallCache
from cogumi_core.calls.claims import Claims
from cogumi_core.calls.database import Database
from cogumi_core.calls.ledger import Ledger
from cogumi_core.calls.retry import RetryPolicy, Sleep


class CallRun:
    """Made by `open_calls`, as a `PaidCalls`."""

    def __init__(
        self,
        database: Database,
        budget: Budget,
        recipe: str,
        environ: Mapping[str, str],
        policy: RetryPolicy,
        *,
        sleep: Sleep = asyncio.sleep,
        jitter: random.Random | None = None,
    ) -> None:
        self.budget, self.recipe, self.environ, self.policy = budget, recipe, environ, policy
        self.sleep, self.jitter = sleep, jitter or random.Random()
        self.cache = CallCache(database)
        self.ledger = Ledger(database)
        self.claims = Claims(database, self.cache, budget)
        self.books = Books(database, self.cache, self.ledger)
        self.batches = Batches(database, self.claims, budget)
        self.background = Background()
        self.in_flight: dict[str, asyncio.Future[Answer | None]] = {}
        """By key, what this process is asking now; only the background loop touches it."""
        self.closed = False
        self.database = database
        self._gates: dict[int, Gate] = {}

    def gate(self, teacher: Any) -> Gate:
        """Of which a call of this teacher must be inside, in whichever stage or thread it is asked."""
        gate = self._gates.get(id(teacher))
        if gate is None:
            gate = self._gates.setdefault(id(teacher), Gate(teacher))
        return gate

    def refuse_if_in_batch(self, key: str) -> None:
        """Raises Pending when a batch has this call: to ask it as well would be to pay twice."""
        batch = self.batches.get(self.claims.held_by(key) or "")
        if batch is not None:
            raise Pending(batch.sentence(), until=batch.until)


@dataclass
class Gate:
    """Lets as many calls of one teacher through at once as it allows."""

    teacher: Any

    def __post_init__(self) -> None:
        given: object = self.teacher.concurrency
        self.places = given if isinstance(given, int) and given > 0 else 1
        self._semaphore = asyncio.Semaphore(self.places)

    async def __aenter__(self) -> None:
        await self._semaphore.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._semaphore.release()
