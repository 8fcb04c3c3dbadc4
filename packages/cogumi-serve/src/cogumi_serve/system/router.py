"""The router of a system at work: it follows the base's answer, and says who answers.

A router that has `watch` sees each token as it is written and may decide before the answer is whole; the work on an answer that
will not be released stops there. Any other is asked once, about the whole answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cogumi_core import (
    AdapterInfo,
    CogumiError,
    Decider,
    GenerateRequest,
    Message,
    PluginError,
    RouteDecision,
    RouteRequest,
    Token,
    WatchingDecider,
)
from cogumi_core.measure.answers import answer_features
from cogumi_serve.system.errors import Cancelled
from cogumi_serve.system.reply import BASE, Clock, close_stream


@dataclass(frozen=True, slots=True)
class Routed:
    """A decision. `tokens`: what the base had written by then; `rest`: what it is still writing, where it is kept early."""

    decision: RouteDecision
    tokens: tuple[Token, ...]
    rest: Iterator[Token]
    base_seconds: float
    router_seconds: float


class SystemRouter:
    """An open router, and the adapters it may choose from."""

    def __init__(self, decider: Decider, adapters: Sequence[AdapterInfo], clock: Clock) -> None:
        self._decider, self._adapters, self._clock = decider, tuple(adapters), clock

    def route(self, request: GenerateRequest, stream: Iterator[Token], cancelled: Callable[[], bool]) -> Routed:
        """Reads the base's `stream` as far as a decision needs it. `cancelled` is asked after each token. Raises Cancelled,
        PluginError, and what the stream raises; the stream is closed then."""
        started, question = self._clock(), self._question(request)
        try:
            tokens, decision = self._follow(question, stream, cancelled)
        except BaseException:
            close_stream(stream)
            raise
        read = self._clock()
        if decision is None:
            decision = self._decide(question, tokens)
        elif decision.route != BASE:
            close_stream(stream)
        rest = stream if decision.route == BASE else iter(())
        return Routed(decision, tuple(tokens), rest, read - started, self._clock() - read)

    def _follow(
        self, question: RouteRequest, stream: Iterator[Token], cancelled: Callable[[], bool]
    ) -> tuple[list[Token], RouteDecision | None]:
        """The base's tokens, all of them or until the router has decided."""
        tokens: list[Token] = []
        with _named_as_cause():
            watcher = self._decider.watch(question) if isinstance(self._decider, WatchingDecider) else None
        for token in stream:
            tokens.append(token)
            if cancelled():
                message = "the request was cancelled"
                raise Cancelled(message)
            if watcher is not None:
                with _named_as_cause():
                    decision = watcher.token(token)
                if decision is not None:
                    return tokens, _checked(decision, question)
        return tokens, None

    def _decide(self, question: RouteRequest, tokens: Sequence[Token]) -> RouteDecision:
        logprobs = tuple(token.logprob for token in tokens)
        answer = "".join(token.text for token in tokens)
        with _named_as_cause():
            decision = self._decider.decide(
                replace(question, answer=answer, logprobs=logprobs, features=answer_features(logprobs))
            )
        return _checked(decision, question)

    def _question(self, request: GenerateRequest) -> RouteRequest:
        has_schema = request.schema is not None
        return RouteRequest(
            messages=request.messages or (Message("user", request.prompt or ""),),
            answer="",
            logprobs=(),
            adapters=tuple(info for info in self._adapters if has_schema or not info.needs_schema),
            has_schema=has_schema,
        )


@contextmanager
def _named_as_cause() -> Iterator[None]:
    """Around a call of the router: what it raises is told to be its."""
    try:
        yield
    except CogumiError:
        raise
    except Exception as exc:  # the plugin boundary: a router is anybody's code
        message = f"the router of this system failed: {type(exc).__name__}: {exc}"
        raise PluginError(message) from exc


def _checked(decision: RouteDecision, question: RouteRequest) -> RouteDecision:
    if decision.route not in (BASE, *(info.name for info in question.adapters)):
        message = f"the router of this system chose '{decision.route}', which it was not offered"
        raise PluginError(message)
    return decision
