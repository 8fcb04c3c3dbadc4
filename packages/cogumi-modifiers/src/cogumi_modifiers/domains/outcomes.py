"""What a build asks and what comes of it: the tasks of a benchmark, and one configuration's graded answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cogumi_core import Grade, Task
from cogumi_modifiers.domains.probe import Answer, Configuration


@dataclass(frozen=True, slots=True)
class Tasks:
    """The splits, without the tasks whose prompts are too long; `dropped` counts those."""

    mine: tuple[Task, ...]
    train: tuple[Task, ...]
    validate: tuple[Task, ...]
    dropped: int

    @property
    def constrained(self) -> bool:
        """Whether answers are given under a grammar, as far as a task has one."""
        return any(task.schema is not None for task in self.validate)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One configuration's answers and grades, by task id."""

    configuration: Configuration
    answers: Mapping[str, Answer]
    grades: Mapping[str, Grade]

    def correct(self, tasks: Sequence[Task]) -> list[bool]:
        """Whether each of `tasks` was solved, in their order."""
        return [self.grades[task.id].correct for task in tasks]
