"""A context for one piece of work, as a stage would give it, for tests of components outside a run."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cogumi_core.api.interfaces import Answer, Limits, RunContext, Teacher
from cogumi_core.api.types import JSON, CompletionRequest
from cogumi_core.calls import open_calls
from cogumi_core.plugins.registry import Registry

__all__ = ["OwnCalls", "a_run"]


@dataclass
class OwnCalls:
    """The paid-call engine itself, on a store in `folder`, opened for each `ask`. `usd` is its budget; `spend` has one record
    for each `ask` that came to its end: what the pipeline would have written into the stage's manifest."""

    folder: Path
    usd: float | None = None
    spend: list[dict[str, JSON]] = field(default_factory=list)

    def ask(self, teacher: Teacher, requests: Iterable[CompletionRequest]) -> Generator[Answer, None, None]:
        with open_calls(self.folder / "calls.sqlite", root=str(self.folder), recipe="test", usd=self.usd) as calls:
            stage = calls.stage("test")
            yield from stage.ask(teacher, requests)
            self.spend.append(dict(stage.spend))


def a_run(folder: Path, *, registry: Registry | None = None, **changes: Any) -> RunContext:
    """Seed 17, an empty `scratch` below `folder`, and `calls` that really cache, count and keep to `budget.usd`, with their
    store below `folder`. `registry` (default: of what is installed) gives the services; `changes` are fields of RunContext.

    >>> import tempfile
    >>> a_run(Path(tempfile.mkdtemp()), seed=3).seed
    3
    """
    scratch, paid = folder / "scratch", folder / "calls"
    for path in (scratch, paid):
        path.mkdir(parents=True, exist_ok=True)
    services = (registry or Registry.installed().with_services(base_dir=folder)).services
    budget: Limits = changes.get("budget", Limits())
    return replace(RunContext(17, scratch, services, calls=OwnCalls(paid, budget.usd)), **changes)
