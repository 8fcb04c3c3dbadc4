"""The teacher `reference`: answers with the answer that came with the prompt.

Costs nothing and runs no model, so its tokens count as zero. What it is for: data that is already good, mixed by share
with what models write.
"""

from __future__ import annotations

from cogumi_core.api.errors import TeacherRefusal
from cogumi_core.api.interfaces import Services
from cogumi_core.api.types import Completion, CompletionRequest, Price, Sampling, Usage
from cogumi_teachers.config import ReferenceSettings


class ReferenceTeacher:
    """See `cogumi_core.api.interfaces.Teacher`."""

    needs_reference = True
    concurrency = 64

    def __init__(self, settings: ReferenceSettings, services: Services) -> None:
        self.identity = {"provider": "reference"}
        self.sampling = Sampling()
        self.price = Price(0.0, 0.0)

    async def complete(self, request: CompletionRequest) -> Completion:
        """The request's own reference. Raises TeacherRefusal when it has none."""
        if request.reference is None or not request.reference.strip():
            message = "the source gave no answer with this prompt, so the teacher 'reference' has none"
            raise TeacherRefusal(message)
        return Completion(request.reference, Usage(), "stop", "reference")
