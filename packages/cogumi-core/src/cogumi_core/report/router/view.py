"""What the page shows of a router.

Routers of other makers fill `metrics` as they like: anything read from there may be missing, and then its part of the page
is too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cogumi_core.api.types import RouterReport
from cogumi_core.report.router.charts import deferral, reliability
from cogumi_core.report.wording import between, number


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table: on held-out rows with its interval, and `second` by cross-validation."""

    name: str
    value: str
    interval: str
    second: str
    meaning: str


@dataclass(frozen=True, slots=True)
class RouterView:
    """Plots are empty where there is nothing to draw; `at`, `gate`, `folds` where the router does not report them."""

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


def router_view(report: RouterReport) -> RouterView:
    points = _list(report.metrics, "deferral")
    return RouterView(
        reliability=reliability(report.reliability, report.threshold) if report.reliability else "",
        deferral=deferral(points, report.escalated) if points else "",
        figures=[_figure(report, *meaning) for meaning in _MEANINGS],
        at=_dict(report.metrics, "at_threshold"),
        gate=_dict(report.metrics, "gate"),
        folds=_dict(report.metrics, "cross_validated"),
        notes=[str(note) for note in _list(report.metrics, "notes")],
    )


def _figure(report: RouterReport, key: str, name: str, meaning: str) -> Figure:
    edges = _dict(report.metrics, "intervals").get(key)
    interval = between((edges[0], edges[1])) if edges else ""
    second = _dict(report.metrics, "cross_validated").get(key)
    return Figure(name, number(getattr(report, key)), interval, number(second), meaning)


def _dict(metrics: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = metrics.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(metrics: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = metrics.get(key)
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()
