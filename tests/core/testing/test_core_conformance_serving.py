"""The suites of engines, routers and executors: they pass what keeps its contract and fail what breaks one clause."""

from __future__ import annotations

import json
import math
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from conformance_support import Isolated, checks

from cogumi_core import (
    AdapterInfo,
    Component,
    GenerateRequest,
    InputError,
    OpenOptions,
    RouteDecision,
    RouteExample,
    RouteRequest,
    RouterReport,
    RunContext,
    Token,
)
from cogumi_core.api.component import Provided
from cogumi_core.executors.local import LocalExecutor, LocalSettings
from cogumi_core.testing import EngineSuite, ExecutorSuite, FakeEngine, PickyExecutor, RouterSuite, sample_routes
from cogumi_core.testing.conformance.engines import OPTIONS, ask
from cogumi_core.testing.fake_engine import FakeSession, write_fake_model

# --- engines -------------------------------------------------------------------------------------------------------------


class TestFakeEngine(Isolated, EngineSuite):
    factory = FakeEngine
    more: ClassVar[dict[str, Any]] = {"accepts": frozenset({"fake"})}

    @pytest.fixture(scope="class")
    @classmethod
    def weights(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return write_fake_model(tmp_path_factory.mktemp("fake") / "model.fake")


class Remembering(FakeSession):
    """Its answers depend on what was asked before."""

    asked = 0

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        self.asked += 1
        return super().stream(replace(request, prompt=f"{self.asked} {request.messages[-1].text}"))


class Entangled(FakeSession):
    """Its answers depend on how many are written at the same time."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.under_way = 0
        self.together = threading.Barrier(6)

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        self.under_way += 1
        self.together.wait()
        return super().stream(replace(request, prompt=f"{self.under_way} {request.messages[-1].text}"))


class Greedy(FakeSession):
    """Runs more at once than it was asked for."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.parallel = 64


class LongVectors(FakeSession):
    def embed(self, texts: Sequence[str]) -> Any:
        return super().embed(texts) * 2


class VectorsOfTheirPlace(FakeSession):
    def embed(self, texts: Sequence[str]) -> Any:
        vectors = np.zeros((len(texts), 8), dtype=np.float32)
        vectors[range(len(texts)), range(len(texts))] = 1
        return vectors


FRESH = [token.id for token in FakeSession(OPTIONS, 1).stream(ask("What is the capital of France?"))]


class Scripted(FakeSession):
    """Gives these tokens, whatever it is asked."""

    def __init__(self, *tokens: Token) -> None:
        super().__init__(OPTIONS, 1)
        self.tokens = tokens

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        return iter(self.tokens)


class Dice(FakeSession):
    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        return iter([Token(next(NUMBERS), "x", -0.1, "stop")])


class Stuck(FakeSession):
    """What a closed stream had left is the beginning of the next answer."""

    left: ClassVar[list[Token]] = []

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        tokens = [*self.left, *super().stream(request)]
        while tokens:
            self.left[:] = tokens[1:]
            yield tokens.pop(0)


class Bytes(FakeSession):
    """Loses what is not ASCII, counts the words of a prompt without its template, and scores with no distribution."""

    def detokenize(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("ascii", "replace")

    def count_prompt_tokens(self, messages: Sequence[Any]) -> int:
        return len(messages[-1].text.split())

    def score(self, tokens: Sequence[int], adapter: str | None = None) -> Any:
        return super().score(tokens) * 2


NUMBERS = count()
END = Token(1, "x", -0.1, "stop")
BYTES = Bytes(OPTIONS, 1)
BAD_SESSIONS: dict[str, tuple[str, FakeSession]] = {
    "no reason at the end": ("test_last_token_says_why", Scripted(replace(END, finish_reason=None))),
    "too many tokens": ("test_last_token_says_why", Scripted(*[replace(END, finish_reason=None)] * 5, END)),
    "probabilities": ("test_logprobs_are_logarithms_of_probabilities", Scripted(replace(END, logprob=0.9))),
    "dice": ("test_seed_decides_what_is_sampled", Dice(OPTIONS, 1)),
    "another colour": ("test_schema_is_kept", Scripted(replace(END, text='{"colour": "blue"}'))),
    "a trace": ("test_closing_a_stream_stops_it_and_leaves_no_trace", Stuck(OPTIONS, 1)),
    "no end of words": ("test_prompt_that_does_not_fit_is_an_error", Scripted(END)),
    "any adapter": ("test_unknown_adapter_is_an_error", Scripted(END)),
    "no template": ("test_prompt_is_longer_than_its_text", BYTES),
    "no distribution": ("test_score_gives_a_distribution_for_every_position", BYTES),
    "ASCII": ("test_tokens_go_back_to_the_same_text", BYTES),
    "remembers": ("test_answers_like_a_fresh_session_whatever_came_before", Remembering(OPTIONS, 1)),
    "entangled": ("test_requests_beside_each_other_do_not_change_answers", Entangled(OPTIONS, 3)),
    "greedy": ("test_says_how_many_requests_it_runs_at_once", Greedy(OPTIONS, 3)),
    "a short context": ("test_context_is_as_long_as_was_asked_for", FakeSession(OpenOptions(context_tokens=100), 1)),
}


@pytest.mark.parametrize(("check", "session"), BAD_SESSIONS.values(), ids=BAD_SESSIONS)
def test_engine_suite_notices(check: str, session: FakeSession) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        checks(EngineSuite, check, session=session, beside=session, fresh_answer=FRESH, text="naïve")


class Lenient(FakeEngine):
    """Opens whatever it is given, and has another vocabulary when it has nothing else."""

    def open(self, model: Path, options: OpenOptions) -> FakeSession:
        return Words(options, 1) if options.vocab_only else FakeSession(options, 1)


class Words(FakeSession):
    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return [len(word) for word in text.split()]


LENIENT = ["test_damaged_file_is_an_input_error", "test_missing_file_is_a_clear_error", "test_vocabulary_alone_tokenises"]


@pytest.mark.parametrize("check", LENIENT)
def test_engine_suite_notices_one_that_opens_anything(check: str, tmp_path: Path) -> None:
    weights = write_fake_model(tmp_path / "model.fake")
    (tmp_path / "damaged").mkdir()
    session = FakeSession(OPTIONS, 1)
    given = {"engine": Lenient(), "weights": weights, "session": session, "tmp_path": tmp_path / "damaged"}
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        checks(EngineSuite, check, **given)


def test_engine_suite_notices_a_component_without_formats() -> None:
    component = Component("engine", "mine", "-", config="", factory="")
    with pytest.raises(AssertionError, match="names no format"):
        checks(EngineSuite, "test_accepts_formats", provided=Provided(component, "", ""))


@pytest.mark.parametrize("kind", [LongVectors, VectorsOfTheirPlace])
def test_engine_suite_notices_vectors(kind: type[FakeSession], tmp_path: Path) -> None:
    class Engine(FakeEngine):
        def open(self, model: Path, options: OpenOptions) -> FakeSession:
            return kind(options, 1)

    with pytest.raises(AssertionError, match="vector"):
        checks(EngineSuite, "test_embeds_into_vectors_of_length_one", engine=Engine(), weights=tmp_path)


def test_fake_engine_says_what_it_was_opened_with(tmp_path: Path) -> None:
    engine, model = FakeEngine(parallel=2), write_fake_model(tmp_path / "model.fake")
    assert engine.open(model, OpenOptions(parallel=5)).parallel == 2
    assert engine.opened == [OpenOptions(parallel=5)]


# --- routers -------------------------------------------------------------------------------------------------------------


class LowestRouter:
    """Escalates what has one improbable token, to the first adapter that suits."""

    def __init__(self, settings: Any = None, services: Any = None) -> None:
        pass

    def fit(self, examples: Iterable[RouteExample], output: Path, run: RunContext) -> RouterReport:
        graded = [example for example in examples if example.correct is not None]
        fit = [example for example in graded if example.split == "fit"]
        right = [min(example.logprobs) for example in fit if example.correct]
        threshold = math.exp(sum(right) / len(right)) if right else 0.5
        (output / "router.json").write_text(json.dumps({"threshold": threshold}))
        return RouterReport(len(fit), len(graded) - len(fit), threshold, None, None, None, None)

    def open(self, path: Path) -> LowestDecider:
        return LowestDecider(json.loads((path / "router.json").read_text())["threshold"])


class LowestDecider:
    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def decide(self, request: RouteRequest) -> RouteDecision:
        confidence = math.exp(min(request.logprobs, default=0.0))
        suits = [adapter.name for adapter in request.adapters if request.has_schema or not adapter.needs_schema]
        route = suits[0] if suits and confidence < self.threshold else "base"
        return RouteDecision(route, confidence, self.threshold, "the least probable token")

    def watch(self, request: RouteRequest) -> LowestWatcher:
        return LowestWatcher(self, request)


class LowestWatcher:
    def __init__(self, decider: LowestDecider, request: RouteRequest) -> None:
        self.decider, self.request = decider, request

    def token(self, token: Token) -> RouteDecision | None:
        decision = self.decider.decide(replace(self.request, logprobs=(token.logprob,)))
        return decision if decision.route != "base" else None


class TestRouter(Isolated, RouterSuite):
    factory = LowestRouter


class Hasty(LowestDecider):
    """Decides by the first token, whatever comes after."""

    def watch(self, request: RouteRequest) -> Any:
        class First(LowestWatcher):
            def token(self, token: Token) -> RouteDecision | None:
                return self.decider.decide(replace(self.request, logprobs=(token.logprob,)))

        return First(self, request)


class Shared(LowestDecider):
    """One watcher for all answers, which sums up what it is shown."""

    def __init__(self, threshold: float) -> None:
        super().__init__(threshold)
        self.seen = 0

    def watch(self, request: RouteRequest) -> Any:
        return self

    def token(self, token: Token) -> RouteDecision | None:
        self.seen += 1
        return RouteDecision("base", 1 / self.seen, self.threshold, "tired")


class NeedsItsFeature(LowestDecider):
    def decide(self, request: RouteRequest) -> RouteDecision:
        request.features["noise"]
        return super().decide(request)


class AddsFeatures(LowestDecider):
    def decide(self, request: RouteRequest) -> RouteDecision:
        return replace(super().decide(request), confidence=1 / (1 + sum(request.features.values())))


class EscalatesIntoNothing(LowestDecider):
    def watch(self, request: RouteRequest) -> Any:
        return Nowhere(self, request)


class Nowhere(LowestWatcher):
    def token(self, token: Token) -> RouteDecision | None:
        return RouteDecision("elsewhere", 0.5, 0.5, "somewhere else")


class Nobody(LowestDecider):
    """Sends everything to an adapter, whether there is one or it suits."""

    def decide(self, request: RouteRequest) -> RouteDecision:
        return RouteDecision("nobody", 2.0, 0.5, "")


class Tired(LowestDecider):
    """Decides otherwise each time, and only in one thread at a time."""

    def decide(self, request: RouteRequest) -> RouteDecision:
        return RouteDecision("base", 1 / (1 + next(NUMBERS)), 0.5, "tired")


class NeedsTokens(LowestDecider):
    def decide(self, request: RouteRequest) -> RouteDecision:
        return RouteDecision("base", math.exp(min(request.logprobs)), 0.5, "the least probable token")


BAD_DECIDERS: dict[str, tuple[str, type[LowestDecider], type[Exception]]] = {
    "no such route": ("test_decides", Nobody, AssertionError),
    "no adapter": ("test_keeps_the_base_where_there_is_no_adapter", Nobody, AssertionError),
    "no schema": ("test_spares_adapters_that_need_a_schema", Nobody, AssertionError),
    "tired": ("test_decides_the_same_after_opening_again", Tired, AssertionError),
    "threads": ("test_serves_several_threads", Tired, AssertionError),
    "no tokens": ("test_survives_an_answer_without_tokens", NeedsTokens, ValueError),
    "hasty": ("test_early_decision_is_that_of_the_whole_answer", Hasty, AssertionError),
    "shared": ("test_watchers_do_not_disturb_each_other", Shared, AssertionError),
    "nowhere": ("test_watching_keeps_the_base_where_there_is_no_adapter", EscalatesIntoNothing, AssertionError),
    "needs": ("test_survives_a_feature_that_is_missing", NeedsItsFeature, KeyError),
    "adds": ("test_a_feature_that_it_never_saw_changes_nothing", AddsFeatures, AssertionError),
}


@pytest.mark.parametrize(("check", "decider", "error"), BAD_DECIDERS.values(), ids=BAD_DECIDERS)
def test_router_suite_notices(check: str, decider: type[LowestDecider], error: type[Exception]) -> None:
    class Router(LowestRouter):
        def open(self, path: Path) -> LowestDecider:
            return decider(0.3)

    adapters = (AdapterInfo("automation", "automation"),)
    with pytest.raises(error):
        checks(RouterSuite, check, made=Router(), make=Router, fitted=Path(), routes=sample_routes(), adapters=adapters)


class Pickled(LowestRouter):
    """Its file is a pickle and never the same; its report counts nothing; it gives up where all outcomes are alike."""

    def fit(self, examples: Iterable[RouteExample], output: Path, run: RunContext) -> RouterReport:
        if len({example.correct for example in examples}) == 1:
            message = "all alike"
            raise ZeroDivisionError(message)
        (output / "router.bin").write_bytes(pickle.dumps(next(NUMBERS)))
        return RouterReport(0, 0, 0.5, float("nan"), None, None, None)


BAD_FITS: dict[str, type[Exception]] = {
    "test_reports_what_it_learned": AssertionError,
    "test_writes_no_pickle": AssertionError,
    "test_fits_the_same_way_again": AssertionError,
    "test_one_sided_outcomes_give_a_router_or_a_clear_error": ZeroDivisionError,
}


@pytest.mark.parametrize(("check", "error"), BAD_FITS.items(), ids=BAD_FITS)
def test_router_suite_notices_a_fit(check: str, error: type[Exception], tmp_path: Path, run_context: RunContext) -> None:
    fitted = tmp_path / "fitted"
    fitted.mkdir()
    Pickled().fit(sample_routes(), fitted, run_context)
    given = {"fitted": fitted, "routes": sample_routes(), "run": run_context, "tmp_path": tmp_path, "outcome": True}
    with pytest.raises(error):
        checks(RouterSuite, check, made=Pickled(), make=Pickled, **given)


def test_router_without_a_watcher_is_not_asked_to_watch() -> None:
    class Router(LowestRouter):
        def open(self, path: Path) -> Any:
            return object()

    with pytest.raises(pytest.skip.Exception):
        checks(
            RouterSuite, "test_early_decision_is_that_of_the_whole_answer", made=Router(), fitted=Path(), routes=[], adapters=()
        )


# --- executors -----------------------------------------------------------------------------------------------------------


class TestLocalExecutor(Isolated, ExecutorSuite):
    factory = LocalExecutor
    config = LocalSettings
    settings: ClassVar[dict[str, Any]] = {"workers": 2}


class TestPickyExecutor(Isolated, ExecutorSuite):
    factory = staticmethod(lambda settings, services: PickyExecutor())


class Mapping:
    """An executor made of a function."""

    workers = 2

    def __init__(self, work: Callable[[Any, Any], Any]) -> None:
        self.map = work


def reversed_order(function: Any, items: Any) -> Iterator[Any]:
    return iter([function(item) for item in items][::-1])


def swallowing(function: Any, items: Any) -> Iterator[Any]:
    for item in items:
        try:
            yield function(item)
        except InputError:
            yield None


def all_at_once(function: Any, items: Any) -> Iterator[Any]:
    yield from [function(item) for item in items]


BAD_EXECUTORS: dict[str, Callable[[Any, Any], Any]] = {
    "test_keeps_the_order": reversed_order,
    "test_raises_what_the_work_raises": swallowing,
    "test_works_again_after_an_error": swallowing,
    "test_gives_what_came_before_an_error": all_at_once,
    "test_closing_ends_the_work": all_at_once,
    "test_nothing_in_nothing_out": lambda function, items: iter([function(1)]),
}


@pytest.mark.parametrize(("check", "work"), BAD_EXECUTORS.items(), ids=BAD_EXECUTORS)
def test_executor_suite_notices(check: str, work: Callable[[Any, Any], Any]) -> None:
    with pytest.raises((AssertionError, InputError, pytest.fail.Exception)):
        checks(ExecutorSuite, check, made=Mapping(work))


def test_executor_suite_notices_one_without_workers() -> None:
    with pytest.raises(AssertionError, match="no worker"):
        checks(ExecutorSuite, "test_has_workers", made=PickyExecutor(workers=0))
