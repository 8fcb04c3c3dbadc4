"""Teachers, sources and an executor that need no model and no process: for tests of what is around them.

They say what they are (`model` is `fake-...`), count what they were asked, and keep the contract, except where misbehaving is
what they are for.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cogumi_core.api.errors import TeacherError, TeacherRefusal, TeacherUnavailable, TransientTeacherError
from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import JSON, Completion, CompletionRequest, Price, Prompt, Sampling, Usage

__all__ = ["EchoTeacher", "ListSource", "MoodyTeacher", "PickyExecutor", "PricedTeacher"]

Item = TypeVar("Item")
Result = TypeVar("Result")

FREE: Final = Price(0.0, 0.0)
GREEDY: Final = Sampling()
DEAR: Final = Price(input_usd=1000.0, output_usd=2000.0)


@dataclass
class EchoTeacher:
    """Answers with the last message, at no cost. `requests` has every call, in order."""

    prefix: str = "You said: "
    seconds: float = 0.0
    price: Price | None = FREE
    concurrency: int = 4
    needs_reference: bool = False
    sampling: Sampling = GREEDY
    requests: list[CompletionRequest] = field(default_factory=list)

    @property
    def identity(self) -> Mapping[str, JSON]:
        return {"provider": "fake", "model": "fake-echo", "prefix": self.prefix}

    async def complete(self, request: CompletionRequest) -> Completion:
        self.requests.append(request)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return self._answer(request)

    def _answer(self, request: CompletionRequest) -> Completion:
        """Cut at `max_tokens`, where a token is a word."""
        words = f"{self.prefix}{request.messages[-1].text}".split(" ")
        kept = words[: request.sampling.max_tokens]
        prompt_tokens = sum(len(message.text.split()) for message in request.messages)
        reason = "stop" if len(kept) == len(words) else "length"
        return Completion(" ".join(kept), Usage(prompt_tokens, len(kept)), reason, str(self.identity["model"]))


@dataclass
class PricedTeacher(EchoTeacher):
    """An echo that costs: by default a dollar for a thousand words in, two for a thousand out, so that budgets are met soon."""

    price: Price | None = DEAR

    @property
    def identity(self) -> Mapping[str, JSON]:
        return {"provider": "fake", "model": "fake-priced", "prefix": self.prefix}


@dataclass
class MoodyTeacher(EchoTeacher):
    """An echo that misbehaves on request: words in the last message call up what real providers do.

    `[busy]` fails with TransientTeacherError the first `busy_times` times it is asked; `[refuse]` is never answered; `[cut]`
    stops after three words with `finish_reason` length; after `dies_after` calls nothing is answered any more."""

    busy_times: int = 2
    retry_after: float | None = 0.0
    dies_after: int | None = None
    _busy: Counter[str] = field(default_factory=Counter)

    @property
    def identity(self) -> Mapping[str, JSON]:
        return {"provider": "fake", "model": "fake-moody", "prefix": self.prefix}

    async def complete(self, request: CompletionRequest) -> Completion:
        error = self._error(request.messages[-1].content)
        if error is not None:
            self.requests.append(request)
            raise error
        answer = await super().complete(request)
        if "[cut]" in request.messages[-1].content:
            text = " ".join(answer.text.split(" ")[:3])
            return Completion(text, Usage(answer.usage.prompt_tokens, 3), "length", answer.model)
        return answer

    def _error(self, text: str) -> TeacherError | None:
        if self.dies_after is not None and len(self.requests) >= self.dies_after:
            return TeacherUnavailable("fake-moody answers nothing more: its account is empty; add credit or remove it")
        if "[refuse]" in text:
            return TeacherRefusal("fake-moody refuses this request")
        if "[busy]" in text and self._busy[text] < self.busy_times:
            self._busy[text] += 1
            return TransientTeacherError("fake-moody is busy", retry_after=self.retry_after)
        return None


@dataclass
class ListSource:
    """A source of given prompts."""

    items: Iterable[Prompt]

    def prompts(self, run: RunContext) -> Iterator[Prompt]:
        return iter(tuple(self.items))


@dataclass
class PickyExecutor:
    """Runs everything here, but hands it over as another process would get it: what cannot be pickled fails."""

    workers: int = 3

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        for item in items:
            received, argument = pickle.loads(pickle.dumps((function, item)))
            yield pickle.loads(pickle.dumps(received(argument)))
