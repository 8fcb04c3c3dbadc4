"""A system at work: the base answers first, the router reads how sure it was, and one of the two answers is released.

What was streamed cannot be taken back, so under `auto` no text leaves before the decision. Loading, routing and timing are
here; HTTP and the terminal are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from cogumi_core.api.errors import CogumiError, DamagedArtifact, InputError, PluginError
from cogumi_core.api.types import AdapterInfo, GenerateRequest, Message, RouteDecision, RouteRequest, Token, Usage
from cogumi_core.store.artifacts import verify
from cogumi_serve.errors import Cancelled, PromptTooLong, UnknownModel
from cogumi_serve.system.manifest import SystemManifest, read_manifest
from cogumi_serve.system.receipt import Answer, Receipt

if TYPE_CHECKING:
    from cogumi_core.api.interfaces import ComponentSource, Decider, Engine, Session

AUTO: Final = "auto"
BASE: Final = "base"
CONTEXT_TOKENS: Final = 4096

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Base:
    """The base's own answer, kept until the router has decided."""

    tokens: tuple[Token, ...]
    seconds: float

    @property
    def per_second(self) -> float | None:
        return len(self.tokens) / self.seconds if self.tokens and self.seconds > 0 else None


class Reply:
    """One answer on its way: `receipt` already says who answers; iterating gives the tokens, and completes the receipt."""

    def __init__(self, receipt: Receipt, tokens: Iterator[Token], prompt_tokens: int, started: float, clock: Clock) -> None:
        self.receipt = receipt
        self.finish_reason = ""
        self._tokens, self._prompt_tokens, self._started, self._clock = tokens, prompt_tokens, started, clock
        self._count = 0

    def __iter__(self) -> Iterator[Token]:
        begun = self._clock()
        for token in self._tokens:
            self._count += 1
            if self._count == 1 and self.receipt.route != BASE:
                self.receipt = replace(self.receipt, first_token_ms=(self._clock() - begun) * 1000)
            if token.finish_reason:
                self.finish_reason = token.finish_reason
                self._complete(begun)
            yield token

    def close(self) -> None:
        """Stops the work within a token."""
        close = getattr(self._tokens, "close", None)
        if close is not None:
            close()

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=self._prompt_tokens, completion_tokens=self._count)

    def _complete(self, begun: float) -> None:
        now = self._clock()
        seconds = {**self.receipt.seconds, "answer": now - begun, "total": now - self._started}
        speed = self.receipt.base_tokens_per_second
        if self.receipt.route == BASE and speed is None and now > begun:
            speed = self._count / (now - begun)
        self.receipt = replace(self.receipt, seconds=seconds, base_tokens_per_second=speed)


class RoutedSystem:
    """A system in memory: the base, all its adapters, and its router. Thread-safe."""

    def __init__(
        self, manifest: SystemManifest, session: Session, decider: Decider | None, clock: Clock = time.perf_counter
    ) -> None:
        self.manifest = manifest
        self.session = session
        self._decider = decider
        self._clock = clock

    @classmethod
    def open(
        cls, path: Path, registry: ComponentSource, *, check: bool = False, context_tokens: int = CONTEXT_TOKENS
    ) -> RoutedSystem:
        """Loads the system in folder `path`. `check`: re-hash every file first. Raises InputError, DamagedArtifact,
        EngineError."""
        manifest = read_manifest(path)
        if check and (problems := verify(path)):
            message = f"{path} is damaged: {'; '.join(problems)}"
            raise DamagedArtifact(message)
        engine: Engine = registry.create("engine", manifest.engine)
        entry = manifest.router
        decider = None if entry is None else registry.create("router", entry.component, **entry.settings).open(entry.path)
        session = engine.open(manifest.base, adapters=manifest.adapters, context_tokens=context_tokens, reuse_prefix=True)
        return cls(manifest, session, decider)

    def __enter__(self) -> RoutedSystem:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.session.close()

    @property
    def models(self) -> tuple[str, ...]:
        """What may be asked for: `auto`, `base`, and each adapter."""
        return (AUTO, BASE, *self.manifest.adapters)

    def answer(self, request: GenerateRequest, model: str = AUTO) -> Answer:
        """The whole answer at once. Raises UnknownModel, InputError, EngineError."""
        reply = self.begin(request, model)
        text = "".join(token.text for token in reply)
        return Answer(text, reply.receipt, reply.usage, reply.finish_reason)

    def begin(self, request: GenerateRequest, model: str = AUTO, *, cancelled: Callable[[], bool] = lambda: False) -> Reply:
        """Decides who answers; under `auto` that means computing the base's answer. `cancelled` is asked after each token.

        Raises UnknownModel, InputError, EngineError, Cancelled."""
        started = self._clock()
        self._check_model(request, model)
        prompt_tokens = self._count(request)
        if prompt_tokens >= self.session.context_tokens:
            message = (
                f"the prompt has {prompt_tokens:,} tokens, the context holds {self.session.context_tokens:,} and the answer "
                "needs at least one; shorten the conversation"
            )
            raise PromptTooLong(message)
        if model != AUTO or self._decider is None:
            receipt = self._undecided(model)
            adapter = None if receipt.route == BASE else receipt.route
            return Reply(receipt, self.session.stream(request, adapter), prompt_tokens, started, self._clock)
        base = self._base_answer(request, cancelled)
        decided = self._clock()
        decision = self._decide(self._decider, request, base)
        receipt = self._receipt(decision, base, self._clock() - decided)
        tokens = iter(base.tokens) if decision.route == BASE else self.session.stream(request, decision.route)
        return Reply(receipt, tokens, prompt_tokens, started, self._clock)

    def require_model(self, model: str) -> None:
        """Raises UnknownModel when there is none of that name."""
        if model not in self.models:
            message = f"this system has no model '{model}'; it has {', '.join(self.models)}"
            raise UnknownModel(message)

    def _check_model(self, request: GenerateRequest, model: str) -> None:
        self.require_model(model)
        if request.schema is None and any(info.name == model and info.needs_schema for info in self.manifest.infos):
            message = f"'{model}' only answers requests with tools or a JSON schema; add them, or ask 'auto' or 'base'"
            raise InputError(message)

    def _count(self, request: GenerateRequest) -> int:
        if request.prompt is not None:
            return len(self.session.tokenize(request.prompt))
        return self.session.count_prompt_tokens(request.messages)

    def _base_answer(self, request: GenerateRequest, cancelled: Callable[[], bool]) -> _Base:
        started, tokens = self._clock(), []
        stream = self.session.stream(request)
        for token in stream:
            tokens.append(token)
            if cancelled():
                _close(stream)
                message = "the request was cancelled"
                raise Cancelled(message)
        return _Base(tuple(tokens), self._clock() - started)

    def _decide(self, decider: Decider, request: GenerateRequest, base: _Base) -> RouteDecision:
        question = RouteRequest(
            messages=request.messages or (Message("user", request.prompt or ""),),
            answer="".join(token.text for token in base.tokens),
            logprobs=tuple(token.logprob for token in base.tokens),
            adapters=self._candidates(request),
            has_schema=request.schema is not None,
        )
        try:
            decision = decider.decide(question)
        except CogumiError:
            raise
        except Exception as exc:  # the plugin boundary: a router is anybody's code
            message = f"the router of this system failed: {type(exc).__name__}: {exc}"
            raise PluginError(message) from exc
        if decision.route not in (BASE, *(info.name for info in question.adapters)):
            message = f"the router of this system chose '{decision.route}', which it was not offered"
            raise PluginError(message)
        return decision

    def _candidates(self, request: GenerateRequest) -> tuple[AdapterInfo, ...]:
        return tuple(info for info in self.manifest.infos if request.schema is not None or not info.needs_schema)

    def _undecided(self, model: str) -> Receipt:
        reason = f"'{model}' was asked for" if model != AUTO else "this system has no router, so the base answers"
        return Receipt(BASE if model == AUTO else model, model, reason, self.manifest.digest)

    def _receipt(self, decision: RouteDecision, base: _Base, seconds: float) -> Receipt:
        return Receipt(
            route=decision.route,
            requested=AUTO,
            reason=decision.reason,
            model=self.manifest.digest,
            confidence=decision.confidence,
            threshold=decision.threshold,
            signals=decision.signals,
            base_tokens=len(base.tokens),
            base_tokens_per_second=base.per_second,
            seconds={"base": base.seconds, "router": seconds},
        )


def _close(stream: Iterator[Token]) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()
