"""The contract of routers: learn, write plain files, decide the same way for ever."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.api.errors import CogumiError
from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import AdapterInfo, RouteDecision, RouteExample, RouteRequest, RouterReport, Token
from cogumi_core.testing.conformance.base import ComponentSuite, files_below
from cogumi_core.testing.samples import sample_routes

__all__ = ["RouterSuite"]

_PICKLE = tuple(bytes([0x80, version]) for version in range(2, 6))


class RouterSuite(ComponentSuite):
    """A router. `routes` may be replaced by outcomes of its own domains; `adapters` must then name them."""

    kind = "router"

    @pytest.fixture
    def routes(self) -> list[RouteExample]:
        return sample_routes(200)

    @pytest.fixture
    def adapters(self) -> tuple[AdapterInfo, ...]:
        return (AdapterInfo("automation", "automation", needs_schema=True),)

    @pytest.fixture
    def fitted(self, made: Any, routes: list[RouteExample], run: RunContext, tmp_path: Path) -> Path:
        """The folder of a fitted router."""
        return self._fit(made, routes, run, tmp_path / "router")[0]

    def _fit(self, made: Any, routes: list[RouteExample], run: RunContext, output: Path) -> tuple[Path, RouterReport]:
        output.mkdir()
        return output, made.fit(iter(routes), output, run)

    def test_reports_what_it_learned(self, made: Any, routes: list[RouteExample], run: RunContext, tmp_path: Path) -> None:
        _, report = self._fit(made, routes, run, tmp_path / "router")
        assert isinstance(report, RouterReport)
        assert report.n_fit > 0
        assert report.n_held_out > 0
        assert all(
            value is None or math.isfinite(value) for value in (report.auroc, report.ece, report.brier, report.escalated)
        )

    def test_writes_no_pickle(self, fitted: Path) -> None:
        files = files_below(fitted)
        assert files, "nothing was written"
        guilty = [name for name, content in files.items() if content.startswith(_PICKLE) or name.endswith((".pkl", ".joblib"))]
        assert not guilty, f"pickles run code when they are opened: {guilty}"

    def test_fits_the_same_way_again(
        self, make: Callable[[], Any], routes: list[RouteExample], run: RunContext, tmp_path: Path, fitted: Path
    ) -> None:
        again, _ = self._fit(make(), routes, run, tmp_path / "again")
        assert files_below(again) == files_below(fitted), "the same outcomes gave other files"

    def test_decides(self, made: Any, fitted: Path, routes: list[RouteExample], adapters: tuple[AdapterInfo, ...]) -> None:
        decider = made.open(fitted)
        for decision in (decider.decide(_request(route, adapters)) for route in routes):
            assert isinstance(decision, RouteDecision)
            assert decision.route in {"base", *(adapter.name for adapter in adapters)}, f"no such route: {decision.route}"
            assert 0 <= decision.confidence <= 1
            assert decision.reason, "the receipt has no reason"
            assert all(math.isfinite(value) for value in decision.signals.values())

    def test_decides_the_same_after_opening_again(
        self, make: Callable[[], Any], fitted: Path, routes: list[RouteExample], adapters: tuple[AdapterInfo, ...]
    ) -> None:
        requests = [_request(route, adapters) for route in routes]
        first, second = make().open(fitted), make().open(fitted)
        assert [first.decide(item) for item in requests] == [second.decide(item) for item in requests]

    def test_keeps_the_base_where_there_is_no_adapter(self, made: Any, fitted: Path, routes: list[RouteExample]) -> None:
        decider = made.open(fitted)
        assert {decider.decide(_request(route, ())).route for route in routes} == {"base"}

    def test_spares_adapters_that_need_a_schema(
        self, made: Any, fitted: Path, routes: list[RouteExample], adapters: tuple[AdapterInfo, ...]
    ) -> None:
        picky = tuple(replace(adapter, needs_schema=True) for adapter in adapters)
        decider = made.open(fitted)
        taken = {decider.decide(replace(_request(route, picky), has_schema=False)).route for route in routes}
        assert taken == {"base"}, "a request without a schema went to an adapter that needs one"

    def test_serves_several_threads(
        self, made: Any, fitted: Path, routes: list[RouteExample], adapters: tuple[AdapterInfo, ...]
    ) -> None:
        decider, requests = made.open(fitted), [_request(route, adapters) for route in routes]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(decider.decide, requests))
        assert together == [decider.decide(item) for item in requests], "threads disturb each other"

    def test_survives_an_answer_without_tokens(self, made: Any, fitted: Path, adapters: tuple[AdapterInfo, ...]) -> None:
        request = RouteRequest(messages=(), answer="", logprobs=(), adapters=adapters)
        assert isinstance(made.open(fitted).decide(request), RouteDecision)

    def test_a_feature_that_it_never_saw_changes_nothing(
        self, made: Any, fitted: Path, routes: list[RouteExample], adapters: tuple[AdapterInfo, ...]
    ) -> None:
        """Who serves may know more than who wrote the rows that were learned from."""
        decider, requests = made.open(fitted), [_request(route, adapters) for route in routes[:20]]
        more = [replace(item, features={**item.features, "of-tomorrow": 1e9}) for item in requests]
        assert [decider.decide(item) for item in more] == [decider.decide(item) for item in requests]

    def test_survives_a_feature_that_is_missing(
        self, made: Any, fitted: Path, routes: list[RouteExample], adapters: tuple[AdapterInfo, ...]
    ) -> None:
        for route in routes[:20]:
            decision = made.open(fitted).decide(replace(_request(route, adapters), features={}))
            assert 0 <= decision.confidence <= 1

    def test_early_decision_is_that_of_the_whole_answer(
        self, made: Any, fitted: Path, routes: list[RouteExample], adapters: tuple[AdapterInfo, ...]
    ) -> None:
        decider = _watching(made.open(fitted))
        for request in (_request(route, adapters) for route in routes):
            early, whole = _watched(decider, request), decider.decide(request)
            assert early is None or isinstance(early, RouteDecision)
            assert early is None or early.route == whole.route, (
                f"told '{early.route}' while the answer was written, '{whole.route}' once it was whole"
            )

    def test_watchers_do_not_disturb_each_other(
        self, made: Any, fitted: Path, routes: list[RouteExample], adapters: tuple[AdapterInfo, ...]
    ) -> None:
        decider, requests = _watching(made.open(fitted)), [_request(route, adapters) for route in routes[:40]]
        alone = [_watched(decider, request) for request in requests]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda request: _watched(decider, request), requests))
        assert together == alone, "answers that are written beside each other change each other's decisions"

    def test_watching_keeps_the_base_where_there_is_no_adapter(
        self, made: Any, fitted: Path, routes: list[RouteExample]
    ) -> None:
        decider = _watching(made.open(fitted))
        found = {early.route for route in routes if (early := _watched(decider, _request(route, ()))) is not None}
        assert found <= {"base"}, f"escalated to {found} where there is no adapter"

    @pytest.mark.parametrize("outcome", [True, False, None])
    def test_one_sided_outcomes_give_a_router_or_a_clear_error(
        self, made: Any, routes: list[RouteExample], run: RunContext, tmp_path: Path, outcome: bool | None
    ) -> None:
        one_sided = [replace(route, correct=outcome) for route in routes]
        try:
            output, _ = self._fit(made, one_sided, run, tmp_path / "one-sided")
        except CogumiError:
            return
        assert isinstance(made.open(output).decide(_request(routes[0], ())), RouteDecision)


def _request(route: RouteExample, adapters: tuple[AdapterInfo, ...]) -> RouteRequest:
    return RouteRequest(route.messages, route.answer, route.logprobs, adapters, route.has_schema, route.features)


def _watching(decider: Any) -> Any:
    if not callable(getattr(decider, "watch", None)):
        pytest.skip("it decides about whole answers only")
    return decider


def _watched(decider: Any, request: RouteRequest) -> RouteDecision | None:
    """The first decision while the answer of `request` is written, one token a log-probability; None where there is none."""
    watcher = decider.watch(replace(request, answer="", logprobs=()))
    last = len(request.logprobs) - 1
    for place, logprob in enumerate(request.logprobs):
        decision: RouteDecision | None = watcher.token(Token(place, "word ", logprob, "stop" if place == last else None))
        if decision is not None:
            return decision
    return None
