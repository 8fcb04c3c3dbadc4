"""A system at work: who answers, what the receipt says, and what happens to a broken folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serve_support import GatedEngine, ThrowAwayRegistry, ask, write_system

from cogumi_core import DamagedArtifact, InputError, PluginError, RouteDecision, RouteRequest, Token, Watcher
from cogumi_core.measure.answers import answer_features
from cogumi_serve.engines.errors import PromptTooLong
from cogumi_serve.system.errors import Cancelled, UnknownModel
from cogumi_serve.system.routed import RoutedSystem

pytestmark = pytest.mark.model

Opened = Callable[..., RoutedSystem]


@pytest.fixture
def opened(tmp_path: Path, base_path: Path, adapter_paths: dict[str, Path]) -> Iterator[Opened]:
    systems = []

    def make(
        decide: Callable[[RouteRequest], RouteDecision] | None = None,
        *,
        engine: GatedEngine | None = None,
        watch: Callable[[RouteRequest], Watcher] | None = None,
        needs_schema: bool = False,
    ) -> RoutedSystem:
        folder = tmp_path / f"system{len(systems)}"
        write_system(folder, base_path, adapter_paths, router=decide is not None, needs_schema=needs_schema)
        systems.append(RoutedSystem.open(folder, ThrowAwayRegistry(decide, engine, watch), context_tokens=512))
        return systems[-1]

    yield make
    for system in systems:
        system.close()


def to(route: str) -> Callable[[RouteRequest], RouteDecision]:
    return lambda request: RouteDecision(route, 0.25, 0.8, f"goes to {route}", {"mean_logprob": -1.0})


def test_a_kept_answer_is_the_bases_own_and_computed_once(opened: Opened) -> None:
    engine = GatedEngine()
    system = opened(to("base"), engine=engine)
    kept = system.answer(ask("What is rain?"))
    assert kept.receipt.base_tokens == kept.usage.completion_tokens == engine.decoded == 16
    assert kept.text == system.answer(ask("What is rain?"), "base").text


def test_an_escalated_answer_is_the_adapters(opened: Opened) -> None:
    system = opened(to("alpha"))
    answer, forced = system.answer(ask("What is rain?")), system.answer(ask("What is rain?"), "alpha")
    assert answer.text == forced.text != system.answer(ask("What is rain?"), "base").text
    assert (answer.receipt.route, answer.receipt.requested, answer.receipt.confidence) == ("alpha", "auto", 0.25)
    assert answer.receipt.first_token_ms is not None


def test_the_receipt_of_a_forced_model_has_no_confidence(opened: Opened) -> None:
    receipt = opened(to("alpha")).answer(ask("What is rain?"), "beta").receipt
    assert (receipt.route, receipt.requested, receipt.confidence, receipt.base_tokens) == ("beta", "beta", None, 0)


def test_without_a_router_the_base_answers_and_the_receipt_says_why(opened: Opened) -> None:
    receipt = opened().answer(ask("What is rain?")).receipt
    assert receipt.route == "base"
    assert "no router" in receipt.reason
    assert receipt.base_tokens_per_second is not None


def test_the_router_sees_the_bases_answer_and_only_adapters_that_suit(opened: Opened) -> None:
    seen: list[RouteRequest] = []

    def decide(request: RouteRequest) -> RouteDecision:
        seen.append(request)
        return RouteDecision("base", 0.9, 0.8, "sure")

    system = opened(decide, needs_schema=True)
    plain = system.answer(ask("What is rain?"))
    system.answer(ask("What is rain?", schema={"type": "integer"}))
    assert seen[0].answer == plain.text
    assert len(seen[0].logprobs) == 16
    assert seen[0].features == answer_features(seen[0].logprobs)
    assert [[info.name for info in request.adapters] for request in seen] == [[], ["alpha", "beta"]]
    assert [request.has_schema for request in seen] == [False, True]


def test_a_modifier_for_tools_refuses_a_plain_question(opened: Opened) -> None:
    with pytest.raises(InputError, match="'alpha' only answers requests with tools or a JSON schema"):
        opened(needs_schema=True).answer(ask("hi"), "alpha")


def test_an_unknown_model_is_named_with_those_there_are(opened: Opened) -> None:
    with pytest.raises(UnknownModel, match="no model 'gamma'; it has auto, base, alpha, beta"):
        opened().answer(ask("hi"), "gamma")


def test_a_router_that_fails_is_named_as_the_cause(opened: Opened) -> None:
    def fail(request: RouteRequest) -> RouteDecision:
        message = "out of order"
        raise ZeroDivisionError(message)

    with pytest.raises(PluginError, match="router of this system failed: ZeroDivisionError: out of order"):
        opened(fail).answer(ask("hi"))
    with pytest.raises(PluginError, match="chose 'nowhere', which it was not offered"):
        opened(to("nowhere")).answer(ask("hi"))


def test_a_request_nobody_waits_for_stops_after_one_token(opened: Opened) -> None:
    asked = []
    with pytest.raises(Cancelled):
        opened(to("base")).begin(ask("Count.", max_tokens=300), cancelled=lambda: asked.append(1) or True)
    assert len(asked) == 1


def test_a_prompt_that_is_too_long_says_how_long(opened: Opened) -> None:
    with pytest.raises(PromptTooLong, match=r"the prompt has 2,\d{3} tokens, the context holds 512"):
        opened().answer(ask("word " * 2000))


def break_manifest(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("base"), "not that of a system"),
        (lambda data: data.update(schema=1), "schema 1; this version reads schema 2"),
        (lambda data: data.pop("engine"), "'engine' is missing"),
        (lambda data: data.update(engine="llama-cpp"), "'engine' is missing or not a dict"),
        (lambda data: data["engine"].pop("use"), "'use' is missing"),
        (lambda data: data.update(files=[{"path": "base/model.gguf", "size": 5, "sha256": ""}]), "bytes instead of 5"),
        (lambda data: data["modifiers"][0].update(path="/etc/passwd"), "leads out of the system folder"),
        (lambda data: data["base"].update(path="../../etc/passwd"), "leads out of the system folder"),
        (lambda data: data["base"].update(path="base/other.gguf"), "lists base/other.gguf, which is not there"),
        (lambda data: data["modifiers"][0].update(name="base"), "none of them 'auto' or 'base'"),
        (lambda data: data.update(router=3), "'router' must be an object or null"),
    ],
)
def test_a_wrong_manifest_says_what_is_wrong(
    tmp_path: Path, base_path: Path, adapter_paths: dict[str, Path], change: Callable[[dict[str, object]], object], said: str
) -> None:
    folder = write_system(tmp_path / "system", base_path, adapter_paths)
    break_manifest(folder, change)
    with pytest.raises(InputError, match=said):
        RoutedSystem.open(folder, ThrowAwayRegistry(None))


def test_a_folder_that_is_no_system_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a system folder: it has no manifest\.json\. Expected is the folder `system`"):
        RoutedSystem.open(tmp_path, ThrowAwayRegistry(None))
    (tmp_path / "manifest.json").write_bytes(b"\x00\xff")
    with pytest.raises(InputError, match=r"not text in UTF-8.*build the system again"):
        RoutedSystem.open(tmp_path, ThrowAwayRegistry(None))


def test_checking_first_finds_a_changed_file(tmp_path: Path, base_path: Path, adapter_paths: dict[str, Path]) -> None:
    folder = write_system(tmp_path / "system", base_path, adapter_paths)
    with pytest.raises(DamagedArtifact, match="differs from its manifest"):
        RoutedSystem.open(folder, ThrowAwayRegistry(None), check=True)


def test_the_engine_is_the_manifests_with_its_settings(tmp_path: Path, base_path: Path, adapter_paths: dict[str, Path]) -> None:
    folder = write_system(tmp_path / "system", base_path, adapter_paths)
    break_manifest(folder, lambda data: data.update(engine={"use": "another", "with": {"depth": 3}}))
    registry = ThrowAwayRegistry()
    RoutedSystem.open(folder, registry).close()
    assert registry.asked_for == [("engine", "another", {"depth": 3})]


class DecidesAt:
    """A watcher that decides at the token of this number."""

    def __init__(self, number: int, route: str) -> None:
        self._number, self._route = number, route
        self.seen: list[Token] = []

    def token(self, token: Token) -> RouteDecision | None:
        self.seen.append(token)
        if len(self.seen) < self._number:
            return None
        return RouteDecision(self._route, 0.1, 0.8, "told early", {"tokens": float(len(self.seen))})


def watching(watcher: DecidesAt, questions: list[RouteRequest] | None = None) -> Callable[[RouteRequest], DecidesAt]:
    def watch(request: RouteRequest) -> DecidesAt:
        if questions is not None:
            questions.append(request)
        return watcher

    return watch


def never(request: RouteRequest) -> RouteDecision:
    message = "it was asked about a whole answer"
    raise AssertionError(message)


def test_a_router_that_watches_stops_the_bases_answer_and_escalates(opened: Opened) -> None:
    engine, watcher, questions = GatedEngine(), DecidesAt(3, "alpha"), list[RouteRequest]()
    system = opened(never, engine=engine, watch=watching(watcher, questions))
    answer = system.answer(ask("What is rain?"))
    assert (answer.receipt.route, answer.receipt.reason, answer.receipt.base_tokens) == ("alpha", "told early", 3)
    # Three tokens of the base, and then the adapter's sixteen: the rest of the base's answer was never computed.
    assert (len(watcher.seen), engine.decoded) == (3, 3 + 16)
    assert answer.text == system.answer(ask("What is rain?"), "alpha").text
    assert [(question.answer, question.logprobs) for question in questions] == [("", ())]


def test_an_answer_that_is_kept_early_is_released_while_it_is_written(opened: Opened) -> None:
    engine = GatedEngine()
    system = opened(never, engine=engine, watch=watching(DecidesAt(3, "base")))
    reply = system.begin(ask("What is rain?"))
    assert (reply.receipt.route, engine.decoded) == ("base", 3)
    text = "".join(token.text for token in reply)
    assert (engine.decoded, reply.usage.completion_tokens) == (16, 16)
    assert text == system.answer(ask("What is rain?"), "base").text


def test_a_reply_that_nobody_reads_frees_the_engine_when_it_is_closed(opened: Opened) -> None:
    system = opened(never, watch=watching(DecidesAt(2, "base")))
    system.begin(ask("What is rain?")).close()
    assert system.answer(ask("What is rain?"), "base").text


def test_a_watcher_that_does_not_decide_leaves_it_to_the_whole_answer(opened: Opened) -> None:
    system = opened(to("beta"), watch=watching(DecidesAt(1000, "alpha")))
    receipt = system.answer(ask("What is rain?")).receipt
    assert (receipt.route, receipt.base_tokens) == ("beta", 16)


def test_a_watcher_that_fails_is_named_as_the_cause_and_the_engine_is_free_again(opened: Opened) -> None:
    system = opened(never, watch=watching(DecidesAt(2, "nowhere")))
    with pytest.raises(PluginError, match="chose 'nowhere', which it was not offered"):
        system.answer(ask("What is rain?"))
    assert system.answer(ask("What is rain?"), "base").text
