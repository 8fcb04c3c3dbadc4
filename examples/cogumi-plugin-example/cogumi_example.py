"""A complete Cogumi plugin in one module: a modifier that writes dates in ISO form, and a teacher that knows the answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from cogumi_core import Component, Settings, hookimpl
from cogumi_core.api.errors import TeacherRefusal
from cogumi_core.api.types import Completion, CompletionRequest, Grade, Message, Price, Sampling, Task, Usage

SIZES = {"mine": 20, "train": 120, "validate": 60}
FORMATS = ("%B %d, %Y", "%d %B %Y", "%A, %d %b %Y")


@hookimpl
def cogumi_register_teachers() -> Iterator[Component]:
    yield Component("teacher", "calendar", "writes dates in ISO form", config=Settings, factory="cogumi_example:Calendar")


@hookimpl
def cogumi_register_modifiers() -> Iterator[Component]:
    yield Component(
        "modifier",
        "iso-dates",
        "an adapter that writes dates in ISO form",
        config="cogumi_modifiers.config:DomainSettings",
        factory="cogumi_example:make_modifier",
        accepts=frozenset({"gguf"}),
    )


class Calendar:
    """Answers `Write in ISO form: March 5, 2024` with `2024-03-05`, and refuses everything else."""

    sampling, price, concurrency, needs_reference = Sampling(), Price(0.0, 0.0), 8, False

    def __init__(self, settings: Settings, services: Any) -> None:
        self.identity = {"provider": "calendar", "formats": list(FORMATS)}

    async def complete(self, request: CompletionRequest) -> Completion:
        text = request.messages[-1].content.rpartition(": ")[2]
        for form in FORMATS:
            try:
                day = datetime.strptime(text, form).date()
            except ValueError:
                continue
            return Completion(day.isoformat(), Usage(len(text.split()), 1), "stop", "calendar")
        message = f"'{text}' is no date that the calendar can read"
        raise TeacherRefusal(message)


class IsoDates:
    """Tasks of the domain: dates between 1950 and 2049, each in one split only."""

    domain = "dates"

    def tasks(self, split: str) -> Iterator[Task]:
        days = random.Random(2024).sample(range(36_500), sum(SIZES.values()))
        first = sum(size for name, size in SIZES.items() if name < split)
        for number in days[first : first + SIZES[split]]:
            day = date(1950, 1, 1) + timedelta(days=number)
            question = Message("user", f"Write in ISO form: {day.strftime(FORMATS[number % len(FORMATS)])}")
            yield Task(day.isoformat(), (question,), self.domain, day.isoformat(), day.isoformat(), reference=day.isoformat())

    def grade(self, task: Task, answer: str) -> Grade:
        correct = answer.strip() == task.expected
        return Grade(correct, float(correct), "" if correct else "another date or another form")


def make_modifier(settings: Any, services: Any) -> Any:
    from cogumi_modifiers.domains.domain import DomainModifier  # heavy, so imported when it is used

    return DomainModifier("dates", IsoDates(), settings, services)
