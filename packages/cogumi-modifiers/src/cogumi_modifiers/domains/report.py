"""What a modifier's build found out: the gate's decision, the report, and the rows the router learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cogumi_core.api.types import JSON, ModifierReport, RouteExample, Task
from cogumi_core.formats.rows import route_example_row, write_rows
from cogumi_modifiers.benchmarks.splits import near_duplicates
from cogumi_modifiers.domains.adapter_training import TrainedAdapter
from cogumi_modifiers.domains.domain import Outcomes, Tasks
from cogumi_modifiers.statistics import PairedResult, compare, wilson

SHOWN: Final = 8
"""How many fixed and how many failing tasks a report shows."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything a build measured. `probed`: the base on the mined tasks; `baselines` and `adapted`: on the held-out ones,
    the base as it is served first."""

    domain: str
    tasks: Tasks
    training: tuple[Task, ...]
    probed: Outcomes
    baselines: Sequence[Outcomes]
    adapted: Outcomes
    trained: TrainedAdapter

    @property
    def strongest(self) -> Outcomes:
        """The untrained configuration with the most correct answers, the first of equals."""
        return max(self.baselines, key=lambda outcomes: sum(outcomes.correct(self.tasks.validate)))


def make_report(findings: Findings, *, alpha: float, seed: int) -> ModifierReport:
    """Accepted when the adapter solves more than the strongest untrained configuration, and chance gives such a difference with
    a probability below `alpha`."""
    held_out = findings.tasks.validate
    before, after = findings.strongest.correct(held_out), findings.adapted.correct(held_out)
    paired = compare(before, after, seed)
    accepted = paired.won > paired.lost and paired.p_value < alpha
    return ModifierReport(
        domain=findings.domain,
        accepted=accepted,
        baseline=wilson(sum(before), len(before)),
        result=wilson(sum(after), len(after)),
        won=paired.won,
        lost=paired.lost,
        p_value=paired.p_value,
        reason=_reason(findings, paired, alpha),
        needs_schema=all(task.schema is not None for task in held_out),
        losses=findings.trained.losses,
        configurations=_configurations(findings),
        fixed=_shown(findings, list(zip(held_out, before, after, strict=True)), fixed=True),
        failing=_shown(findings, list(zip(held_out, before, after, strict=True)), fixed=False),
        metrics=_metrics(findings, paired, seed),
        deterministic=findings.trained.device == "cpu",
        why_not="" if findings.trained.device == "cpu" else "GPU kernels do not add up in the same order each time",
    )


def _reason(findings: Findings, paired: PairedResult, alpha: float) -> str:
    name = findings.strongest.configuration.name
    counts = f"{paired.won} tasks won and {paired.lost} lost against '{name}', p = {paired.p_value:.2g}"
    if paired.won <= paired.lost:
        return f"the adapter solves no more held-out tasks than the untrained model: {counts}"
    if paired.p_value >= alpha:
        return (
            f"the gain may be chance (p is not below {alpha:g}): {counts}; more held-out tasks or more training data would tell"
        )
    return counts


def _configurations(findings: Findings) -> dict[str, JSON]:
    held_out = findings.tasks.validate
    everything = [*findings.baselines, findings.adapted]
    return {one.configuration.name: wilson(sum(one.correct(held_out)), len(held_out)) for one in everything}


def _shown(findings: Findings, rows: Sequence[tuple[Task, bool, bool]], *, fixed: bool) -> list[dict[str, JSON]]:
    """Tasks only the adapter solved, or tasks it failed: what was asked, what would be right, what both said."""
    chosen = [task for task, before, after in rows if (after and not before if fixed else not after)]
    return [_example(findings, task) for task in chosen[:SHOWN]]


def _example(findings: Findings, task: Task) -> dict[str, JSON]:
    return {
        "id": task.id,
        "question": task.messages[-1].content,
        "expected": task.reference or "",
        "base": findings.strongest.answers[task.id].text,
        "adapter": findings.adapted.answers[task.id].text,
        "reason": findings.adapted.grades[task.id].reason or findings.strongest.grades[task.id].reason,
    }


def _metrics(findings: Findings, paired: PairedResult, seed: int) -> dict[str, JSON]:
    tasks = findings.tasks
    failures = sum(not grade.correct for grade in findings.probed.grades.values())
    return {
        "tasks": {"mine": len(tasks.mine), "train": len(tasks.train), "validate": len(tasks.validate)},
        "too_long": tasks.dropped,
        "mined_failures": failures,
        "training_rows": len(findings.training),
        "adapter_bytes": findings.trained.path.stat().st_size,
        "difference": {"share": paired.difference, "low": paired.low, "high": paired.high},
        "near_duplicates": _near(findings, seed),
        "seconds": _seconds(findings),
    }


def _near(findings: Findings, seed: int) -> dict[str, JSON]:
    """How many held-out questions resemble one trained on, and the paired result on the others alone."""
    near = near_duplicates(findings.training, findings.tasks.validate)
    rest = [task for task in findings.tasks.validate if task.id not in near]
    return {
        "count": len(near),
        "others": asdict(compare(findings.strongest.correct(rest), findings.adapted.correct(rest), seed)),
    }


def _seconds(findings: Findings) -> Mapping[str, float]:
    spent = {f"mine: {findings.probed.configuration.name}": findings.probed}
    spent |= {f"validate: {one.configuration.name}": one for one in (*findings.baselines, findings.adapted)}
    answering = {name: sum(answer.seconds for answer in one.answers.values()) for name, one in spent.items()}
    return {name: round(value, 1) for name, value in {**answering, "training": findings.trained.seconds}.items()}


def write_outcomes(findings: Findings, path: Path) -> None:
    """One row of `RouteExample` for each mined task (to fit on) and each held-out one (to measure on)."""
    write_rows(path, map(route_example_row, _route_examples(findings)))


def _route_examples(findings: Findings) -> Iterator[RouteExample]:
    served = findings.baselines[0]
    for task in findings.tasks.mine:
        yield _route_example(findings.domain, task, findings.probed, None)
    for task in findings.tasks.validate:
        yield _route_example(findings.domain, task, served, findings.adapted.grades[task.id].correct)


def _route_example(domain: str, task: Task, base: Outcomes, adapter_correct: bool | None) -> RouteExample:
    answer = base.answers[task.id]
    return RouteExample(
        messages=task.messages,
        domain=domain,
        split="fit" if adapter_correct is None else "held-out",
        answer=answer.text,
        logprobs=answer.logprobs,
        correct=base.grades[task.id].correct,
        adapter_correct=adapter_correct,
        has_schema=task.schema is not None,
    )
