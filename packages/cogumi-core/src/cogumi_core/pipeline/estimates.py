"""What one stage that is not built yet will cost: dollars, bytes, seconds and memory, as far as they can be known
beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cogumi_core.api.component import load_object
from cogumi_core.api.interfaces import BatchTeacher, RunContext, Teacher
from cogumi_core.api.types import Estimate, ModelRef, Price, Prompt
from cogumi_core.calls.budget import worst_case
from cogumi_core.formats.rows import prompt_from_row, read_rows
from cogumi_core.pipeline.workspace import Workspace
from cogumi_core.stages.base import Stage
from cogumi_core.stages.data.distill import DistillStage, assign_each, request_for
from cogumi_core.stages.data.prompts import PROMPTS
from cogumi_core.store.artifacts import Artifact

Known = Mapping[str, Artifact | None]


def estimate(stage: Stage, workspace: Workspace, known: Known) -> Estimate | None:
    """The forecast of one stage; None where nobody makes one and nobody is paid."""
    if isinstance(stage, DistillStage):
        return _answers(stage, workspace, known)
    own = _own(stage, workspace, known)
    prices = list(_prices(stage, workspace))
    if not prices or (own is not None and own.usd is not None):
        return own
    free = all(price is not None and not (price.input_usd or price.output_usd) for price in prices)
    usd = 0.0 if free else None  # how often a component asks is known to it alone
    return Estimate(usd=usd) if own is None else Estimate(usd, own.bytes, own.seconds, own.memory_bytes)


def pays(stage: Stage) -> bool:
    """Whether the stage has a teacher that may cost something: it stands in it, or inside its components' settings."""
    return any(provided.component.kind == "teacher" for step in stage.steps for provided, _ in step.used)


def _own(stage: Stage, workspace: Workspace, known: Known) -> Estimate | None:
    """What the component itself says, asked with the model that it starts from and the number of rows, where they are known."""
    if len(stage.steps) != 1 or stage.steps[0].component.estimate is None:
        return None
    given = stage.steps[0].component.estimate
    function: Callable[..., Estimate] = load_object(given) if isinstance(given, str) else given
    inputs: dict[str, Any] = {}
    if (model := _model(stage, workspace, known)) is not None:
        inputs["model"] = model
    dataset = known.get(stage.inputs.get("dataset", ""))
    if dataset is not None:
        inputs["rows"] = dataset.manifest.metrics.get("kept", 0)
    return function(stage.steps[0].settings, inputs)


def _model(stage: Stage, workspace: Workspace, known: Known) -> ModelRef | None:
    """The model the stage starts from; before it is there, the student in that form, whose shapes training does not change."""
    name = next((stage.inputs[role] for role in ("model", "runnable") if role in stage.inputs), "")
    if artifact := known.get(name):
        return artifact.model()
    student = workspace.student
    if student is None or not student.digest:
        return None
    made_by = [step for earlier in workspace.stages if earlier.name == name for step in earlier.steps]
    return replace(student, format=made_by[-1].component.produces) if made_by else student


def _prices(stage: Stage, workspace: Workspace) -> Iterator[Price | None]:
    for step in stage.steps:
        for provided, settings in step.used:
            if provided.component.kind == "teacher":
                yield _price(workspace.registry.build(provided, settings))


def _price(teacher: Teacher) -> Price | None:
    """What a call costs: online, or in a batch where the teacher wants them."""
    return teacher.batch_price if isinstance(teacher, BatchTeacher) and teacher.wants_batches else teacher.price


def _answers(stage: DistillStage, workspace: Workspace, known: Known) -> Estimate | None:
    """What the teachers can cost at most, were nothing cached; None when a price is not known."""
    teachers: list[Teacher] = [workspace.registry.build(step.provided, step.settings) for step in stage.steps]
    prices = [_price(teacher) for teacher in teachers]
    if None in prices:
        return None
    if not any(price and (price.input_usd or price.output_usd) for price in prices):
        return Estimate(usd=0.0)
    shares = [step.share or 1 / len(stage.steps) for step in stage.steps]
    total = 0.0
    for prompt, index in assign_each(_prompts(workspace, known), teachers, shares):
        total += worst_case(prices[index], request_for(prompt, teachers[index]))
    return Estimate(usd=total)


def _prompts(workspace: Workspace, known: Known) -> Iterator[Prompt]:
    """The prompts, from the store or else from the sources themselves."""
    stored = known.get("sources")
    if stored is not None:
        return (prompt_from_row(row) for _, row in read_rows(stored.path / PROMPTS))
    registry = workspace.registry
    sources = [registry.build(step.provided, step.settings) for step in workspace.recipe.of("sources")]
    run = RunContext(workspace.recipe.seed, workspace.store.root / "plan", registry.services)
    return (prompt for source in sources for prompt in source.prompts(run))
