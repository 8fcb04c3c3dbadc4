"""What a modifier's build found out: the gate's decision, the report, and the rows the router learns from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cogumi_core import JSON, AdapterOffer, Interval, ModifierReport, RouteExample, Task
from cogumi_core.formats.rows import route_example_row, write_rows
from cogumi_core.measure.answers import answer_features
from cogumi_core.measure.statistics import PairedResult, compare, wilson
from cogumi_modifiers.benchmarks.splits import near_duplicates
from cogumi_modifiers.domains.outcomes import Outcomes, Tasks

if TYPE_CHECKING:
    from cogumi_modifiers.domains.adapter_training import TrainedAdapter

ADAPTER: Final = "adapter.gguf"
OUTCOMES: Final = "outcomes.jsonl"
SHOWN: Final = 8
"""How many fixed and how many failing tasks a report shows."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An adapter, and its answers on the held-out tasks."""

    trained: TrainedAdapter
    outcomes: Outcomes

    @property
    def folder(self) -> str:
        return f"rank-{self.trained.rank}"


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything a build measured. `probed`: the base on the mined tasks; `baselines`: on the held-out ones, as it is served
    first."""

    domain: str
    tasks: Tasks
    training: tuple[Task, ...]
    probed: Outcomes
    baselines: Sequence[Outcomes]
    candidates: Sequence[Candidate]

    @property
    def strongest(self) -> Outcomes:
        """The untrained configuration with the most correct answers, the first of equals."""
        return max(self.baselines, key=lambda outcomes: sum(outcomes.correct(self.tasks.validate)))

    def paired(self, candidate: Candidate, tasks: Sequence[Task]) -> PairedResult:
        """The adapter against the strongest untrained configuration."""
        return compare(self.strongest.correct(tasks), candidate.outcomes.correct(tasks))

    def share(self, outcomes: Outcomes) -> Interval:
        """What of the held-out tasks was solved."""
        solved = outcomes.correct(self.tasks.validate)
        return wilson(sum(solved), len(solved))


def make_report(findings: Findings, *, alpha: float) -> ModifierReport:
    """An adapter is accepted when it solves more than the strongest untrained configuration, and chance gives such a difference
    with a probability below `alpha`, divided by the number of adapters that tried (Bonferroni). The best offer is first: of the
    accepted ones, if any, the one that solves most, of equals the smallest."""
    level = alpha / len(findings.candidates)
    offered = [(_offer(findings, candidate, level), candidate) for candidate in findings.candidates]
    offered.sort(key=lambda pair: (not pair[0].accepted, -pair[0].result.share, pair[0].bytes))
    best, tasks = offered[0][1], findings.tasks
    on_gpu = best.trained.device != "cpu"
    everything = [*findings.baselines, *(candidate.outcomes for candidate in findings.candidates)]
    return ModifierReport(
        domain=findings.domain,
        baseline=findings.share(findings.strongest),
        offers=[offer for offer, _ in offered],
        needs_schema=all(task.schema is not None for task in tasks.validate),
        losses=best.trained.losses,
        configurations={one.configuration.name: findings.share(one) for one in everything},
        fixed=_shown(findings, best, fixed=True),
        failing=_shown(findings, best, fixed=False),
        metrics={
            "tasks": {"mine": len(tasks.mine), "train": len(tasks.train), "validate": len(tasks.validate)},
            "too_long": tasks.dropped,
            "mined_failures": sum(not grade.correct for grade in findings.probed.grades.values()),
            "training_rows": len(findings.training),
            "offers": {candidate.folder: _differences(findings, candidate) for _, candidate in offered},
            "seconds": _seconds(findings),
        },
        deterministic=not on_gpu,
        why_not="GPU kernels do not add up in the same order each time" if on_gpu else "",
    )


def _offer(findings: Findings, candidate: Candidate, level: float) -> AdapterOffer:
    paired = findings.paired(candidate, findings.tasks.validate)
    counts = (
        f"{paired.won} tasks won and {paired.lost} lost against '{findings.strongest.configuration.name}', "
        f"p = {paired.p_value:.2g}"
    )
    accepted, reason = False, counts
    if paired.won <= paired.lost:
        reason = f"the adapter solves no more held-out tasks than the untrained model: {counts}"
    elif paired.p_value >= level:
        more = "more held-out tasks or more training data would tell"
        reason = f"the gain may be chance (p is not below {level:g}): {counts}; {more}"
    else:
        accepted = True
    return AdapterOffer(
        folder=candidate.folder,
        rank=candidate.trained.rank,
        bytes=candidate.trained.path.stat().st_size,
        result=findings.share(candidate.outcomes),
        won=paired.won,
        lost=paired.lost,
        p_value=paired.p_value,
        accepted=accepted,
        reason=reason,
    )


def _differences(findings: Findings, candidate: Candidate) -> dict[str, JSON]:
    """The gain with its interval; how many held-out questions resemble one trained on, and the paired result without them."""
    held_out = findings.tasks.validate
    paired = findings.paired(candidate, held_out)
    near = near_duplicates(findings.training, held_out)
    others = findings.paired(candidate, [task for task in held_out if task.id not in near])
    return {
        "difference": {"share": paired.difference, "low": paired.low, "high": paired.high},
        "near_duplicates": {"count": len(near), "others": asdict(others)},
    }


def _shown(findings: Findings, best: Candidate, *, fixed: bool) -> list[dict[str, JSON]]:
    """Tasks only the adapter solved, or tasks it failed: what was asked, what would be right, what both said."""
    before, after = findings.strongest, best.outcomes
    rows: list[dict[str, JSON]] = []
    for task in findings.tasks.validate:
        solved = after.grades[task.id].correct
        wanted = solved and not before.grades[task.id].correct if fixed else not solved
        if wanted and len(rows) < SHOWN:
            rows.append(
                {
                    "id": task.id,
                    "question": task.messages[-1].content,
                    "expected": task.reference or "",
                    "base": before.answers[task.id].text,
                    "adapter": after.answers[task.id].text,
                    "reason": after.grades[task.id].reason or before.grades[task.id].reason,
                }
            )
    return rows


def _seconds(findings: Findings) -> Mapping[str, float]:
    """Of answering, by configuration (those that ran at once count each), and of training."""
    validated = [*findings.baselines, *(candidate.outcomes for candidate in findings.candidates)]
    spent = {f"mine: {findings.probed.configuration.name}": findings.probed}
    spent |= {f"validate: {one.configuration.name}": one for one in validated}
    answering = {name: sum(answer.seconds for answer in one.answers.values()) for name, one in spent.items()}
    training = sum(candidate.trained.seconds for candidate in findings.candidates)
    return {name: round(value, 1) for name, value in {**answering, "training": training}.items()}


def write_offers(findings: Findings, output: Path) -> None:
    """A folder for each adapter, with its outcomes: one row of `RouteExample` for each mined task (to fit on) and each held-out
    one (to measure on)."""
    for candidate in findings.candidates:
        folder = output / candidate.folder
        folder.mkdir()
        shutil.copyfile(candidate.trained.path, folder / ADAPTER)
        write_rows(folder / OUTCOMES, map(route_example_row, _route_examples(findings, candidate)))


def _route_examples(findings: Findings, candidate: Candidate) -> Iterator[RouteExample]:
    served = findings.baselines[0]
    for task in findings.tasks.mine:
        yield _route_example(findings.domain, task, findings.probed, None)
    for task in findings.tasks.validate:
        yield _route_example(findings.domain, task, served, candidate.outcomes.grades[task.id].correct)


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
        features=answer_features(answer.logprobs),
    )
