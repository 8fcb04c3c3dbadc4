"""Kinds that answer and decide: engines and routers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cogumi_core.api.interfaces.context import RunContext
from cogumi_core.api.types import (
    GenerateRequest,
    Message,
    OpenOptions,
    RouteDecision,
    RouteExample,
    RouteRequest,
    RouterReport,
    Token,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Session(Protocol):
    """A model in memory with any number of adapters. Methods may be called from several threads; the session orders the work.

    `parallel`: how many answers it computes at once; more requests wait. `context_tokens` holds for each of them.

    Isolation: what came before, or beside, never changes an answer. After any sequence of requests and adapter swaps a greedy
    answer equals, token for token, that of a fresh session; a cache may be reused only where that holds (see the adapter that
    wrote it)."""

    context_tokens: int
    parallel: int

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        """Tokens as they are chosen; the last has a `finish_reason`. Closing the iterator stops the work. Raises EngineError:
        the prompt does not fit, the schema cannot be a grammar, no such adapter."""
        ...

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Length of the rendered prompt, generation prefix included."""
        ...

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text` without added begin or end tokens; `special`: text of special tokens becomes their id."""
        ...

    def detokenize(self, tokens: Sequence[int]) -> str: ...

    def score(self, tokens: Sequence[int], adapter: str | None = None) -> npt.NDArray[np.float32]:
        """Log-probabilities [len(tokens), vocabulary], natural log: row i is the prediction after tokens[: i + 1]."""
        ...

    def load_adapter(self, name: str, path: Path) -> None: ...

    def unload_adapter(self, name: str) -> None: ...

    def close(self) -> None: ...


@runtime_checkable
class EmbeddingSession(Session, Protocol):
    """A session that also embeds; open it with `OpenOptions(embeddings=True)`."""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors [len(texts), width] of Euclidean length 1."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Runs models of the formats that its `Component` `accepts`."""

    def open(self, model: Path, options: OpenOptions) -> Session:
        """Raises InputError for a file that is damaged or of another kind, EngineError where there is no room for it."""
        ...


class Watcher(Protocol):
    """Follows one answer of the base while it is written."""

    def token(self, token: Token) -> RouteDecision | None:
        """A decision as soon as there is one; None while the answer must go on. After a decision it is not called again."""
        ...


class Decider(Protocol):
    """A fitted router, open. Thread-safe, at most a few milliseconds a decision."""

    def decide(self, request: RouteRequest) -> RouteDecision:
        """About a whole answer."""
        ...


@runtime_checkable
class WatchingDecider(Decider, Protocol):
    """A router that may decide before the base's answer is whole."""

    def watch(self, request: RouteRequest) -> Watcher:
        """`request` has no answer yet."""
        ...


@runtime_checkable
class Router(Protocol):
    """Learns when to keep the base's answer. `fit` writes its files into `output` (never a pickle), `open` reads them."""

    def fit(self, examples: Iterable[RouteExample], output: Path, run: RunContext) -> RouterReport: ...

    def open(self, path: Path) -> Decider: ...
