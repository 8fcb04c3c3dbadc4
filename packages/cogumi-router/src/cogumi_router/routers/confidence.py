"""The `confidence` router: learns a calibrated probability that the base is right, and which domain a query is of.

It predicts whether the *base* is right, not whether an adapter would do better; `metrics` shows both on held-out rows where the
adapter's outcome is known. A router that predicts the gain itself would be another component.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from cogumi_core import JSON, InputError, RouteExample, RouterReport, RunContext, Services
from cogumi_core.formats.rows import dump_line
from cogumi_router.routers.decider import ConfidenceDecider, WatchingConfidenceDecider
from cogumi_router.routers.files import FittedRouter, load_router, save_router
from cogumi_router.routers.settings import ConfidenceSettings
from cogumi_router.signals.logprobs import Signal
from cogumi_router.signals.text import Query, query_text

STEPS = 4


class ConfidenceRouter:
    """See `cogumi_core.api.interfaces.Router`."""

    def __init__(self, settings: ConfidenceSettings, services: Services) -> None:
        self._settings = settings
        self._signal = Signal(settings.signal, settings.quantile, settings.feature)

    def fit(self, examples: Iterable[RouteExample], output: Path, run: RunContext) -> RouterReport:
        """Writes `router.json` and perhaps `gate.npz`. The order of the rows does not matter. Raises InputError: no rows, or
        none with the feature that the settings name."""
        # Fitting needs scikit-learn; opening and deciding do not, and a server should not wait for it.
        from cogumi_router.calibration.evaluation import Evaluation
        from cogumi_router.gate.learning import domains_of, fit_gate, gate_metrics

        rows = _in_order(examples)
        self._check_feature(rows)
        settings = self._settings
        evaluation = Evaluation(rows, self._signal, method=settings.calibration, threshold=settings.threshold, seed=run.seed)
        run.progress(1, STEPS, "step")
        queries = {split: _queries(rows, split) for split in ("fit", "held-out")}
        gate = fit_gate(queries["fit"])
        run.progress(2, STEPS, "step")
        domains = domains_of(queries["fit"])
        fitted = FittedRouter(self._settings.threshold, self._signal, evaluation.curve, evaluation.prior, domains, gate)
        save_router(fitted, output)
        metrics: dict[str, JSON] = {"gate": gate_metrics(gate, queries["fit"], queries["held-out"], run.seed) if gate else None}
        run.progress(3, STEPS, "step")
        report = evaluation.report(metrics)
        for note in report.metrics["notes"]:
            run.log(f"router: {note}")
        run.progress(STEPS, STEPS, "step")
        return report

    def open(self, path: Path) -> ConfidenceDecider:
        """Raises InputError: not a fitted router, damaged, or of another version."""
        router = load_router(path)
        return WatchingConfidenceDecider(router) if router.signal.name == "min" else ConfidenceDecider(router)

    def _check_feature(self, rows: Sequence[RouteExample]) -> None:
        wanted, known = self._settings.feature, sorted({name for row in rows for name in row.features})
        if wanted and wanted not in known:
            message = f"no row has the feature '{wanted}' that the router shall learn from; the rows have {known or 'none'}"
            raise InputError(message)


def _in_order(examples: Iterable[RouteExample]) -> list[RouteExample]:
    """Sorted by content, because optimisers and resampling see an order where there is none."""
    rows = sorted(examples, key=_content)
    if not rows:
        message = (
            "the router got no rows to learn from; "
            "give the recipe a modifier (its outcomes are the rows) or graded outcomes of the base"
        )
        raise InputError(message)
    return rows


def _content(row: RouteExample) -> str:
    # Numbers as text: a log-probability may be minus infinity, which is no JSON.
    numbers = {"logprobs": [*map(str, row.logprobs)], "features": {name: str(value) for name, value in row.features.items()}}
    return dump_line({**asdict(row), **numbers})


def _queries(rows: Sequence[RouteExample], split: str) -> list[Query]:
    """The distinct queries of one split, in the rows' order."""
    found = (Query(query_text(row.messages), row.domain, row.has_schema) for row in rows if row.split == split)
    return list(dict.fromkeys(found))
