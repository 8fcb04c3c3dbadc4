"""The teacher `reference`: answers with the answer that came with the prompt.

Costs nothing and runs no model, so its tokens count as zero. What it is for: data that is already good, mixed by share
with what models write.
"""

from __future__ import annotations

from cogumi_core import Completion, CompletionRequest, Price, Sampling, Services, TeacherRefusal, Usage
from cogumi_teachers.teachers.calls import calls_in
from cogumi_teachers.teachers.settings import ReferenceSettings


class ReferenceTeacher:
    """See `cogumi_core.Teacher`."""

    needs_reference = True
    concurrency = 64

    def __init__(self, settings: ReferenceSettings, services: Services) -> None:
        self.identity = {"provider": "reference"}
        self.sampling = Sampling()
        self.price = Price(0.0, 0.0)

    async def complete(self, request: CompletionRequest) -> Completion:
        """The request's own reference; one that calls the request's tools comes as calls. Raises TeacherRefusal when it has
        none."""
        if request.reference is None or not request.reference.strip():
            message = "the source gave no answer with this prompt, so the teacher 'reference' has none"
            raise TeacherRefusal(message)
        calls = calls_in(request.reference, request.tools)
        text = "" if calls else request.reference
        return Completion(text, Usage(), "tool_calls" if calls else "stop", "reference", calls)
