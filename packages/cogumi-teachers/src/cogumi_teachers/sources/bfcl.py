"""The source `bfcl`: questions of the Berkeley Function-Calling Leaderboard, answered by one correct call.

The functions are described in the system turn, in the one form in which tools are described everywhere in Cogumi.
Whoever trains on these rows cannot grade with the benchmark `bfcl` on the same rows: use another file of the
leaderboard for one of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from cogumi_core.api.interfaces import Services
from cogumi_core.api.types import Prompt
from cogumi_core.formats.benchmarks.bfcl import LICENCE, read_bfcl, reference_call
from cogumi_core.formats.tools import with_tools
from cogumi_teachers.config import BfclSettings


class BfclSource:
    """Reads the data of the installed package `bfcl-eval`; the package itself is never imported."""

    def __init__(self, settings: BfclSettings, services: Services) -> None:
        self._settings = settings
        self._services = services

    def prompts(self) -> Iterator[Prompt]:
        """The file's questions, in order. Raises InputError."""
        questions = self._services.locate(self._settings.path)
        answers = self._services.locate(self._settings.answers)
        for row in islice(read_bfcl(questions, answers), self._settings.limit):
            yield Prompt(
                id=f"bfcl-{row.id}",
                messages=with_tools(row.messages, row.tools),
                domain=self._settings.domain,
                source="bfcl",
                licence=LICENCE,
                reference=reference_call(row),
                metadata={"format": "json"},
            )
