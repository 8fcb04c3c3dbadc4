"""A filter that other processes can import."""

from __future__ import annotations

import os

from pydantic import Field

from cogumi_core import Example, RowFilter, Services, Settings, Verdict


class CapitalsSettings(Settings):
    most: float = Field(0.12, ge=0, le=1, description="share of capital letters at most")


class Capitals(RowFilter):
    """Drops rows that shout, and notes how loud the others are."""

    def __init__(self, settings: CapitalsSettings, services: Services) -> None:
        self.most = settings.most

    def judge(self, example: Example) -> Verdict:
        text = example.response
        share = sum(letter.isupper() for letter in text) / max(1, len(text))
        if share > self.most:
            return Verdict(False, "shouts", f"{share:.2f} of the letters are capitals")
        return Verdict(True, scores={"capitals": round(share, 4)})


class Where(RowFilter):
    """Notes which process looked at a row."""

    def __init__(self, settings: Settings, services: Services) -> None:
        pass

    def judge(self, example: Example) -> Verdict:
        return Verdict(True, scores={"pid": float(os.getpid())})
