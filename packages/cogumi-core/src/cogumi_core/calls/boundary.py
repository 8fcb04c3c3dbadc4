"""Where a teacher's own code runs, and where what it gives is looked at: behind this line everything is what it says it is.

Whatever a teacher's method does, its caller gets a value or a CogumiError, and gets it before the deadline: no error of an SDK,
no SystemExit that would end the loop of all other calls, no cancellation that nobody asked for, no waiting for ever.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any, Final

from cogumi_core.api.errors import CogumiError, PluginError, TransientTeacherError
from cogumi_core.api.types import Completion, ToolCall, Usage

CANCEL_SECONDS: Final = 1.0
"""How long a call that was cancelled may take to clean up before it is left to itself."""


async def called(name: str, method: Callable[[], Awaitable[object]], seconds: float) -> object:
    """What a teacher's `method` gives. Raises CogumiErrors only: TransientTeacherError when it takes longer than `seconds`,
    PluginError for errors of its own. `name` is the teacher's, for messages."""
    task = asyncio.ensure_future(_caught(name, method))
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            task.cancel()
            # It may still end with an answer, which was paid for; one that clings to its work is left behind.
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)
        if not task.done() or task.cancelled():
            message = f"{name} gave no answer in {seconds:g} s"
            raise TransientTeacherError(message)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)


async def _caught(name: str, method: Callable[[], Awaitable[object]]) -> object:
    try:
        return await method()
    except CogumiError:
        raise
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        message = f"the teacher {name} cancelled its own call"
        raise PluginError(message) from exc
    except BaseException as exc:  # SystemExit too: it would end the loop, and all other calls would wait for ever
        message = f"the teacher {name} let an error of its own escape: {type(exc).__name__}: {exc}"
        raise PluginError(message) from exc


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer as the contract has it. `answer` None: it cannot be used, and `problem` says why. `usage` None: the teacher did
    not say, or said nonsense."""

    answer: Completion | None
    usage: Usage | None
    problem: str = ""


def checked(name: str, answer: object) -> Checked:
    """What a teacher gave, looked at part by part."""
    if not isinstance(answer, Completion):
        return Checked(None, None, f"the teacher {name} answered with {type(answer).__name__}; it must give a Completion")
    usage = _usage(answer)
    problem = _problem(answer)
    if problem:
        return Checked(None, usage, f"the teacher {name} gave a Completion {problem}")
    calls = tuple(ToolCall(valid(call.name), valid(call.arguments), valid(call.id)) for call in answer.tool_calls)
    reason, model = (valid(part) if isinstance(part, str) else "" for part in (answer.finish_reason, answer.model))
    return Checked(Completion(valid(answer.text), usage or Usage(), reason, model, calls), usage)


def _problem(answer: Completion) -> str:
    if not isinstance(answer.text, str):
        return f"whose text is {type(answer.text).__name__}; without words it is ''"
    calls: object = answer.tool_calls
    if not isinstance(calls, tuple | list) or not all(isinstance(call, ToolCall) for call in calls):
        return "whose tool_calls are no tuple of ToolCall"
    parts: list[object] = [part for call in calls for part in (call.name, call.arguments, call.id)]
    return "" if all(isinstance(part, str) for part in parts) else "with a call whose name, arguments or id is no text"


def _usage(answer: Completion) -> Usage | None:
    given: Any = answer.usage
    if not isinstance(given, Usage) or (given == Usage() and answer.text):
        return None
    counts: list[object] = [getattr(given, field.name) for field in fields(Usage)]
    sound = all(isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**63 for count in counts)
    return given if sound else None


def valid(text: str) -> str:
    """Models' JSON can hold half of a surrogate pair, which no file in UTF-8 can; it becomes the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def seconds_of(teacher: object, otherwise: float) -> float:
    """The teacher's own deadline for one call, if it has one."""
    own = getattr(teacher, "call_seconds", None)
    sound = isinstance(own, int | float) and not isinstance(own, bool) and math.isfinite(own) and own > 0
    return float(own) if sound and own is not None else otherwise
