"""What engines are asked and give, and what routers learn from and decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cogumi_core.api.types.messages import JSON, Message, Sampling
from cogumi_core.api.types.models import AdapterInfo


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """How an engine opens a model. `vocab_only`: only to tokenise. `reuse_prefix`: keep the cache of a shared beginning
    between requests (chat); off, each answer is computed from nothing, and so reproducible bit for bit. `parallel`: how many
    requests the caller would like to run at once; the session says how many it does. `embeddings`: the session will be asked
    to `embed`."""

    adapters: Mapping[str, Path] = field(default_factory=dict)
    context_tokens: int = 2048
    vocab_only: bool = False
    reuse_prefix: bool = False
    parallel: int = 1
    embeddings: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token. `text` may be empty while a multi-byte character is incomplete. `logprob` is the natural log of
    the model's own probability of it, before temperature and top-p; under a grammar, its probability among the tokens that the
    grammar allows, because a token that is forced says nothing of what the model knows. The last one has a `finish_reason`."""

    id: int
    text: str
    logprob: float
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """What an engine is asked to continue: a conversation, or, if `prompt` is given, that raw text without a chat template."""

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    schema: Mapping[str, JSON] | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class RouteExample:
    """What a router learns from: a query, the base's answer with its token log-probabilities, and whether it was right.

    `correct` None: not graded, useful only for telling domains apart. `split`: `fit` rows are learned from, `held-out`
    rows are only measured on. `features`: named numbers beyond these, which whoever writes the row and whoever serves compute
    alike."""

    messages: tuple[Message, ...]
    domain: str
    split: Literal["fit", "held-out"]
    answer: str = ""
    logprobs: tuple[float, ...] = ()
    correct: bool | None = None
    adapter_correct: bool | None = None
    has_schema: bool = False
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """The base has answered; `adapters` could answer instead. `features`: see `RouteExample`."""

    messages: tuple[Message, ...]
    answer: str
    logprobs: tuple[float, ...]
    adapters: tuple[AdapterInfo, ...]
    has_schema: bool = False
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """`route` is `base` or an adapter's name; `confidence` is the calibrated probability that the base is right."""

    route: str
    confidence: float
    threshold: float
    reason: str
    signals: Mapping[str, float] = field(default_factory=dict)
