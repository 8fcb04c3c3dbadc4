"""A system at work: who answers, what the receipt says, and what happens to a broken folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serve_support import ThrowAwayRegistry, ask, write_system

from cogumi_core.api.errors import DamagedArtifact, InputError, PluginError
from cogumi_core.api.types import RouteDecision, RouteRequest
from cogumi_serve.errors import Cancelled, PromptTooLong, UnknownModel
from cogumi_serve.system.routed import RoutedSystem

pytestmark = pytest.mark.model

Opened = Callable[..., RoutedSystem]


@pytest.fixture
def opened(tmp_path: Path, base_path: Path, adapter_paths: dict[str, Path]) -> Iterator[Opened]:
    systems = []

    def make(decide: Callable[[RouteRequest], RouteDecision] | None = None, **options: bool) -> RoutedSystem:
        router = None if decide is None else {"component": "throw-away", "path": "router", "settings": {}}
        folder = write_system(tmp_path / f"system{len(systems)}", base_path, adapter_paths, router=router, **options)
        systems.append(RoutedSystem.open(folder, ThrowAwayRegistry(decide), context_tokens=512))
        return systems[-1]

    yield make
    for system in systems:
        system.close()


def to(route: str) -> Callable[[RouteRequest], RouteDecision]:
    return lambda request: RouteDecision(route, 0.25, 0.8, f"goes to {route}", {"mean_logprob": -1.0})


def test_a_kept_answer_is_the_bases_own_and_computed_once(opened: Opened) -> None:
    system = opened(to("base"))
    kept, forced = system.answer(ask("What is rain?")), system.answer(ask("What is rain?"), "base")
    assert kept.text == forced.text
    assert kept.receipt.base_tokens == kept.usage.completion_tokens == 16
    assert kept.receipt.seconds["answer"] < kept.receipt.seconds["base"] / 5


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
        (lambda data: data.update(schema=2), "schema 2; this version reads schema 1"),
        (lambda data: data.pop("engine"), "'engine' is missing"),
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
    with pytest.raises(InputError, match="not valid JSON"):
        RoutedSystem.open(tmp_path, ThrowAwayRegistry(None))


def test_checking_first_finds_a_changed_file(tmp_path: Path, base_path: Path, adapter_paths: dict[str, Path]) -> None:
    folder = write_system(tmp_path / "system", base_path, adapter_paths)
    with pytest.raises(DamagedArtifact, match="is damaged"):
        RoutedSystem.open(folder, ThrowAwayRegistry(None), check=True)
