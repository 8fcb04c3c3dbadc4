"""A system at work: the base answers first, the router reads how sure it was, and one of the two answers is released.

What was streamed cannot be taken back, so under `auto` no text leaves before the decision. Loading, routing and timing are
here; HTTP and the terminal are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from cogumi_core import GenerateRequest, InputError, OpenOptions
from cogumi_core.system.manifest import SystemManifest, read_system
from cogumi_serve.engines.errors import PromptTooLong
from cogumi_serve.system.errors import UnknownModel
from cogumi_serve.system.receipt import Answer, Receipt
from cogumi_serve.system.reply import BASE, Clock, Kept, Reply
from cogumi_serve.system.router import Routed, SystemRouter

if TYPE_CHECKING:
    from cogumi_core import ComponentSource, Decider, Engine, Session

AUTO: Final = "auto"
CONTEXT_TOKENS: Final = 4096


class RoutedSystem:
    """A system in memory: the base, all its adapters, and its router. Thread-safe."""

    def __init__(
        self, manifest: SystemManifest, session: Session, decider: Decider | None, clock: Clock = time.perf_counter
    ) -> None:
        self.manifest = manifest
        self.session = session
        infos = [modifier.info for modifier in manifest.modifiers]
        self._router = None if decider is None else SystemRouter(decider, infos, clock)
        self._clock = clock

    @classmethod
    def open(
        cls,
        path: Path,
        registry: ComponentSource,
        *,
        check: bool = False,
        context_tokens: int = CONTEXT_TOKENS,
        parallel: int = 1,
    ) -> RoutedSystem:
        """Loads the system in folder `path`. `check`: re-hash every file first. `parallel`: answers that the engine shall
        compute at once, where it can. Raises InputError, DamagedArtifact, EngineError."""
        manifest = read_system(path, check=check)
        engine: Engine = registry.create("engine", manifest.engine.use, **manifest.engine.settings)
        decider: Decider | None = None
        if (router := manifest.router) is not None:
            decider = registry.create("router", router.component, **router.settings).open(manifest.folder / router.path)
        options = OpenOptions(manifest.adapters, context_tokens, reuse_prefix=True, parallel=parallel)
        return cls(manifest, engine.open(manifest.folder / manifest.base.path, options), decider)

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
        """Decides who answers; under `auto` that means computing the base's answer, as far as the router needs it. `cancelled`
        is asked after each token.

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
        if model != AUTO or self._router is None:
            receipt = self._undecided(model)
            tokens = self.session.stream(request, None if receipt.route == BASE else receipt.route)
            return Reply(receipt, tokens, prompt_tokens, started, self._clock)
        routed = self._router.route(request, self.session.stream(request), cancelled)
        route = routed.decision.route
        tokens = Kept(routed.tokens, routed.rest) if route == BASE else self.session.stream(request, route)
        return Reply(self._receipt(routed), tokens, prompt_tokens, started, self._clock)

    def require_model(self, model: str) -> None:
        """Raises UnknownModel when there is none of that name."""
        if model not in self.models:
            message = f"this system has no model '{model}'; it has {', '.join(self.models)}"
            raise UnknownModel(message)

    def _check_model(self, request: GenerateRequest, model: str) -> None:
        self.require_model(model)
        if request.schema is None and any(known.name == model and known.needs_schema for known in self.manifest.modifiers):
            message = f"'{model}' only answers requests with tools or a JSON schema; add them, or ask 'auto' or 'base'"
            raise InputError(message)

    def _count(self, request: GenerateRequest) -> int:
        if request.prompt is not None:
            return len(self.session.tokenize(request.prompt))
        return self.session.count_prompt_tokens(request.messages)

    def _undecided(self, model: str) -> Receipt:
        reason = f"'{model}' was asked for" if model != AUTO else "this system has no router, so the base answers"
        return Receipt(BASE if model == AUTO else model, model, reason, self.manifest.base_digest)

    def _receipt(self, routed: Routed) -> Receipt:
        count, seconds = len(routed.tokens), routed.base_seconds
        return Receipt(
            route=routed.decision.route,
            requested=AUTO,
            reason=routed.decision.reason,
            model=self.manifest.base_digest,
            confidence=routed.decision.confidence,
            threshold=routed.decision.threshold,
            signals=routed.decision.signals,
            base_tokens=count,
            base_tokens_per_second=count / seconds if count and seconds > 0 else None,
            seconds={"base": seconds, "router": routed.router_seconds},
        )
