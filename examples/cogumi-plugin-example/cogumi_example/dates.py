"""A benchmark: tasks in three splits, and a grade for any answer. It is all that a domain needs."""

import random
from collections.abc import Iterator
from datetime import date, timedelta

from pydantic import Field

from cogumi_core import Grade, Message, RunContext, Services, Settings, Task
from cogumi_example.calendar import FORMATS


class DatesSettings(Settings):
    mine_tasks: int = Field(20, ge=1, le=10_000, description="tasks that show what the base fails at")
    train_tasks: int = Field(120, ge=1, le=10_000, description="tasks to learn from")
    validate_tasks: int = Field(60, ge=1, le=10_000, description="tasks held out to measure on")


class IsoDates:
    """Dates between 1950 and 2049, each in one split only."""

    domain = "dates"

    def __init__(self, settings: DatesSettings, services: Services) -> None:
        self.sizes = {"mine": settings.mine_tasks, "train": settings.train_tasks, "validate": settings.validate_tasks}

    def tasks(self, split: str, run: RunContext) -> Iterator[Task]:
        days = random.Random(run.seed).sample(range(36_500), sum(self.sizes.values()))
        first = sum(size for name, size in self.sizes.items() if name < split)
        for number in days[first : first + self.sizes[split]]:
            day = date(1950, 1, 1) + timedelta(days=number)
            question = Message("user", f"Write in ISO form: {day.strftime(FORMATS[number % len(FORMATS)])}")
            yield Task(day.isoformat(), (question,), self.domain, day.isoformat(), day.isoformat(), reference=day.isoformat())

    def grade(self, task: Task, answer: str, run: RunContext) -> Grade:
        correct = answer.strip() == task.expected
        return Grade(correct, float(correct), "" if correct else "another date or another form")
