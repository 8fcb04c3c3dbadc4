"""Keep or escalate, and to whom; the reason is part of the promise."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from router_support import bfcl_questions, fit, general_rows, graded_rows, humaneval_prompts

from cogumi_core import AdapterInfo, InputError, Message, RecipeError, Registry, RouteDecision, RouteRequest, Token
from cogumi_router.routers.decider import ConfidenceDecider, WatchingConfidenceDecider

AUTOMATION = AdapterInfo("automation", "automation", needs_schema=True)
BOOKING = AdapterInfo("booking", "booking", needs_schema=True)
CODE = AdapterInfo("code", "code")
SURE, UNSURE = (-0.001, -0.001), (-4.0, -4.0)


@pytest.fixture(scope="module")
def decider(tmp_path_factory: pytest.TempPathFactory) -> ConfidenceDecider:
    rows = graded_rows(200) + general_rows("automation", bfcl_questions()[:80]) + general_rows("code", humaneval_prompts()[:80])
    return fit(tmp_path_factory.mktemp("router"), rows)[1]


def decide(
    decider: ConfidenceDecider,
    *adapters: AdapterInfo,
    text: str = "def add(a, b):\n    return a + b",
    logprobs: tuple[float, ...] = UNSURE,
    has_schema: bool = False,
    answer: str = "?",
) -> RouteDecision:
    return decider.decide(RouteRequest((Message("user", text),), answer, logprobs, adapters, has_schema))


def test_a_confident_answer_stays(decider: ConfidenceDecider) -> None:
    decision = decide(decider, CODE, logprobs=SURE)
    assert decision.route == "base"
    assert decision.confidence >= decision.threshold == 0.8
    assert "reaches the threshold" in decision.reason


def test_an_unsure_answer_goes_to_the_adapter_of_the_querys_domain(decider: ConfidenceDecider) -> None:
    decision = decide(decider, CODE, AUTOMATION)
    assert decision.route == "code"
    assert "domain 'code'" in decision.reason


def test_an_unsure_answer_that_no_adapter_suits_stays_and_says_so(decider: ConfidenceDecider) -> None:
    decision = decide(decider, CODE, text="What is the weather in Paris on the 4th of May, in celsius?")
    assert decision.route == "base"
    assert "no adapter is for 'automation'" in decision.reason


@pytest.mark.parametrize(("has_schema", "route"), [(True, "automation"), (False, "base")])
def test_a_schema_adapter_is_a_candidate_only_for_requests_with_a_schema(
    decider: ConfidenceDecider, has_schema: bool, route: str
) -> None:
    assert decide(decider, AUTOMATION, has_schema=has_schema).route == route


def test_of_several_schema_adapters_the_domain_chooses(decider: ConfidenceDecider) -> None:
    assert decide(decider, BOOKING, AUTOMATION, has_schema=True).route == "automation"


def test_a_request_with_a_schema_may_go_to_a_text_adapter_when_there_is_no_other(decider: ConfidenceDecider) -> None:
    assert decide(decider, CODE, has_schema=True).route == "code"


def test_a_tool_query_does_not_go_to_a_text_adapter_for_want_of_its_own(decider: ConfidenceDecider) -> None:
    assert decide(decider, CODE, text="Book a flight from Paris to Oslo on 3 May for 2 adults", has_schema=True).route == "base"


def test_without_a_schema_domains_seen_only_with_one_are_not_considered(tmp_path: Path) -> None:
    tools = [replace(row, has_schema=True) for row in general_rows("automation", bfcl_questions()[:60])]
    rows = (
        tools + general_rows("code", humaneval_prompts()[:20]) + general_rows("math", ["What is 3 times 4?", "Solve x + 2 = 5"])
    )
    _, split = fit(tmp_path, rows)
    signals = decide(split, AdapterInfo("m", "math"), text="Find the area of a triangle with a base of 10 units").signals
    assert {name for name in signals if name.startswith("domain:")} == {"domain:code", "domain:math"}


def test_several_schema_adapters_that_nothing_tells_apart_leave_the_answer(decider: ConfidenceDecider) -> None:
    other = AdapterInfo("forms", "forms", needs_schema=True)
    assert "nothing tells them apart" in decide(decider, BOOKING, other, has_schema=True).reason


def test_without_adapters_the_base_answers(decider: ConfidenceDecider) -> None:
    assert decide(decider).route == "base"


@pytest.mark.parametrize(
    ("threshold", "logprobs", "route"), [(0.0, UNSURE, "base"), (0.0, (), "base"), (1.0, SURE, "automation")]
)
def test_the_ends_of_the_threshold_always_keep_and_always_escalate(
    tmp_path: Path, threshold: float, logprobs: tuple[float, ...], route: str
) -> None:
    _, extreme = fit(tmp_path, graded_rows(100), threshold=threshold)
    assert decide(extreme, AUTOMATION, logprobs=logprobs, has_schema=True).route == route


def test_without_log_probabilities_the_share_right_stands_in(decider: ConfidenceDecider) -> None:
    decision = decide(decider, CODE, logprobs=())
    assert 0.2 < decision.confidence < 0.6
    assert "share of answers right in general" in decision.reason


def test_an_empty_answer_has_no_confidence(decider: ConfidenceDecider) -> None:
    decision = decide(decider, CODE, logprobs=(), answer=" \n")
    assert decision.confidence == 0.0
    assert "gave no answer" in decision.reason


@pytest.mark.parametrize("logprobs", [(-math.inf,), (math.nan, -1.0), (0.0,) * 10_000])
def test_odd_log_probabilities_give_a_probability(decider: ConfidenceDecider, logprobs: tuple[float, ...]) -> None:
    assert 0.0 <= decide(decider, CODE, logprobs=logprobs).confidence <= 1.0


@pytest.mark.parametrize("text", ["", " ", "🦆", "日本語のコード", "\x00", "a" * 100_000, "\ud800"])
def test_any_query_gets_a_decision(decider: ConfidenceDecider, text: str) -> None:
    assert decide(decider, CODE, text=text).route in ("base", "code")


def test_a_router_that_learned_one_domain_takes_every_query_for_it(tmp_path: Path) -> None:
    _, single = fit(tmp_path, graded_rows(60))
    assert not (tmp_path / "gate.npz").exists()
    assert decide(single, AdapterInfo("a", "automation")).route == "a"
    assert decide(single, CODE).route == "base"


def test_only_what_the_person_wrote_is_looked_at(decider: ConfidenceDecider) -> None:
    messages = (Message("system", "def f(x):\n    return x\n" * 50), Message("user", "Book a flight to Oslo for 2 adults"))
    decision = decider.decide(RouteRequest(messages, "?", UNSURE, (CODE,)))
    assert "no adapter is for 'automation'" in decision.reason


def test_threads_get_the_same_decisions(decider: ConfidenceDecider) -> None:
    texts = (bfcl_questions()[:50] + humaneval_prompts()[:50]) * 2
    alone = [decide(decider, CODE, AUTOMATION, text=text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: decide(decider, CODE, AUTOMATION, text=text), texts)) == alone


def test_a_router_can_learn_from_a_named_feature_and_decide_by_it(tmp_path: Path) -> None:
    """The outcome hangs on the feature alone; the log-probabilities say nothing."""
    rows = [
        replace(row, logprobs=(-1.0,), correct=number % 3 > 0, features={"agreement": 0.9 if number % 3 else 0.2})
        for number, row in enumerate(graded_rows(120))
    ]
    _, decider = fit(tmp_path, rows, signal="feature", feature="agreement")
    request = RouteRequest((Message("user", "?"),), "{}", (-1.0,), (AUTOMATION,), has_schema=True)
    sure, unsure = (decider.decide(replace(request, features={"agreement": value})) for value in (0.9, 0.2))
    assert (sure.route, unsure.route) == ("base", "automation")
    assert unsure.signals["agreement"] == 0.2
    assert "without feature 'agreement', the share" in decider.decide(request).reason


def test_a_feature_that_no_row_has_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no row has the feature 'agreement'.*'low_logprob', 'mean_logprob'"):
        fit(tmp_path, graded_rows(20), signal="feature", feature="agreement")


@pytest.mark.parametrize("wrong", [{"signal": "feature"}, {"feature": "agreement"}])
def test_a_feature_without_its_signal_is_a_wrong_setting(wrong: dict[str, str]) -> None:
    with pytest.raises(RecipeError, match="go together"):
        Registry.installed({}).create("router", "confidence", **wrong)


def watched(decider: ConfidenceDecider, request: RouteRequest) -> RouteDecision | None:
    """The first decision while the answer is written token by token."""
    assert isinstance(decider, WatchingConfidenceDecider)
    watcher = decider.watch(replace(request, answer="", logprobs=()))
    decisions = (watcher.token(Token(1, "x", logprob)) for logprob in request.logprobs)
    return next((decision for decision in decisions if decision is not None), None)


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_an_early_decision_is_what_the_whole_answer_leads_to(tmp_path: Path, calibration: str) -> None:
    rows = graded_rows(400)
    _, lowest = fit(tmp_path, rows, signal="min", calibration=calibration, threshold=0.5)
    routes = []
    for row in rows:
        request = RouteRequest(row.messages, row.answer, row.logprobs, (AUTOMATION,), has_schema=True)
        early, whole = watched(lowest, request), lowest.decide(request)
        assert (early.route if early else "base") == whole.route
        routes.append(whole.route)
    assert {*routes} == {"base", "automation"}


def test_an_early_decision_comes_at_the_token_that_settles_it(tmp_path: Path) -> None:
    _, lowest = fit(tmp_path, graded_rows(400), signal="min", threshold=0.5)
    request = RouteRequest((Message("user", "?"),), "", (-0.01, -0.01, -9.0, -0.01), (AUTOMATION,), has_schema=True)
    decision = watched(lowest, request)
    assert decision is not None
    assert decision.signals == {"tokens": 3.0, "min_logprob": -9.0}
    assert watched(lowest, replace(request, adapters=())) is None


def test_a_signal_that_may_rise_again_is_not_watched(decider: ConfidenceDecider) -> None:
    assert not hasattr(decider, "watch")
