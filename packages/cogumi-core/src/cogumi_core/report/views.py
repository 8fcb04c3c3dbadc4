"""What each section of the page shows, worked out from the data, so that the templates only place it.

Components of other makers fill `metrics` as they like: anything read from there may be missing, and then its part of the page
is too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cogumi_core.api.types import Interval, ModifierReport
from cogumi_core.report import charts
from cogumi_core.report.data import Budget, NamedModifier, NamedRouter, ReportData, StageRow, Training
from cogumi_core.report.wording import between, duration, number, percent, signed_percent, size, usd

ADAPTER, BASELINE = "with the adapter", "strongest untrained"


@dataclass(frozen=True, slots=True)
class Highlight:
    """One figure at the top; `meaning` says what it is a figure of."""

    title: str
    figure: str
    meaning: str
    good: bool | None = None


def highlights(data: ReportData) -> list[Highlight]:
    """The answers to what a person asks first: how big, how dear, how good."""
    found = [*_budget_highlights(data.budget)] if data.budget else []
    measured = [row for row in data.compression if row.fidelity]
    if measured and (last := measured[-1].fidelity):
        change = last.bits_per_byte / last.bits_per_byte_reference - 1 if last.bits_per_byte_reference else 0.0
        meaning = (
            f"bits per byte of held-out text after {measured[-1].stage}, against the uncompressed student; lower is better"
        )
        found.append(Highlight("Compression", signed_percent(change), meaning))
    for modifier in data.modifiers:
        report = modifier.report
        figure = f"{percent(report.baseline.share, 0)} → {percent(report.result.share, 0)}"
        verdict = "accepted" if report.accepted else "refused"
        meaning = f"of {report.result.n} held-out tasks solved: strongest untrained configuration, then the adapter; {verdict}"
        found.append(Highlight(f"Modifier {modifier.name}", figure, meaning, report.accepted))
    if data.router and data.router.report.escalated is not None:
        report_ = data.router.report
        meaning = f"of {report_.n_held_out} held-out answers fall below the threshold {report_.threshold:.2f}"
        found.append(Highlight("Router", percent(report_.escalated, 0), meaning))
    return found


def _budget_highlights(budget: Budget) -> Iterator[Highlight]:
    if budget.parts:
        total = sum(part.bytes for part in budget.parts)
        limit = f" the recipe allows {size(budget.limit_bytes)}" if budget.limit_bytes is not None else " no limit was set"
        within = None if budget.limit_bytes is None else total <= budget.limit_bytes
        yield Highlight("Size", size(total), f"the system as it is carried elsewhere;{limit}", within)
    limit = f"the recipe allows {usd(budget.limit_usd)}" if budget.limit_usd is not None else "no limit was set"
    within = None if budget.limit_usd is None else budget.spent_usd <= budget.limit_usd
    yield Highlight("Cost", usd(budget.spent_usd), f"paid for model calls; {limit}", within)


@dataclass(frozen=True, slots=True)
class TrainingView:
    """One plot for all curves, and a line of figures for each."""

    chart: str
    curves: Sequence[Training]
    smoothed: bool


def training_view(data: ReportData) -> TrainingView | None:
    """Trainers' curves, and those of modifiers that are not among them."""
    known = [tuple(training.losses) for training in data.trainings]
    own = (Training(item.name, item.report.losses) for item in data.modifiers)
    curves = [*data.trainings, *(training for training in own if tuple(training.losses) not in known)]
    curves = [training for training in curves if training.losses]
    if not curves:
        return None
    return TrainingView(charts.loss_curves(curves), curves, any(len(curve.losses) > charts.MANY for curve in curves))


@dataclass(frozen=True, slots=True)
class ModifierView:
    """`pairs`: (both, only the adapter, only the baseline, neither), None where the counts do not fit together."""

    name: str
    report: ModifierReport
    chart: str
    pairs: tuple[int, int, int, int] | None


def modifier_views(data: ReportData) -> list[ModifierView]:
    """One for each modifier, refused ones too."""
    return [ModifierView(item.name, item.report, _configurations(item), _pairs(item.report)) for item in data.modifiers]


def _configurations(modifier: NamedModifier) -> str:
    """All that were measured; the baseline and the adapter are added where the modifier did not list them itself."""
    report = modifier.report
    shares: dict[str, Interval] = dict(report.configurations)
    strong = next((label for label, interval in shares.items() if interval == report.result), ADAPTER)
    shares.setdefault(strong, report.result)
    if report.baseline not in shares.values():
        shares[BASELINE] = report.baseline
    return charts.configurations(modifier.name, shares, strong)


def _pairs(report: ModifierReport) -> tuple[int, int, int, int] | None:
    n = report.result.n
    both = round(report.result.share * n) - report.won
    neither = n - both - report.won - report.lost
    fits = n == report.baseline.n and min(both, neither) >= 0 and both + report.lost == round(report.baseline.share * n)
    return (both, report.won, report.lost, neither) if fits else None


_READING_ORDER = (
    "id",
    "task",
    "question",
    "prompt",
    "instruction",
    "baseline",
    "adapter",
    "answer",
    "expected",
    "reference",
    "reason",
)


def ordered(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The fields of a row as a person would read them: what was asked, what was answered, what was right, why not."""
    known = [(key, row[key]) for key in _READING_ORDER if key in row]
    return known + sorted((key, value) for key, value in row.items() if key not in _READING_ORDER)


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the router's table."""

    name: str
    value: str
    interval: str
    second: str
    meaning: str


@dataclass(frozen=True, slots=True)
class RouterView:
    """Plots are empty where there is nothing to draw; `at`, `gate`, `folds` where the router does not report them."""

    item: NamedRouter
    reliability: str
    deferral: str
    figures: Sequence[Figure]
    at: Mapping[str, Any]
    gate: Mapping[str, Any]
    folds: Mapping[str, Any]
    notes: Sequence[str]


_MEANINGS = (
    ("auroc", "AUROC", "chance that a right answer has a higher confidence than a wrong one; 0.5 is guessing, 1 is perfect"),
    ("ece", "ECE", "mean gap between stated confidence and share right, over ten bins; 0 is perfect"),
    ("brier", "Brier score", "mean squared gap between confidence and outcome; 0.25 is what always saying 0.5 gets"),
)


def router_view(item: NamedRouter) -> RouterView:
    """What the router reports about itself."""
    report = item.report
    points = _list(report.metrics, "deferral")
    return RouterView(
        item=item,
        reliability=charts.reliability(report.reliability, report.threshold) if report.reliability else "",
        deferral=charts.deferral(points, report.escalated) if points else "",
        figures=[_figure(item, *meaning) for meaning in _MEANINGS],
        at=_dict(report.metrics, "at_threshold"),
        gate=_dict(report.metrics, "gate"),
        folds=_dict(report.metrics, "cross_validated"),
        notes=[str(note) for note in _list(report.metrics, "notes")],
    )


def _figure(item: NamedRouter, key: str, name: str, meaning: str) -> Figure:
    edges = _dict(item.report.metrics, "intervals").get(key)
    interval = between((edges[0], edges[1])) if edges else ""
    second = _dict(item.report.metrics, "cross_validated").get(key)
    return Figure(name, number(getattr(item.report, key)), interval, number(second), meaning)


def _dict(metrics: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = metrics.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(metrics: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = metrics.get(key)
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


@dataclass(frozen=True, slots=True)
class SizeView:
    """Widths of the bar's segments in percent of the larger of budget and total."""

    total: int
    segments: Sequence[tuple[str, int, float]]
    limit_at: float | None


def size_view(budget: Budget) -> SizeView:
    """The parts of the system, largest first."""
    total = sum(part.bytes for part in budget.parts)
    whole = max(total, budget.limit_bytes or 0, 1)
    parts = sorted(budget.parts, key=lambda part: (-part.bytes, part.name))
    segments = [(part.name, part.bytes, round(100 * part.bytes / whole, 3)) for part in parts]
    limit_at = None if budget.limit_bytes is None else round(100 * budget.limit_bytes / whole, 3)
    return SizeView(total, segments, limit_at)


def totals(stages: Sequence[StageRow]) -> dict[str, str]:
    """The last line of the stage table."""
    return {
        "seconds": duration(sum(stage.seconds for stage in stages)),
        "prompt": f"{sum(stage.tokens_prompt for stage in stages):,}",
        "completion": f"{sum(stage.tokens_completion for stage in stages):,}",
        "usd": usd(sum(stage.usd for stage in stages)),
    }
