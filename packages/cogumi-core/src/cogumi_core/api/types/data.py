"""Prompts, training rows, and what filters and dedupers say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cogumi_core.api.types.messages import JSON, Message, Tool


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question from a source: a conversation that waits for its answer. `reference` is the source's own answer where it has
    one; `tools` are functions that the answer may call."""

    id: str
    messages: tuple[Message, ...]
    domain: str
    source: str
    licence: str
    reference: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """One training row: a whole conversation, which ends with the assistant's answer. `metadata` holds domain, difficulty,
    teacher, quality_score, tokens, source, licence."""

    id: str
    messages: tuple[Message, ...]
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()

    @classmethod
    def of(cls, id: str, instruction: str, response: str, metadata: Mapping[str, JSON] | None = None) -> Example:
        """A row of one question and one answer.

        >>> Example.of("a", "2+2?", "4").response
        '4'
        """
        return cls(id, (Message("user", instruction), Message("assistant", response)), metadata or {})

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> Message:
        """The turn that is learned."""
        return self.messages[-1]

    @property
    def instruction(self) -> str:
        """The question as one text, for people and for comparing: the only user turn, or every turn with its role before it."""
        if len(self.messages) == 2 and self.messages[0].role == "user":
            return self.messages[0].content
        return "\n\n".join(f"{message.role}: {message.text}" for message in self.prompt)

    @property
    def response(self) -> str:
        """The answer as one text; calls stand in it as JSON."""
        return self.answer.text


@dataclass(frozen=True, slots=True)
class Verdict:
    """A filter's word on one example; a drop has a `reason` (a short fixed phrase) and `evidence` (what was seen).

    What a kept row gains: `scores` go into its metadata under their names (`quality_score` is what dedupers rank by), and
    `messages`, where given, take the place of the row's own (something was taken out of them)."""

    keep: bool
    reason: str = ""
    evidence: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    messages: tuple[Message, ...] | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A copy that goes, and its exact Jaccard similarity (0 to 1) to the survivor."""

    id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Near-identical examples: `survivor` stays, `duplicates` go. Every duplicate is verified against the survivor itself."""

    survivor: str
    duplicates: tuple[Duplicate, ...]
