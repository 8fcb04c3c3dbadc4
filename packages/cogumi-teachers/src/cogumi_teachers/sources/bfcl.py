"""The source `bfcl`: questions of the Berkeley Function-Calling Leaderboard, answered by one correct call.

The functions travel with the prompt as its tools; each model is shown them in its own way. Whoever trains on these rows cannot
grade with the benchmark `bfcl` on the same rows: use another file of the leaderboard for one of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from cogumi_core import Prompt, RunContext, Services
from cogumi_core.formats.benchmarks.bfcl import LICENCE, read_bfcl, reference_call
from cogumi_teachers.sources.settings import BfclSettings


class BfclSource:
    """Reads the data of the installed package `bfcl-eval`; the package itself is never imported."""

    def __init__(self, settings: BfclSettings, services: Services) -> None:
        self._settings = settings

    def prompts(self, run: RunContext) -> Iterator[Prompt]:
        """The file's questions, in order. Raises InputError."""
        questions = run.services.locate(self._settings.path)
        answers = run.services.locate(self._settings.answers)
        for row in islice(read_bfcl(questions, answers), self._settings.limit):
            yield Prompt(
                id=f"bfcl-{row.id}",
                messages=row.messages,
                domain=self._settings.domain,
                source="bfcl",
                licence=LICENCE,
                reference=reference_call(row),
                metadata={"format": "json"},
                tools=row.tools,
            )
