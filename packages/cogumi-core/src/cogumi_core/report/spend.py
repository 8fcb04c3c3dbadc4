"""What a stage paid for model calls, as the manifest of its artifact keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from cogumi_core.report.plain import report_in
from cogumi_core.store.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class Spend:
    """`usd` is None where a teacher's price is not known. `asked` calls were sent, `cached` answers had been paid for before;
    `refused` and `failed` requests have no answer."""

    usd: float | None
    asked: int = 0
    cached: int = 0
    refused: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def spend_of(artifact: Artifact) -> Spend | None:
    """None for a stage that asked no teacher."""
    found = artifact.manifest.metrics.get("spend")
    return report_in(found, Spend) if found else None
