"""A filter that asks a teacher inside its settings, and a teacher that needs a key, for tests of what is said of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from cogumi_core import (
    CompletionRequest,
    Component,
    Estimate,
    Example,
    Message,
    Pending,
    RunContext,
    Sampling,
    Services,
    Settings,
    Teacher,
    Use,
    Verdict,
)
from cogumi_core.testing.fakes import PricedTeacher


class CloudSettings(Settings):
    api_key_env: str = Field("CLOUD_KEY", description="environment variable with the key")


class JudgeSettings(Settings):
    judge: Use[Teacher] = Field(description="who judges")


class Judged:
    """Asks its judge about every row, and keeps all."""

    row_wise = True

    def __init__(self, settings: JudgeSettings, services: Services) -> None:
        self.judge = services.make(settings.judge)

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
        questions = (CompletionRequest((Message("user", row.response),), Sampling(max_tokens=4)) for row in examples)
        for _ in run.calls.ask(self.judge, questions):
            yield Verdict(True)


class Waiting(Judged):
    """Its judge's provider takes its time."""

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
        message = "a batch of 6 requests is under way; run the same command again after 18:30"
        raise Pending(message)


def half_a_dollar(settings: JudgeSettings, inputs: object) -> Estimate:
    return Estimate(usd=0.5)


CLOUD = Component("teacher", "cloud", "a teacher far away", CloudSettings, lambda settings, services: PricedTeacher())
FAR = Component(
    "teacher",
    "far",
    "needs a library",
    Settings,
    lambda settings, services: PricedTeacher(),
    requires=(("far", "no_such_module"),),
)
JUDGED = Component("filter", "judged", "asks a judge", JudgeSettings, Judged)
RECKONED = Component(
    "filter", "reckoned", "asks a judge, and says what it costs", JudgeSettings, Judged, estimate=half_a_dollar
)
WAITING = Component("filter", "waiting", "asks a judge that takes its time", JudgeSettings, Waiting)
