"""Conversations, in OpenAI's terms: turns, calls of functions in them, and how tokens are chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

JSON = Any
Role = Literal["system", "user", "assistant", "tool"]
Tool = Mapping[str, JSON]
"""A function that may be called: `{"name", "description", "parameters"}`, the parameters in JSON Schema."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call in an assistant's turn. `arguments` is a JSON object as text, the form in which models write it."""

    name: str
    arguments: str
    id: str = ""

    @property
    def text(self) -> str:
        """The call as one JSON object, `{"name", "arguments"}`: the one form in which models of this project write calls."""
        try:
            arguments = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            arguments = self.arguments  # a model's own, which is for a grader to judge
        return json.dumps({"name": self.name, "arguments": arguments}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. An assistant's turn may hold `tool_calls` besides or instead of text; a turn of the role `tool` holds the
    result of the call `tool_call_id`."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The turn as a model sees it: its content, and each call as JSON on a line of its own."""
        content = [self.content] if self.content or not self.tool_calls else []
        return "\n".join([*content, *(call.text for call in self.tool_calls)])


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `temperature` 0 is greedy; `seed` None leaves it to the engine."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = None
    stop: tuple[str, ...] = ()
