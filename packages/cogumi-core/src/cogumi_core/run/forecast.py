"""What is not built yet: dollars, bytes, seconds and memory, as far as they can be known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from cogumi_core.api.component import load_object
from cogumi_core.api.interfaces import Teacher
from cogumi_core.api.types import CompletionRequest, Estimate, ModelRef, Prompt
from cogumi_core.calls import worst_case
from cogumi_core.formats.rows import prompt_from_row, read_rows
from cogumi_core.run.workspace import Session
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import section_of
from cogumi_core.stages.data.distill import DistillStage, assign_each
from cogumi_core.stages.data.prompts import PROMPTS
from cogumi_core.store.artifacts import Artifact

if TYPE_CHECKING:
    from cogumi_core.run.planning import Plan, PlannedStage

Known = Mapping[str, Artifact | None]


def estimate(stage: Stage, session: Session, known: Known) -> Estimate | None:
    """The forecast of one stage; None where nobody makes one."""
    if isinstance(stage, DistillStage):
        return _dollars(stage, session, known)
    if len(stage.steps) != 1 or stage.steps[0].component.estimate is None:
        return None
    given = stage.steps[0].component.estimate
    function: Callable[..., Estimate] = load_object(given) if isinstance(given, str) else given
    model = _model(stage, session, known)
    return function(stage.steps[0].settings, {} if model is None else {"model": model})


def _model(stage: Stage, session: Session, known: Known) -> ModelRef | None:
    """The model the stage starts from; before it is there, the student, whose shapes training does not change."""
    artifact = known.get(stage.inputs.get("model", ""))
    return artifact.model() if artifact else session.student


def _dollars(stage: DistillStage, session: Session, known: Known) -> Estimate | None:
    """What the teachers can cost at most, were nothing cached; None when a price is not known."""
    teachers: list[Teacher] = [session.registry.build(step.provided, step.settings) for step in stage.steps]
    prices = [teacher.price for teacher in teachers]
    if None in prices:
        return None
    if not any(price and (price.input_usd or price.output_usd) for price in prices):
        return Estimate(usd=0.0)
    shares = [step.share or 1 / len(stage.steps) for step in stage.steps]
    total = 0.0
    for prompt, index in assign_each(_prompts(session, known), teachers, shares):
        total += worst_case(prices[index], CompletionRequest(prompt.messages, teachers[index].sampling))
    return Estimate(usd=total)


def _prompts(session: Session, known: Known) -> Iterator[Prompt]:
    """The prompts, from the store or else from the sources themselves."""
    stored = known.get("sources")
    if stored is not None:
        return (prompt_from_row(row) for _, row in read_rows(stored.path / PROMPTS))
    sources = [session.registry.build(step.provided, step.settings) for step in session.recipe.sources]
    return (prompt for source in sources for prompt in source.prompts())


def forecast(planned: Plan) -> dict[str, float | int | None]:
    """Dollars at most and seconds of what is not built yet; `bytes` at most of the finished system as it is carried elsewhere,
    built parts included. None where it cannot be known beforehand."""
    waiting = [row for row in planned.stages if row.state != "hit"]
    teachers = [row.estimate.usd if row.estimate else None for row in waiting if row.stage.name == "distill"]
    usd = None if None in teachers else sum(value for value in teachers if value is not None)
    seconds = sum(row.estimate.seconds or 0.0 for row in waiting if row.estimate)
    return {"usd": usd, "seconds": seconds or None, "bytes": _system_bytes(planned)}


def _system_bytes(planned: Plan) -> int | None:
    """The last compressed model whose size is known (what comes after it only packs it) and every adapter."""
    models = [row for row in planned.stages if section_of(row.stage) == "compress" and row.stage.kind == "model"]
    sizes = [_bytes(row) for row in models]
    base = next((size for size in reversed(sizes) if size is not None), None)
    adapters = [_bytes(row) for row in planned.stages if row.stage.kind == "adapter"]
    if base is None or None in adapters:
        return None
    return base + sum(size for size in adapters if size is not None)


def _bytes(row: PlannedStage) -> int | None:
    if row.artifact is not None:
        return row.artifact.manifest.size
    return row.estimate.bytes if row.estimate else None
