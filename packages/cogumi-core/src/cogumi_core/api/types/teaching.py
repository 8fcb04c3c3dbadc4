"""What teachers are asked, what they answer, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cogumi_core.api.types.messages import JSON, Message, Sampling, Tool, ToolCall


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a teacher is asked. `schema` (JSON Schema) constrains the answer; `reference` is the source's own answer; `tools`
    may be called."""

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    schema: Mapping[str, JSON] | None = None
    reference: str | None = None
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `cached_tokens` are those of `prompt_tokens` that the provider did not compute again."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input_usd: float
    output_usd: float


@dataclass(frozen=True, slots=True)
class Completion:
    """A teacher's answer. `finish_reason` is `stop`, `length`, `tool_calls` or the provider's own word."""

    text: str
    usage: Usage
    finish_reason: str
    model: str
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The largest batch that a provider takes: requests, and bytes of the requests as canonical JSON."""

    requests: int = 50_000
    bytes: int = 100_000_000


@dataclass(frozen=True, slots=True)
class BatchState:
    """How a submitted batch fares. `open`: ask again after `seconds`. `ended`: its answers can be fetched, also those of items
    that failed. `expired` and `failed`: nothing more will come; what was answered can be fetched."""

    state: Literal["open", "ended", "expired", "failed"]
    seconds: float = 60.0
    reason: str = ""
