"""Asking again: exponential backoff with full jitter, and the provider's own `retry_after` as the least wait.

Jitter over the whole interval spreads the calls of many runs that met the same limit (Brooker, "Exponential Backoff And
Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cogumi_core.api.errors import TeacherUnavailable, TransientTeacherError

logger = logging.getLogger(__name__)
Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds, and counts. `attempts` in all for one request; a teacher that asks for a wait over `longest_wait`, or that fails
    `give_up_after` requests one after the other in all their attempts, is taken to be unavailable. A call that takes longer
    than `call_seconds` has failed for now (a teacher may have a `call_seconds` of its own). An interruption waits `grace` for
    calls that were sent, which may have been charged.

    Batches: a run waits at most `batch_wait` for batches that the provider says are nearly done; an item is sent
    `batch_attempts` times; `finds` is how often a provider is asked for a batch that it may have accepted, because some see
    their own a little later, and what it does not know after that is handed over again."""

    attempts: int = 7
    first_wait: float = 1.0
    most_wait: float = 60.0
    longest_wait: float = 900.0
    give_up_after: int = 3
    call_seconds: float = 600.0
    grace: float = 30.0
    batch_wait: float = 60.0
    batch_attempts: int = 3
    finds: int = 4

    def wait(self, failures: int, retry_after: float | None, jitter: random.Random) -> float:
        """Seconds to wait after that many failures (from 1)."""
        backoff = jitter.uniform(0.0, min(self.most_wait, self.first_wait * 2.0 ** (failures - 1)))
        return max(backoff, retry_after or 0.0)


async def persistently(
    once: Callable[[], Awaitable[object]], policy: RetryPolicy, pause: Sleep, jitter: random.Random
) -> object:
    """What `once` gives, after as many attempts as it takes. Raises what it raised last, or TeacherUnavailable."""
    failures = 0
    while True:
        try:
            return await once()
        except TransientTeacherError as exc:
            failures += 1
            named = named_wait(exc, policy)
            if failures >= policy.attempts:
                raise
            wait = policy.wait(failures, named, jitter)
            logger.info("attempt %d of %d failed (%s); next in %.1f s", failures, policy.attempts, exc, wait)
        await pause(wait)


def named_wait(exc: TransientTeacherError, policy: RetryPolicy) -> float | None:
    """The wait in seconds that a provider asked for, if it makes sense. Raises TeacherUnavailable when it is too long."""
    named: object = exc.retry_after
    if not isinstance(named, int | float) or not math.isfinite(named):
        return None
    if named > policy.longest_wait:
        message = f"the teacher asks to wait {named:.0f} s ({exc}); run the same command again then"
        raise TeacherUnavailable(message) from exc
    return float(named)
