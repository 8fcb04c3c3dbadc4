"""Asking call by call: each question paid once, answers in order, several askings beside each other, and a clear end."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from calls_support import USAGE, ScriptedTeacher, ask_for, numbered, one_by_one, opened, said
from processes import wait_until

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
from cogumi_core.api.types import Completion, Price, ToolCall, Usage
from cogumi_core.calls import PaidCalls, RetryPolicy, StageCalls
from cogumi_core.plugins.guard import GuardedTeacher, stage_running

NEVER = threading.Event()


@pytest.fixture
def stage(paid: PaidCalls) -> StageCalls:
    return paid.stage("s")


def test_answers_come_in_the_order_of_the_requests(stage: StageCalls) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: 0.05 if text == "q0" else text, concurrency=8)
    assert said(stage.ask(teacher, numbered(20)))[1:] == [f"q{number}" for number in range(1, 20)]


def test_what_was_answered_is_never_asked_again(path: Path, stage: StageCalls) -> None:
    first = list(stage.ask(ScriptedTeacher(), numbered(5)))
    again = ScriptedTeacher()
    with opened(path, root="another") as other:
        later = other.stage("t")
        assert list(later.ask(again, numbered(5))) == first
        assert (later.spend["cached"], later.spend["asked"]) == (5, 0)
    assert again.asked == []


def test_identical_requests_of_one_asking_are_asked_once_and_get_the_same_answer(stage: StageCalls) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: f"{text} {attempt}")
    assert said(stage.ask(teacher, ask_for("x", "x", "y", "x"))) == ["x 1", "x 1", "y 1", "x 1"]
    assert sorted(teacher.asked) == ["x", "y"]


def test_seeds_tell_samples_of_one_request_apart(stage: StageCalls) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: f"{text} {attempt}", concurrency=1)
    assert said(stage.ask(teacher, [*ask_for("x", seed=1), *ask_for("x", seed=2)])) == ["x 1", "x 2"]


def test_two_askings_of_the_same_at_the_same_time_pay_once(stage: StageCalls) -> None:
    both = threading.Barrier(2)
    teacher = ScriptedTeacher(lambda text, attempt: 0.01)

    def ask(_: int) -> list[str]:
        both.wait()
        return said(stage.ask(teacher, numbered(20)))

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(ask, range(2))
    assert one == other
    assert sorted(teacher.asked) == sorted(f"q{number}" for number in range(20))


def test_no_more_calls_are_under_way_than_the_teacher_allows_in_all_its_askings(stage: StageCalls) -> None:
    three = threading.Event()

    def script(text: str, attempt: int) -> threading.Event:
        if len(teacher.asked) == 3:
            three.set()
        return three

    teacher = ScriptedTeacher(script, concurrency=3)
    one, other = stage.ask(teacher, numbered(20)), stage.ask(teacher, ask_for("a", "b", "c"))
    assert len([*one, *other]) == 23
    assert teacher.most_under_way == 3


def test_requests_are_pulled_as_needed_and_not_all_at_once(stage: StageCalls) -> None:
    pulled: list[str] = []
    answers = stage.ask(ScriptedTeacher(), one_by_one(numbered(2000), pulled))
    for _ in range(300):
        next(answers)
    answers.close()
    assert len(pulled) < 300 + 300


def test_requests_are_pulled_in_the_thread_that_asks(stage: StageCalls) -> None:
    threads: set[int] = set()

    def watched() -> Iterator[object]:
        for request in numbered(5):
            threads.add(threading.get_ident())
            yield request

    list(stage.ask(ScriptedTeacher(), watched()))  # type: ignore[arg-type]
    assert threads == {threading.get_ident()}


def test_an_opened_asking_works_while_another_is_read(stage: StageCalls) -> None:
    other = ScriptedTeacher()
    other.identity = {"provider": "other"}
    done = threading.Event()
    first = ScriptedTeacher(lambda text, attempt: done)
    with closing(stage.ask(first, numbered(1))) as one, closing(stage.ask(other, numbered(30))) as two:
        wait_until(lambda: len(stage.paid.cache) == 30)  # nobody has read from `two`
        done.set()
        assert len([*one, *two]) == 31


def test_two_askings_may_be_read_in_turn(stage: StageCalls) -> None:
    one, other = stage.ask(ScriptedTeacher(), numbered(6)), stage.ask(ScriptedTeacher(), ask_for("a", "b", "c"))
    pairs = [(next(one), next(other)) for _ in range(3)]
    assert [tuple(said(pair)) for pair in pairs] == [(f"answer to q{n}", f"answer to {t}") for n, t in enumerate("abc")]
    one.close()


def test_requests_may_come_from_the_answers_of_another_asking(stage: StageCalls) -> None:
    first, second = ScriptedTeacher(), ScriptedTeacher()
    second.identity = {"provider": "second"}
    cascade = stage.ask(second, (ask_for(text)[0] for text in said(stage.ask(first, numbered(3)))))
    assert said(cascade) == [f"answer to answer to q{number}" for number in range(3)]


def test_a_guarded_teacher_is_asked_inside_a_stage(stage: StageCalls) -> None:
    with stage_running("s"):
        assert said(stage.ask(GuardedTeacher(ScriptedTeacher(), "the teacher"), numbered(1))) == ["answer to q0"]


def test_calls_of_tools_are_stored_with_the_answer(path: Path, stage: StageCalls) -> None:
    answer = Completion("", USAGE, "tool_calls", "one", (ToolCall("f", '{"x": 1}', "id"),))
    assert list(stage.ask(ScriptedTeacher(lambda text, attempt: answer), numbered(1))) == [answer]
    with opened(path) as again:
        assert list(again.stage("s").ask(ScriptedTeacher(), numbered(1))) == [answer]


def test_a_refusal_concerns_its_request_only_and_is_remembered(stage: StageCalls) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TeacherRefusal("no") if text == "q1" else text)
    for _ in range(2):
        answers = list(stage.ask(teacher, numbered(3)))
        assert isinstance(answers[1], TeacherRefusal)
        assert said(answers) == ["q0", "no", "q2"]
    assert teacher.asked.count("q1") == 1
    assert stage.spend["refused"] == 2


# --- trouble --------------------------------------------------------------------------------------------------------------


def test_a_transient_error_is_tried_again_after_at_least_retry_after(path: Path) -> None:
    waits: list[float] = []

    async def record(seconds: float) -> None:
        waits.append(seconds)

    def script(text: str, attempt: int) -> object:
        return TransientTeacherError("busy", retry_after=5.0 if attempt == 1 else None) if attempt < 4 else "ok"

    with opened(path, policy=RetryPolicy(), sleep=record, jitter=random.Random(1)) as paid:
        assert said(paid.stage("s").ask(ScriptedTeacher(script), ask_for("x"))) == ["ok"]
    assert len(waits) == 3
    assert waits[0] >= 5.0
    assert waits[1] <= 2.0
    assert waits[2] <= 4.0


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), "soon"])
def test_a_wait_that_makes_no_sense_is_left_out(stage: StageCalls, nonsense: float) -> None:
    def script(text: str, attempt: int) -> object:
        return TransientTeacherError("busy", retry_after=nonsense) if attempt == 1 else "ok"

    assert said(stage.ask(ScriptedTeacher(script), ask_for("x"))) == ["ok"]


def test_a_request_that_always_fails_is_given_up_and_the_rest_goes_on(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TransientTeacherError("500") if text == "q1" else text)
    with opened(path, policy=RetryPolicy(attempts=3, first_wait=0.0)) as paid:
        stage = paid.stage("s")
        answers = list(stage.ask(teacher, numbered(4)))
        assert isinstance(answers[1], TransientTeacherError)
        assert teacher.asked.count("q1") == 3
        list(stage.ask(teacher, numbered(4)))
        assert stage.spend["failed"] == 2
    assert (teacher.asked.count("q1"), teacher.asked.count("q2")) == (6, 1)


def test_a_teacher_that_fails_every_request_is_taken_to_be_unavailable(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TransientTeacherError("500"), concurrency=1)
    policy = RetryPolicy(attempts=2, give_up_after=3, first_wait=0.0)
    with opened(path, policy=policy) as paid, pytest.raises(TeacherUnavailable, match="3 requests in a row failed"):
        list(paid.stage("s").ask(teacher, numbered(100)))
    assert len(teacher.asked) == 6


def test_an_unavailable_teacher_ends_the_asking_with_the_answers_before_it_kept(paid: PaidCalls, stage: StageCalls) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TeacherUnavailable("bad key") if text == "q5" else text, concurrency=1)
    given: list[str] = []
    answers = stage.ask(teacher, numbered(10))
    with pytest.raises(TeacherUnavailable, match=r"^bad key$"):
        given.extend(said([answer])[0] for answer in answers)
    assert given == [f"q{number}" for number in range(5)]
    assert len(paid.cache) == 5
    assert "q6" not in teacher.asked
    assert next(answers, None) is None


def test_calls_already_sent_are_waited_for_when_the_teacher_becomes_unavailable(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TeacherUnavailable("gone") if text == "q0" else 0.1, concurrency=3)
    with opened(path, policy=RetryPolicy(grace=3600)) as paid:
        with pytest.raises(TeacherUnavailable):
            list(paid.stage("s").ask(teacher, numbered(10)))
        assert len(paid.cache) == len(teacher.asked) - 1
    assert teacher.cancelled == 0


def test_an_error_in_making_requests_keeps_what_was_answered(path: Path) -> None:
    def broken() -> Iterator[object]:
        yield from numbered(3)
        wait_until(lambda: len(teacher.asked) == 3)
        raise OSError("the file went away")

    teacher = ScriptedTeacher(lambda text, attempt: 0.02)
    with opened(path, policy=RetryPolicy(grace=3600)) as paid:
        with pytest.raises(OSError, match="the file went away"):
            list(paid.stage("s").ask(teacher, broken()))  # type: ignore[arg-type]
        assert len(paid.cache) == 3


def interrupted_run(path: Path, teacher: ScriptedTeacher, policy: RetryPolicy, at_stop: threading.Event | None = None) -> int:
    """Interrupts once the quick questions are answered, and sets `at_stop`; returns how many answers were kept."""

    def progress(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
        if len(paid.cache) >= 3:
            if at_stop is not None:
                at_stop.set()
            raise Interrupted("stop")

    with opened(path, policy=policy) as paid:
        with pytest.raises(Interrupted):
            list(paid.stage("s", progress).ask(teacher, numbered(4)))
        return len(paid.cache)


def test_an_interruption_waits_a_little_for_what_was_sent(path: Path) -> None:
    stopped = threading.Event()
    teacher = ScriptedTeacher(lambda text, attempt: stopped if text == "q3" else text, concurrency=2)
    assert interrupted_run(path, teacher, RetryPolicy(grace=3600), stopped) == 4
    assert teacher.cancelled == 0


def test_an_interruption_cancels_what_takes_too_long_and_keeps_what_was_answered(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: NEVER if text == "q3" else text, concurrency=2)
    assert interrupted_run(path, teacher, RetryPolicy(grace=0.1)) == 3
    assert (teacher.cancelled, teacher.under_way) == (1, 0)


def test_an_interruption_does_not_wait_for_another_attempt(path: Path) -> None:
    def busy(text: str, attempt: int) -> object:
        return TransientTeacherError("busy", retry_after=800.0) if text == "q3" else text

    teacher = ScriptedTeacher(busy, concurrency=2)
    assert interrupted_run(path, teacher, RetryPolicy(grace=3600)) == 3
    assert teacher.asked.count("q3") == 1


def test_closing_early_leaves_nothing_running_and_nothing_reserved(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: NEVER if text != "q0" else text, price=Price(1, 1))
    with opened(path, policy=RetryPolicy(grace=0.1)) as paid:
        answers = paid.stage("s").ask(teacher, numbered(10))
        assert said([next(answers)]) == ["q0"]
        answers.close()
        assert (teacher.under_way, paid.budget.reserved()) == (0, (0.0, 0.0))


def test_an_asking_that_is_dropped_asks_nothing_more(path: Path) -> None:
    go = threading.Event()
    teacher = ScriptedTeacher(lambda text, attempt: go if text != "q0" else text, concurrency=2)
    with opened(path, policy=RetryPolicy(grace=3600)) as paid:
        for _ in paid.stage("s").ask(teacher, numbered(50)):
            break
        go.set()
    assert len(teacher.asked) <= 3


def test_closing_the_engine_ends_its_threads(path: Path) -> None:
    with opened(path) as paid:
        list(paid.stage("s").ask(ScriptedTeacher(), numbered(2)))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cogumi-calls")]


def test_it_works_inside_a_running_event_loop(path: Path) -> None:
    async def notebook_cell() -> int:
        with opened(path) as paid:
            return len(list(paid.stage("s").ask(ScriptedTeacher(), numbered(3))))

    assert asyncio.run(notebook_cell()) == 3


def test_a_cache_that_cannot_store_ends_the_asking(paid: PaidCalls) -> None:
    paid.database.change("ALTER TABLE ledger RENAME COLUMN teacher TO other")
    teacher = ScriptedTeacher(concurrency=1)
    with pytest.raises(StoreError, match=r"cannot be used: .*teacher"):
        list(paid.stage("s").ask(teacher, numbered(50)))
    assert len(teacher.asked) == 1


# --- money ----------------------------------------------------------------------------------------------------------------

PRICE = Price(input_usd=100.0, output_usd=1000.0)
COST = (10 * 100 + 20 * 1000) / 1e6


def test_a_budget_is_never_passed_and_says_how_to_go_on(path: Path) -> None:
    teacher = ScriptedTeacher(price=PRICE, concurrency=8)
    with opened(path, usd=1.0) as paid, pytest.raises(BudgetExceeded, match=r"--max-cost"):
        list(paid.stage("s").ask(teacher, numbered(100)))
    with opened(path) as after:
        assert after.budget.spent == pytest.approx(COST * len(teacher.asked))
        assert 1.0 - 0.35 < after.budget.spent <= 1.0


def test_what_earlier_runs_of_the_recipe_spent_counts(path: Path) -> None:
    first, second = ScriptedTeacher(price=PRICE), ScriptedTeacher(price=PRICE)
    for teacher in (first, second):
        with opened(path, usd=1.0) as paid, pytest.raises(BudgetExceeded):
            list(paid.stage("s").ask(teacher, numbered(100)))
    assert first.asked
    assert second.asked == []


def test_two_recipes_of_one_name_have_budgets_of_their_own(path: Path) -> None:
    for root in ("/a/recipe.yaml", "/b/recipe.yaml"):
        teacher = ScriptedTeacher(price=PRICE)
        teacher.identity = {"provider": root}
        with opened(path, root=root, recipe="same", usd=1.0) as paid, pytest.raises(BudgetExceeded):
            list(paid.stage("s").ask(teacher, numbered(100)))
        assert len(teacher.asked) > 30


def test_max_cost_limits_this_run_alone(path: Path) -> None:
    spent = 0.0
    for _ in range(3):
        with opened(path, usd=2.0, max_cost=0.6) as paid:
            with pytest.raises(BudgetExceeded, match=r"of the \$0\.6000 that --max-cost allows"):
                list(paid.stage("s").ask(ScriptedTeacher(price=PRICE), numbered(100)))
            assert 0.2 < paid.budget.spent - spent <= 0.6
            spent = paid.budget.spent


def test_two_engines_on_one_recipe_keep_its_budget_together(path: Path) -> None:
    both = threading.Barrier(2)

    def spend(name: str) -> int:
        teacher = ScriptedTeacher(lambda text, attempt: 0.005, price=PRICE)
        teacher.identity = {"provider": name}
        with opened(path, usd=1.0) as paid:
            both.wait()
            with pytest.raises(BudgetExceeded):
                list(paid.stage(name).ask(teacher, numbered(100)))
        return len(teacher.asked)

    with ThreadPoolExecutor(2) as pool:
        asked = sum(pool.map(spend, ("a", "b")))
    with opened(path) as after:
        assert after.budget.spent == pytest.approx(COST * asked)
        assert after.budget.spent <= 1.0


def test_a_higher_budget_goes_on_where_the_run_stopped(path: Path) -> None:
    with opened(path, usd=0.5) as paid, pytest.raises(BudgetExceeded):
        list(paid.stage("s").ask(first := ScriptedTeacher(price=PRICE), numbered(40)))
    with opened(path, usd=5.0) as paid:
        assert len(list(paid.stage("s").ask(second := ScriptedTeacher(price=PRICE), numbered(40)))) == 40
    assert sorted(first.asked + second.asked) == sorted(f"q{number}" for number in range(40))


def test_stored_answers_and_free_teachers_need_no_money(path: Path) -> None:
    with opened(path) as paid:
        list(paid.stage("s").ask(ScriptedTeacher(price=PRICE), numbered(3)))
    with opened(path, usd=0.01) as paid:  # spent already, and more
        stage = paid.stage("s")
        assert len(list(stage.ask(ScriptedTeacher(price=PRICE), numbered(3)))) == 3
        assert len(list(stage.ask(ScriptedTeacher(price=Price(0, 0)), numbered(6)))) == 6


def test_every_answer_before_the_budget_ended_is_given_out(path: Path) -> None:
    given: list[str] = []
    teacher = ScriptedTeacher(lambda text, attempt: text, price=PRICE, concurrency=4)
    with opened(path, usd=0.6) as paid, pytest.raises(BudgetExceeded):
        given.extend(said([answer])[0] for answer in paid.stage("s").ask(teacher, numbered(40)))
    assert sorted(given) == sorted(teacher.asked)


@pytest.mark.parametrize("limit", [{"usd": 1.0}, {"max_cost": 1.0}])
def test_an_unknown_price_is_refused_under_a_limit(path: Path, limit: dict[str, float]) -> None:
    with opened(path, **limit) as paid, pytest.raises(UsageError, match="price of teacher 'scripted'"):
        paid.stage("s").ask(ScriptedTeacher(price=None), numbered(3))


def test_an_unknown_price_is_null_in_every_total_it_enters(stage: StageCalls) -> None:
    list(stage.ask(ScriptedTeacher(price=PRICE), ask_for("a")))
    assert stage.spend["usd"] == pytest.approx(COST)
    list(stage.ask(ScriptedTeacher(price=None), ask_for("b")))
    assert stage.spend["usd"] is None
    assert stage.spend["completion_tokens"] == 40


def test_a_priced_teacher_that_reports_no_tokens_is_charged_its_worst_case(path: Path) -> None:
    silent = ScriptedTeacher(lambda text, attempt: Completion("x", Usage(), "stop", "one"), price=PRICE)
    with opened(path, usd=1.0) as paid:
        with pytest.raises(BudgetExceeded):
            list(paid.stage("s").ask(silent, numbered(100)))
        assert [total.assumed for total in paid.totals()] == [len(silent.asked)]
    assert len(silent.asked) < 5


def test_a_failed_call_gives_back_what_was_reserved_for_it(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TeacherRefusal("no"), price=PRICE)
    with opened(path, usd=1.0) as paid:
        assert len(list(paid.stage("s").ask(teacher, numbered(100)))) == 100
        assert (paid.budget.spent, paid.budget.reserved()) == (0.0, (0.0, 0.0))


def test_totals_name_recipe_stage_teacher_and_model(paid: PaidCalls) -> None:
    list(paid.stage("distill").ask(ScriptedTeacher(price=PRICE), numbered(3)))
    (total,) = paid.totals()
    assert (total.recipe, total.stage, total.teacher, total.model) == ("some", "distill", "scripted", "one")
    assert (total.calls, total.prompt_tokens, total.completion_tokens) == (3, 30, 60)


def test_what_a_stage_spent_has_counts_tokens_and_dollars(path: Path) -> None:
    with opened(path) as paid:
        list(paid.stage("s").ask(ScriptedTeacher(price=PRICE), numbered(2)))
        assert paid.stage("nobody").spend == {}
    with opened(path) as paid:
        stage = paid.stage("s")
        list(stage.ask(ScriptedTeacher(price=PRICE), numbered(3)))
        counts = {"asked": 1, "cached": 2, "refused": 0, "failed": 0}
        tokens = {"prompt_tokens": 30, "completion_tokens": 60}
        assert stage.spend == {"usd": pytest.approx(3 * COST), **counts, **tokens}


def test_an_identity_that_holds_a_secret_is_refused_and_not_shown(path: Path) -> None:
    teacher = ScriptedTeacher()
    teacher.identity = {"provider": "x", "model": "url?key=sk-12345678"}
    with opened(path, environ={"OPENAI_API_KEY": "sk-12345678"}) as paid, pytest.raises(PluginError) as caught:
        paid.stage("s").ask(teacher, numbered(1))
    assert "OPENAI_API_KEY" in str(caught.value)
    assert "sk-12345678" not in str(caught.value)


def test_a_component_that_pays_stops_at_the_budget_before_it_is_passed(path: Path) -> None:
    dear = ScriptedTeacher(price=Price(1000.0, 2000.0))
    with opened(path, usd=0.01) as paid, stage_running("filter"), pytest.raises(BudgetExceeded):
        list(paid.stage("filter").ask(GuardedTeacher(dear, "a judge"), numbered(5)))
    assert dear.asked == []
