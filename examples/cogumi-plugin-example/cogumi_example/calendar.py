"""A teacher: one async method. Cache, budget, retries, concurrency and resume come with the paid-call engine."""

from datetime import datetime

from cogumi_core import Completion, CompletionRequest, Price, Sampling, Services, Settings, TeacherRefusal, Usage

FORMATS = ("%B %d, %Y", "%d %B %Y", "%A, %d %b %Y")


class Calendar:
    """Answers `Write in ISO form: March 05, 2024` with `2024-03-05`, and refuses everything else."""

    sampling, price, concurrency, needs_reference = Sampling(), Price(0.0, 0.0), 8, False

    def __init__(self, settings: Settings, services: Services) -> None:
        # What determines the answer, and nothing else: it is part of the key under which answers are kept.
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
