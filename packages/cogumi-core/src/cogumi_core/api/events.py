"""What happens during a run, as values: for progress bars, logs and plugins that listen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cogumi_core.api.types import JSON


@dataclass(frozen=True, slots=True)
class StageStarted:
    """Stage `stage` (`index` of `count`) begins to build; `resumed`: a killed attempt left something to go on from."""

    stage: str
    component: str
    index: int
    count: int
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class StageProgress:
    """`done` of `total` `unit`s (total None: unknown); `figures` are current values such as a loss."""

    stage: str
    done: float
    total: float | None
    unit: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageFinished:
    """The artifact is in the store. `hit`: it was there before. `summary` is one line for a person."""

    stage: str
    seconds: float
    hit: bool
    digest: str
    summary: str = ""
    metrics: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageFailed:
    """The stage ended without an artifact."""

    stage: str
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence a person should read."""

    stage: str
    message: str


Event = StageStarted | StageProgress | StageFinished | StageFailed | Note
Listener = Callable[[Event], None]
