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
from cogumi_core.api.types import AdapterInfo, RouteDecision, RouteExample, RouteRequest, RouterReport
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
    return RouteRequest(route.messages, route.answer, route.logprobs, adapters, route.has_schema)
