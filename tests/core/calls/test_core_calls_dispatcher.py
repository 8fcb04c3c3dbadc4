"""The dispatcher: each question paid once, answers in order, and a clear end for every kind of trouble."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.api.errors import (
    BudgetExceeded,
    Interrupted,
    PluginError,
    StoreError,
    TeacherRefusal,
    TeacherUnavailable,
    TransientTeacherError,
    UsageError,
)
from cogumi_core.api.types import Completion, CompletionRequest, Message, Price, Sampling, Usage
from cogumi_core.calls import Budget, CallCache, Dispatcher, Ledger, RetryPolicy, open_dispatcher

USAGE = Usage(prompt_tokens=10, completion_tokens=20)
Script = Callable[[str, int], Any]


class ScriptedTeacher:
    """Answers by `script(text, attempt)`: text, an exception to raise, seconds to take, or an event to wait for."""

    needs_reference = False

    def __init__(self, script: Script | None = None, *, price: Price | None = None, concurrency: int = 4) -> None:
        self.identity = {"provider": "scripted", "model": "one"}
        self.price = price
        self.concurrency = concurrency
        self.asked: list[str] = []
        self.seeds: list[int | None] = []
        self.under_way = self.most_under_way = self.cancelled = 0
        self._script = script or (lambda text, attempt: f"answer to {text}")

    async def complete(self, request: CompletionRequest) -> Completion:
        text = request.messages[0].content
        self.asked.append(text)
        self.seeds.append(request.sampling.seed)
        found = self._script(text, self.asked.count(text))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(found if isinstance(found, float) else 0)
            while isinstance(found, threading.Event) and not found.is_set():
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        if isinstance(found, Exception):
            raise found
        return Completion(str(found), USAGE, "stop", "one") if isinstance(found, str | float | threading.Event) else found


def ask_for(*texts: str, **sampling: Any) -> list[tuple[str, CompletionRequest]]:
    return [(text, CompletionRequest((Message("user", text),), Sampling(**sampling))) for text in texts]


def numbered(count: int) -> list[tuple[str, CompletionRequest]]:
    return ask_for(*(f"q{number}" for number in range(count)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


@pytest.fixture
def dispatcher(path: Path) -> Iterator[Dispatcher]:
    with open_dispatcher(path, recipe="r", run="1") as opened:
        yield opened


def test_answers_come_in_the_order_of_the_requests(dispatcher: Dispatcher) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: 0.05 if text == "q0" else text, concurrency=8)
    assert [row for row, _ in dispatcher.run(teacher, numbered(20), stage="s")] == [f"q{number}" for number in range(20)]


def test_what_was_answered_is_never_asked_again(path: Path, dispatcher: Dispatcher) -> None:
    first = list(dispatcher.run(ScriptedTeacher(), numbered(5), stage="s"))
    again = ScriptedTeacher()
    with open_dispatcher(path, recipe="another", run="2") as other:
        assert list(other.run(again, numbered(5), stage="t")) == first
        assert (other.counts.hits, other.counts.asked) == (5, 0)
    assert again.asked == []


def test_the_same_request_twice_in_one_run_is_asked_once(dispatcher: Dispatcher) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: 0.02)
    request = ask_for("x")[0][1]
    answers = list(dispatcher.run(teacher, [("a", request), ("b", request)], stage="s"))
    assert [row for row, _ in answers] == ["a", "b"]
    assert teacher.asked == ["x"]


def test_no_more_calls_are_under_way_than_the_teacher_allows(dispatcher: Dispatcher) -> None:
    three = threading.Event()

    def script(text: str, attempt: int) -> threading.Event:
        if len(teacher.asked) == 3:
            three.set()
        return three

    teacher = ScriptedTeacher(script, concurrency=3)
    list(dispatcher.run(teacher, numbered(30), stage="s"))
    assert teacher.most_under_way == 3


def test_requests_are_pulled_as_needed_and_not_all_at_once(dispatcher: Dispatcher) -> None:
    pulled = 0

    def endless() -> Iterator[tuple[str, CompletionRequest]]:
        nonlocal pulled
        while True:
            pulled += 1
            yield ask_for(f"q{pulled}")[0]

    answers = dispatcher.run(ScriptedTeacher(), endless(), stage="s")
    for _ in range(300):
        next(answers)
    answers.close()
    assert pulled < 300 + 300


def test_samples_of_one_request_are_asked_separately_with_their_own_seed(dispatcher: Dispatcher) -> None:
    teacher = ScriptedTeacher(concurrency=1)
    answers = list(dispatcher.run(teacher, ask_for("x", seed=7), stage="s", samples=3))
    assert [row for row, _ in answers] == ["x", "x", "x"]
    assert teacher.seeds == [7, 8, 9]


def test_a_refusal_concerns_its_row_only_and_is_remembered(dispatcher: Dispatcher) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TeacherRefusal("no") if text == "q1" else text)
    answers = dict(dispatcher.run(teacher, numbered(3), stage="s"))
    assert isinstance(answers["q1"], TeacherRefusal)
    assert isinstance(dict(dispatcher.run(teacher, numbered(3), stage="s"))["q1"], TeacherRefusal)
    assert teacher.asked.count("q1") == 1


def with_policy(path: Path, policy: RetryPolicy, waits: list[float], *, sleep: float = 0.0) -> Dispatcher:
    async def record(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(sleep)

    cache = CallCache(path)
    return Dispatcher(cache, Ledger(cache.database), Budget(), recipe="r", policy=policy, sleep=record, jitter=random.Random(1))


def test_a_transient_error_is_tried_again_after_at_least_retry_after(path: Path) -> None:
    waits: list[float] = []
    teacher = ScriptedTeacher(
        lambda text, attempt: TransientTeacherError("busy", retry_after=5.0 if attempt == 1 else None) if attempt < 4 else "ok"
    )
    with with_policy(path, RetryPolicy(), waits) as dispatcher:
        assert [answer.text for _, answer in dispatcher.run(teacher, ask_for("x"), stage="s")] == ["ok"]  # type: ignore[union-attr]
    dispatcher.cache.close()
    assert len(waits) == 3
    assert waits[0] >= 5.0
    assert waits[1] <= 2.0
    assert waits[2] <= 4.0


def test_a_row_that_always_fails_is_given_up_and_the_rest_goes_on(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TransientTeacherError("500") if text == "q1" else text)
    with with_policy(path, RetryPolicy(attempts=3), []) as dispatcher:
        answers = dict(dispatcher.run(teacher, numbered(4), stage="s"))
        assert isinstance(answers["q1"], TransientTeacherError)
        assert teacher.asked.count("q1") == 3
        list(dispatcher.run(teacher, numbered(4), stage="s"))
    dispatcher.cache.close()
    assert teacher.asked.count("q1") == 6
    assert teacher.asked.count("q2") == 1


def test_a_teacher_that_fails_every_row_is_taken_to_be_unavailable(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TransientTeacherError("500"), concurrency=1)
    with (
        with_policy(path, RetryPolicy(attempts=2, give_up_after=3), []) as dispatcher,
        pytest.raises(TeacherUnavailable, match="3 requests in a row failed"),
    ):
        list(dispatcher.run(teacher, numbered(100), stage="s"))
    dispatcher.cache.close()
    assert len(teacher.asked) == 6


def test_an_unavailable_teacher_ends_the_run_with_the_answers_before_it_kept(dispatcher: Dispatcher) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TeacherUnavailable("bad key") if text == "q5" else text, concurrency=1)
    given: list[str] = []
    with pytest.raises(TeacherUnavailable, match="bad key"):
        given.extend(row for row, _ in dispatcher.run(teacher, numbered(10), stage="s"))
    assert len(dispatcher.cache) == 5
    assert "q6" not in teacher.asked


def test_calls_already_sent_are_waited_for_when_the_teacher_becomes_unavailable(dispatcher: Dispatcher) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TeacherUnavailable("gone") if text == "q0" else 0.3, concurrency=3)
    with pytest.raises(TeacherUnavailable):
        list(dispatcher.run(teacher, numbered(10), stage="s"))
    assert len(dispatcher.cache) == len(teacher.asked) - 1
    assert teacher.cancelled == 0


def test_an_error_of_the_teachers_own_is_a_plugin_error(dispatcher: Dispatcher) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: KeyError("choices"))
    with pytest.raises(PluginError, match=r"ScriptedTeacher let an error of its own escape: KeyError: 'choices'"):
        list(dispatcher.run(teacher, numbered(3), stage="s"))


def test_an_answer_that_is_no_completion_is_a_plugin_error(dispatcher: Dispatcher) -> None:
    with pytest.raises(PluginError, match="answered with dict"):
        list(dispatcher.run(ScriptedTeacher(lambda text, attempt: {"text": "x"}), numbered(1), stage="s"))


def test_half_a_surrogate_pair_in_an_answer_becomes_the_replacement_character(dispatcher: Dispatcher) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: Completion("a\ud83db \ud83d\ude00", USAGE, "stop", "one"))
    assert [answer.text for _, answer in dispatcher.run(teacher, ask_for("x"), stage="s")] == ["a�b 😀"]  # type: ignore[union-attr]


NEVER = threading.Event()


def interrupted_run(
    path: Path, teacher: ScriptedTeacher, grace: float, sleep: float = 0.0, at_stop: threading.Event | None = None
) -> int:
    """Interrupts once the quick questions are answered, and sets `at_stop`; returns how many answers were kept."""

    def progress(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
        if len(dispatcher.cache) >= 3:
            if at_stop is not None:
                at_stop.set()
            message = "stop"
            raise Interrupted(message)

    with with_policy(path, RetryPolicy(grace=grace), [], sleep=sleep) as dispatcher:
        with pytest.raises(Interrupted):
            list(dispatcher.run(teacher, numbered(4), stage="s", progress=progress))
        kept = len(dispatcher.cache)
    dispatcher.cache.close()
    return kept


def test_an_interruption_waits_a_little_for_what_was_sent(path: Path) -> None:
    stopped = threading.Event()
    teacher = ScriptedTeacher(lambda text, attempt: stopped if text == "q3" else text, concurrency=2)
    assert interrupted_run(path, teacher, grace=3600, at_stop=stopped) == 4
    assert teacher.cancelled == 0


def test_an_interruption_cancels_what_takes_too_long_and_keeps_what_was_answered(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: NEVER if text == "q3" else text, concurrency=2)
    assert interrupted_run(path, teacher, grace=0.1) == 3
    assert (teacher.cancelled, teacher.under_way) == (1, 0)


def test_an_interruption_does_not_wait_for_another_attempt(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TransientTeacherError("busy") if text == "q3" else text, concurrency=2)
    assert interrupted_run(path, teacher, grace=3600, sleep=3600) == 3
    assert teacher.asked.count("q3") == 1


def test_a_consumer_that_stops_early_leaves_nothing_running(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: NEVER if text != "q0" else text)
    with with_policy(path, RetryPolicy(grace=0.1), []) as dispatcher:
        answers = dispatcher.run(teacher, numbered(10), stage="s")
        assert next(answers)[0] == "q0"
        answers.close()
        assert (teacher.under_way, dispatcher.budget.idle) == (0, True)
    dispatcher.cache.close()


def test_closing_the_dispatcher_ends_its_thread(path: Path) -> None:
    with open_dispatcher(path, recipe="r") as dispatcher:
        list(dispatcher.run(ScriptedTeacher(), numbered(2), stage="s"))
    assert not [thread for thread in threading.enumerate() if thread.name == "cogumi-calls"]


def test_it_works_inside_a_running_event_loop(path: Path) -> None:
    async def notebook_cell() -> int:
        with open_dispatcher(path, recipe="r") as dispatcher:
            return len(list(dispatcher.run(ScriptedTeacher(), numbered(3), stage="s")))

    assert asyncio.run(notebook_cell()) == 3


def test_two_runs_may_be_read_in_turn(dispatcher: Dispatcher) -> None:
    one = dispatcher.run(ScriptedTeacher(), numbered(6), stage="s")
    other = dispatcher.run(ScriptedTeacher(), ask_for("a", "b", "c"), stage="s")
    assert [(next(one)[0], next(other)[0]) for _ in range(3)] == [("q0", "a"), ("q1", "b"), ("q2", "c")]


# --- money ----------------------------------------------------------------------------------------------------------------

PRICE = Price(input_usd=100.0, output_usd=1000.0)
COST = (10 * 100 + 20 * 1000) / 1e6


def test_a_budget_is_never_passed_and_says_how_to_go_on(path: Path) -> None:
    teacher = ScriptedTeacher(price=PRICE, concurrency=8)
    with open_dispatcher(path, recipe="r", usd=1.0) as dispatcher, pytest.raises(BudgetExceeded, match=r"--max-cost"):
        list(dispatcher.run(teacher, numbered(100), stage="s"))
    with open_dispatcher(path, recipe="r") as after:
        assert after.ledger.spent("r") == pytest.approx(COST * len(teacher.asked))
        assert 1.0 - 0.3 < after.ledger.spent("r") <= 1.0


def test_what_earlier_runs_spent_counts(path: Path) -> None:
    first, second = ScriptedTeacher(price=PRICE), ScriptedTeacher(price=PRICE)
    with open_dispatcher(path, recipe="r", usd=1.0) as dispatcher, pytest.raises(BudgetExceeded):
        list(dispatcher.run(first, numbered(100), stage="s"))
    with open_dispatcher(path, recipe="r", usd=1.0) as dispatcher, pytest.raises(BudgetExceeded):
        list(dispatcher.run(second, numbered(100), stage="s"))
    assert second.asked == []


def test_a_higher_budget_goes_on_where_the_run_stopped(path: Path) -> None:
    with open_dispatcher(path, recipe="r", usd=0.5) as dispatcher, pytest.raises(BudgetExceeded):
        list(dispatcher.run(first := ScriptedTeacher(price=PRICE), numbered(40), stage="s"))
    with open_dispatcher(path, recipe="r", usd=5.0) as dispatcher:
        assert len(list(dispatcher.run(second := ScriptedTeacher(price=PRICE), numbered(40), stage="s"))) == 40
    assert sorted(first.asked + second.asked) == sorted(row for row, _ in numbered(40))


def test_stored_answers_are_given_even_when_the_budget_is_spent(path: Path) -> None:
    with open_dispatcher(path, recipe="r") as dispatcher:
        list(dispatcher.run(ScriptedTeacher(price=PRICE), numbered(3), stage="s"))
    with open_dispatcher(path, recipe="r", usd=0.0) as dispatcher:
        assert len(list(dispatcher.run(ScriptedTeacher(price=PRICE), numbered(3), stage="s"))) == 3


def test_every_answer_before_the_budget_ended_is_given_out(path: Path) -> None:
    given: list[str] = []
    teacher = ScriptedTeacher(lambda text, attempt: 0.01, price=PRICE, concurrency=4)
    with open_dispatcher(path, recipe="r", usd=0.6) as dispatcher, pytest.raises(BudgetExceeded):
        given.extend(row for row, _ in dispatcher.run(teacher, numbered(40), stage="s"))
    assert sorted(given) == sorted(teacher.asked)


def test_a_free_teacher_needs_no_budget(path: Path) -> None:
    with open_dispatcher(path, recipe="r", usd=0.0) as dispatcher:
        assert len(list(dispatcher.run(ScriptedTeacher(price=Price(0, 0)), numbered(3), stage="s"))) == 3


def test_an_unknown_price_is_refused_under_a_budget(path: Path) -> None:
    with (
        open_dispatcher(path, recipe="r", usd=1.0) as dispatcher,
        pytest.raises(UsageError, match="price of teacher 'scripted'"),
    ):
        dispatcher.run(ScriptedTeacher(price=None), numbered(3), stage="s")


def test_an_unknown_price_is_null_in_every_total_it_enters(dispatcher: Dispatcher) -> None:
    list(dispatcher.run(ScriptedTeacher(price=PRICE), ask_for("a"), stage="s"))
    assert dispatcher.totals("s").usd == pytest.approx(COST)
    list(dispatcher.run(ScriptedTeacher(price=None), ask_for("b"), stage="s"))
    assert dispatcher.totals("s").usd is None
    assert dispatcher.totals("s").completion_tokens == 40


def test_a_priced_teacher_that_reports_no_tokens_is_charged_its_worst_case(path: Path) -> None:
    silent = ScriptedTeacher(lambda text, attempt: Completion("x", Usage(), "stop", "one"), price=PRICE)
    with open_dispatcher(path, recipe="r", usd=1.0) as dispatcher, pytest.raises(BudgetExceeded):
        list(dispatcher.run(silent, numbered(100), stage="s"))
    assert len(silent.asked) < 5


def test_a_failed_call_gives_back_what_was_reserved_for_it(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TeacherRefusal("no"), price=PRICE)
    with open_dispatcher(path, recipe="r", usd=1.0) as dispatcher:
        assert len(list(dispatcher.run(teacher, numbered(100), stage="s"))) == 100
        assert (dispatcher.budget.spent, dispatcher.budget.reserved) == (0.0, 0.0)


def test_the_ledger_names_recipe_run_stage_teacher_and_model(dispatcher: Dispatcher) -> None:
    list(dispatcher.run(ScriptedTeacher(price=PRICE), numbered(3), stage="distill", name="teacher-x"))
    (total,) = dispatcher.ledger.totals("r")
    assert (total.recipe, total.stage, total.teacher, total.model) == ("r", "distill", "teacher-x", "one")
    assert (total.calls, total.prompt_tokens, total.completion_tokens) == (3, 30, 60)


def test_an_identity_that_holds_a_secret_is_refused_and_not_shown(path: Path) -> None:
    teacher = ScriptedTeacher()
    teacher.identity = {"provider": "x", "model": "url?key=sk-12345678"}
    environ = {"OPENAI_API_KEY": "sk-12345678"}
    with open_dispatcher(path, recipe="r", environ=environ) as dispatcher, pytest.raises(PluginError) as caught:
        dispatcher.run(teacher, numbered(1), stage="s")
    assert "OPENAI_API_KEY" in str(caught.value)
    assert "sk-12345678" not in str(caught.value)


def test_a_cache_that_cannot_store_ends_the_run(dispatcher: Dispatcher) -> None:
    dispatcher.cache.database.change("DROP TABLE ledger")
    teacher = ScriptedTeacher(concurrency=1)
    with pytest.raises(StoreError, match="cannot be used: no such table"):
        list(dispatcher.run(teacher, numbered(50), stage="s"))
    assert len(teacher.asked) == 1
