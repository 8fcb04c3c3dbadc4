"""A filter that judges: it asks a teacher that the recipe names, through `run.calls`, and leaves a score on what it keeps."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from itertools import tee

from pydantic import Field

from cogumi_core import (
    CompletionRequest,
    Example,
    RunContext,
    Services,
    Settings,
    Teacher,
    TeacherError,
    TransientTeacherError,
    Use,
    Verdict,
)


class AgreesSettings(Settings):
    judge: Use[Teacher] = Field(Use("teacher", "calendar"), description="the teacher that answers each question again")
    least: float = Field(0.5, ge=0, le=1, description="similarity of the two answers below which a row is dropped")


class Agrees:
    row_wise = False  # it pays for its verdicts, so it stays in the process that holds the budget

    def __init__(self, settings: AgreesSettings, services: Services) -> None:
        self.least = settings.least
        self.judge: Teacher = services.make(settings.judge)

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
        asked, judged = tee(examples)
        answers = run.calls.ask(self.judge, (CompletionRequest(row.prompt, self.judge.sampling) for row in asked))
        for row, answer in zip(judged, answers, strict=True):
            if isinstance(answer, TransientTeacherError):
                raise answer  # the row may be good: running again later asks again
            if isinstance(answer, TeacherError):
                yield Verdict(False, "not judged", str(answer))
                continue
            score = SequenceMatcher(None, answer.text, row.response).ratio()
            keep = score >= self.least
            yield Verdict(keep, "" if keep else "another answer", answer.text, {"quality_score": score} if keep else {})
