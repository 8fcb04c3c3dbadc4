"""Asking again: exponential backoff with full jitter, and the provider's own `retry_after` as the least wait.

Jitter over the whole interval spreads the calls of many runs that met the same limit (Brooker, "Exponential Backoff And
Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from cogumi_core.api.errors import CogumiError, PluginError, TeacherUnavailable, TransientTeacherError
from cogumi_core.api.interfaces import Teacher
from cogumi_core.api.types import Completion, CompletionRequest

logger = logging.getLogger(__name__)
Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds, and counts. `attempts` in all for one request; a teacher that asks for a wait over `longest_wait`, or that fails
    `give_up_after` requests one after the other in all their attempts, is taken to be unavailable. An interruption waits
    `grace` for calls that were sent, which may have been charged."""

    attempts: int = 7
    first_wait: float = 1.0
    most_wait: float = 60.0
    longest_wait: float = 900.0
    give_up_after: int = 3
    grace: float = 30.0

    def wait(self, failures: int, retry_after: float | None, jitter: random.Random) -> float:
        """Seconds to wait after that many failures (from 1)."""
        backoff = jitter.uniform(0.0, min(self.most_wait, self.first_wait * 2.0 ** (failures - 1)))
        return max(backoff, retry_after or 0.0)


async def ask(
    teacher: Teacher, request: CompletionRequest, policy: RetryPolicy, *, sleep: Sleep, jitter: random.Random
) -> Completion:
    """The answer, after as many attempts as it takes. Raises what the teacher raised last, or TeacherUnavailable."""
    failures = 0
    while True:
        try:
            return await _once(teacher, request)
        except TransientTeacherError as exc:
            failures += 1
            if exc.retry_after is not None and exc.retry_after > policy.longest_wait:
                message = f"the teacher asks to wait {exc.retry_after:.0f} s ({exc}); run the same command again then"
                raise TeacherUnavailable(message) from exc
            if failures >= policy.attempts:
                raise
            wait = policy.wait(failures, exc.retry_after, jitter)
            logger.info("attempt %d of %d failed (%s); next in %.1f s", failures, policy.attempts, exc, wait)
        await sleep(wait)


async def _once(teacher: Teacher, request: CompletionRequest) -> Completion:
    try:
        answer: object = await teacher.complete(request)
    except CogumiError:
        raise
    except Exception as exc:
        message = f"the teacher {type(teacher).__name__} let an error of its own escape: {type(exc).__name__}: {exc}"
        raise PluginError(message) from exc
    if not isinstance(answer, Completion):
        message = (
            f"the teacher {type(teacher).__name__} answered with {type(answer).__name__}; `complete` must return a Completion"
        )
        raise PluginError(message)
    return replace(answer, text=_valid(answer.text))


def _valid(text: str) -> str:
    """Models' JSON can hold half of a surrogate pair, which no file in UTF-8 can; it becomes the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
