"""A teacher that does what a test says, and short ways to ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cogumi_core.api.types import Completion, CompletionRequest, Message, Price, Sampling, Usage
from cogumi_core.calls import PaidCalls, RetryPolicy, open_calls

USAGE = Usage(prompt_tokens=10, completion_tokens=20)
AT_ONCE = RetryPolicy(first_wait=0.0, grace=0.5)
"""Tries again without waiting."""
Script = Callable[[str, int], Any]


class ScriptedTeacher:
    """Answers by `script(text, attempt)`: text, an exception to raise, seconds to take, or an event to wait for. Anything else
    is given as it is."""

    needs_reference = False
    sampling = Sampling()

    def __init__(self, script: Script | None = None, *, price: Price | None = None, concurrency: int = 4) -> None:
        self.identity: Mapping[str, Any] = {"provider": "scripted", "model": "one"}
        self.price = price
        self.concurrency = concurrency
        self.asked: list[str] = []
        self.under_way = self.most_under_way = self.cancelled = 0
        self._script = script or (lambda text, attempt: f"answer to {text}")

    async def complete(self, request: CompletionRequest) -> Completion:
        text = request.messages[0].content
        self.asked.append(text)
        found = self._script(text, self.asked.count(text))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(found if isinstance(found, float) else 0)
            while isinstance(found, threading.Event) and not found.is_set():
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        if isinstance(found, BaseException):
            raise found
        return Completion(str(found), USAGE, "stop", "one") if isinstance(found, str | float | threading.Event) else found


def ask_for(*texts: str, **sampling: Any) -> list[CompletionRequest]:
    return [CompletionRequest((Message("user", text),), Sampling(**sampling)) for text in texts]


def numbered(count: int) -> list[CompletionRequest]:
    return ask_for(*(f"q{number}" for number in range(count)))


def opened(path: Path, **options: Any) -> AbstractContextManager[PaidCalls]:
    """The engine for a recipe of some name in the file `r`."""
    return open_calls(path, **{"root": "r", "recipe": "some", "policy": AT_ONCE, **options})


def said(answers: Iterable[Any]) -> list[str]:
    """Texts of answers and of errors."""
    return [answer.text if isinstance(answer, Completion) else str(answer) for answer in answers]


def one_by_one(requests: Iterable[CompletionRequest], pulled: list[str]) -> Iterator[CompletionRequest]:
    """The requests, each noted when it is pulled."""
    for request in requests:
        pulled.append(request.messages[0].content)
        yield request
