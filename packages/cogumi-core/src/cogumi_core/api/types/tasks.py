"""Graded tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cogumi_core.api.types.messages import JSON, Message


@dataclass(frozen=True, slots=True)
class Task:
    """A graded task. `group` never straddles two splits; `schema` constrains an answer; `reference` is one correct answer;
    `expected` is whatever the benchmark's own grader needs."""

    id: str
    messages: tuple[Message, ...]
    domain: str
    group: str
    expected: JSON
    reference: str | None = None
    schema: Mapping[str, JSON] | None = None
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Grade:
    """`score` in [0, 1]; `reason` says what was wrong in a short fixed phrase, empty when correct."""

    correct: bool
    score: float
    reason: str = ""
