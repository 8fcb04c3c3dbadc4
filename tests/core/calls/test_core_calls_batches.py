"""Batches: handed over once whatever happens, taken in once whatever comes back, and Pending while they are under way."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from calls_support import AT_ONCE, ask_for, numbered, opened, said
from processes import running

from cogumi_core.api.errors import (
    BudgetExceeded,
    Pending,
    PluginError,
    TeacherRefusal,
    TeacherUnavailable,
    TransientTeacherError,
)
from cogumi_core.api.interfaces import BatchTeacher
from cogumi_core.api.types import BatchLimits, BatchState
from cogumi_core.calls import PaidCalls, cost
from cogumi_core.calls.books import Purchase
from cogumi_core.testing.batch_provider import HALF_PRICE, USAGE, FakeBatchTeacher, Moods

COST = cost(HALF_PRICE, USAGE)
A_DAY = Moods(polls=10**6, seconds=86_400.0)
QUESTIONS = [f"q{number}" for number in range(6)]


@pytest.fixture
def teacher(tmp_path: Path) -> FakeBatchTeacher:
    return FakeBatchTeacher(tmp_path / "provider")


def answers_to(texts: list[str]) -> list[str]:
    return [f"answer to {text}" for text in texts]


def test_the_fake_keeps_the_contract(teacher: FakeBatchTeacher) -> None:
    assert isinstance(teacher, BatchTeacher)


def test_answers_come_in_order_at_the_price_of_a_batch(paid: PaidCalls, teacher: FakeBatchTeacher) -> None:
    stage = paid.stage("s")
    assert said(stage.ask(replace(teacher, moods=Moods(polls=3)), numbered(6))) == answers_to(QUESTIONS)
    assert math.isclose(stage.spend["usd"], 6 * COST)  # type: ignore[operator]
    assert (stage.spend["asked"], stage.spend["prompt_tokens"]) == (6, 60)
    assert paid.pending() == []
    assert paid.budget.reserved() == (0.0, 0.0)


def test_what_was_answered_before_is_in_no_batch(paid: PaidCalls, teacher: FakeBatchTeacher) -> None:
    stage = paid.stage("s")
    list(stage.ask(replace(teacher, wants_batches=False), numbered(2)))
    assert said(stage.ask(teacher, [*numbered(4), *numbered(1)])) == answers_to(["q0", "q1", "q2", "q3", "q0"])
    assert teacher.bought() == ["q0", "q1", "q2", "q3"]
    assert (stage.spend["asked"], stage.spend["cached"]) == (4, 3)


@pytest.mark.parametrize(
    ("limits", "batches"), [(BatchLimits(requests=4), 3), (BatchLimits(bytes=4 * 160), 3), (BatchLimits(requests=10), 1)]
)
def test_batches_keep_the_providers_limits(
    paid: PaidCalls, teacher: FakeBatchTeacher, limits: BatchLimits, batches: int
) -> None:
    said(paid.stage("s").ask(replace(teacher, batch_limits=limits), numbered(10)))
    assert len(list(teacher.folder.glob("batch-*.json"))) == batches
    assert len(teacher.bought()) == 10


def test_a_request_that_no_batch_can_hold_is_refused_alone(paid: PaidCalls, teacher: FakeBatchTeacher) -> None:
    small = replace(teacher, batch_limits=BatchLimits(bytes=500))
    given = list(paid.stage("s").ask(small, ask_for("a", "long " * 200, "b")))
    assert isinstance(given[1], TeacherRefusal)
    assert said([given[0], given[2]]) == answers_to(["a", "b"])


# --- coming back later ----------------------------------------------------------------------------------------------------


def test_a_batch_that_takes_long_ends_the_run_with_the_time_to_come_back(path: Path, teacher: FakeBatchTeacher) -> None:
    slow = replace(teacher, moods=A_DAY)
    with opened(path) as paid:
        answers = paid.stage("s").ask(slow, numbered(3))
        with pytest.raises(Pending, match=r"3 requests are in a batch at 'fake-batch'.*the same command") as caught:
            next(answers)
        assert caught.value.exit_code == 4
        assert caught.value.until is not None
        assert 86_000 < (caught.value.until - datetime.now(UTC)).total_seconds() <= 86_400
        (batch,) = paid.pending()
        assert (batch.requests, batch.payer.stage, batch.id) == (3, "s", "batch-0")
        assert batch.until is not None
    with opened(path) as paid:
        assert said(paid.stage("s").ask(teacher, numbered(3))) == answers_to(QUESTIONS[:3])
        assert paid.pending() == []
    assert teacher.bought() == QUESTIONS[:3]


def test_everything_that_can_be_handed_over_is_before_the_run_ends(paid: PaidCalls, teacher: FakeBatchTeacher) -> None:
    slow = replace(teacher, moods=A_DAY, batch_limits=BatchLimits(requests=2))
    other = replace(slow, folder=teacher.folder / "other", identity={"provider": "other"})
    stage = paid.stage("s")
    one, two = stage.ask(slow, numbered(6)), stage.ask(other, numbered(4))
    for answers in (one, two):
        with pytest.raises(Pending):
            next(answers)
    assert [batch.requests for batch in paid.pending()] == [2, 2, 2, 2, 2]


def test_a_provider_that_is_nearly_done_is_waited_for_but_not_for_ever(path: Path, teacher: FakeBatchTeacher) -> None:
    never = replace(teacher, moods=Moods(polls=10**6, seconds=0.0))
    with opened(path, policy=replace(AT_ONCE, batch_wait=0.2)) as paid, pytest.raises(Pending):
        next(paid.stage("s").ask(never, numbered(1)))


def test_money_of_a_batch_under_way_counts_in_other_runs(path: Path, teacher: FakeBatchTeacher) -> None:
    with opened(path, usd=5.0) as paid, pytest.raises(Pending):
        next(paid.stage("s").ask(replace(teacher, moods=A_DAY), numbered(15)))
    with opened(path, usd=5.0) as paid:
        reserved, _ = paid.budget.reserved()
        assert 4.0 < reserved <= 5.0
        other = FakeBatchTeacher(teacher.folder / "other", wants_batches=False, identity={"provider": "other"})
        with pytest.raises(BudgetExceeded, match=r"is reserved for what is under way"):
            list(paid.stage("t").ask(other, numbered(30)))
        assert paid.budget.spent + reserved <= 5.0


def test_a_budget_too_small_for_all_hands_over_what_fits_and_goes_on_later(path: Path, teacher: FakeBatchTeacher) -> None:
    given: list[str] = []
    with opened(path, usd=1.5) as paid, pytest.raises(BudgetExceeded):
        given.extend(said([answer])[0] for answer in paid.stage("s").ask(teacher, numbered(100)))
    bought = teacher.bought()
    assert given == answers_to(bought)
    assert len(bought) >= (1.5 - 0.4) / COST  # type: ignore[operator]
    with opened(path, usd=100.0) as paid:
        assert len(list(paid.stage("s").ask(teacher, numbered(100)))) == 100
    assert sorted(teacher.bought()) == sorted(f"q{number}" for number in range(100))


def test_another_recipes_batch_is_waited_for_only_where_it_has_the_answer(path: Path, teacher: FakeBatchTeacher) -> None:
    slow = replace(teacher, moods=A_DAY)
    with opened(path, root="another") as paid, pytest.raises(Pending):
        next(paid.stage("s").ask(slow, ask_for("theirs")))
    with opened(path, usd=0.01) as paid:
        with pytest.raises(BudgetExceeded):
            next(paid.stage("s").ask(slow, ask_for("ours")))
        with pytest.raises(Pending):
            next(paid.stage("s").ask(slow, ask_for("theirs")))
    with opened(path, usd=0.01) as paid:
        assert said(paid.stage("s").ask(teacher, ask_for("theirs"))) == ["answer to theirs"]
        assert paid.budget.spent == 0.0  # it is the other recipe that pays
    assert teacher.bought() == ["theirs"]


def test_two_processes_take_a_batch_in_once(path: Path, teacher: FakeBatchTeacher) -> None:
    with opened(path) as paid, pytest.raises(Pending):
        next(paid.stage("s").ask(replace(teacher, moods=A_DAY), numbered(30)))
    both = threading.Barrier(2)

    def take_in(_: int) -> list[str]:
        with opened(path) as paid:
            answers = paid.stage("s").ask(teacher, numbered(30))
            both.wait()
            return said(answers)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(take_in, range(2))
    assert one == other == answers_to([f"q{number}" for number in range(30)])
    with opened(path) as paid:
        assert paid.totals()[0].calls == 30


def test_asking_one_by_one_takes_in_earlier_batches_and_does_not_pay_beside_them(path: Path, teacher: FakeBatchTeacher) -> None:
    slow = replace(teacher, moods=A_DAY)
    with opened(path) as paid, pytest.raises(Pending):
        next(paid.stage("s").ask(slow, numbered(2)))
    with opened(path) as paid, pytest.raises(Pending, match="2 requests of stage 's'"):
        list(paid.stage("s").ask(replace(slow, wants_batches=False), numbered(3)))
    with opened(path) as paid:
        list(paid.stage("s").ask(replace(teacher, wants_batches=False), numbered(3)))
    assert sorted(teacher.bought()) == ["q0", "q1", "q2"]


# --- misbehaviour ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", ["missing", "failed", "expired", "malformed"])
def test_an_item_without_an_answer_is_handed_over_again_alone(paid: PaidCalls, teacher: FakeBatchTeacher, mood: str) -> None:
    texts = ["a", f"[{mood}] b", "c"]
    assert said(paid.stage("s").ask(teacher, ask_for(*texts))) == answers_to(texts)
    assert teacher.bought() == [*texts, f"[{mood}] b"]


@pytest.mark.parametrize("mood", ["missing", "failed", "expired", "malformed"])
def test_an_item_that_always_fails_is_that_requests_error(paid: PaidCalls, teacher: FakeBatchTeacher, mood: str) -> None:
    stubborn = replace(teacher, moods=Moods(once=False))
    given = list(paid.stage("s").ask(stubborn, ask_for("a", f"[{mood}] b", "c")))
    assert isinstance(given[1], TransientTeacherError)
    assert "failed in 3 batches" in str(given[1])
    assert said([given[0], given[2]]) == answers_to(["a", "c"])
    assert teacher.bought().count(f"[{mood}] b") == 3
    assert paid.budget.reserved() == (0.0, 0.0)


def test_attempts_are_counted_over_runs(path: Path, teacher: FakeBatchTeacher) -> None:
    stubborn = replace(teacher, moods=Moods(polls=1, seconds=3600.0, once=False))
    errors = []
    for _ in range(10):
        with opened(path) as paid:
            try:
                errors = list(paid.stage("s").ask(stubborn, ask_for("[failed] a")))
                break
            except Pending:
                continue
    assert [type(error) for error in errors] == [TransientTeacherError]
    assert len(teacher.bought()) == 3


@pytest.mark.parametrize("ends", ["expired", "failed"])
def test_of_a_batch_that_ended_badly_what_was_answered_is_kept(paid: PaidCalls, teacher: FakeBatchTeacher, ends: str) -> None:
    texts = ["a", "[missing] b"]
    bad = replace(teacher, moods=Moods(ends=ends))
    assert said(paid.stage("s").ask(bad, ask_for(*texts))) == answers_to(texts)
    assert teacher.bought().count("a") == 1


def test_foreign_and_double_answers_are_taken_for_what_they_are(paid: PaidCalls, teacher: FakeBatchTeacher) -> None:
    notes: list[str] = []
    odd = replace(teacher, moods=Moods(foreign=True, twice=True))
    stage = paid.stage("s", log=notes.append)
    assert said(stage.ask(odd, numbered(3))) == answers_to(QUESTIONS[:3])
    assert (len(paid.cache), paid.totals()[0].calls) == (3, 3)
    assert any("answered 2 requests that batch batch-0 does not wait for" in note for note in notes)


def test_a_refusal_in_a_batch_is_remembered(paid: PaidCalls, teacher: FakeBatchTeacher) -> None:
    for _ in range(2):
        (given,) = paid.stage("s").ask(replace(teacher, moods=Moods(once=False)), ask_for("[refuse] a"))
        assert isinstance(given, TeacherRefusal)
    assert len(teacher.bought()) == 1


def test_an_answer_without_usage_costs_what_was_reserved_and_the_ledger_says_so(path: Path, teacher: FakeBatchTeacher) -> None:
    slow = replace(teacher, moods=A_DAY)
    with opened(path) as paid:
        with pytest.raises(Pending):
            next(paid.stage("s").ask(slow, ask_for("[silent] a")))
        reserved, _ = paid.budget.reserved()
    with opened(path) as paid:
        list(paid.stage("s").ask(teacher, ask_for("[silent] a")))
        (total,) = paid.totals()
        assert math.isclose(total.usd or 0.0, reserved)
        assert total.assumed == 1


def test_a_provider_that_is_busy_is_asked_again(paid: PaidCalls, teacher: FakeBatchTeacher) -> None:
    busy = replace(teacher, moods=Moods(busy=3))
    assert said(paid.stage("s").ask(busy, numbered(3))) == answers_to(QUESTIONS[:3])
    assert teacher.bought() == QUESTIONS[:3]


def test_a_provider_that_stays_busy_ends_the_run_and_the_next_one_goes_on(path: Path, teacher: FakeBatchTeacher) -> None:
    with opened(path) as paid, pytest.raises(TeacherUnavailable, match="is busy"):
        paid.stage("s").ask(replace(teacher, moods=Moods(busy=7)), numbered(3))
    with opened(path) as paid:
        assert said(paid.stage("s").ask(teacher, numbered(3))) == answers_to(QUESTIONS[:3])
    assert teacher.bought() == QUESTIONS[:3]


def test_a_provider_that_says_no_leaves_nothing_reserved(path: Path, teacher: FakeBatchTeacher) -> None:
    class Closed(FakeBatchTeacher):
        async def submit(self, requests: object, tag: str) -> str:
            raise TeacherUnavailable("the account is empty")

    with opened(path) as paid:
        with pytest.raises(TeacherUnavailable, match="the account is empty"):
            paid.stage("s").ask(Closed(teacher.folder), numbered(3))
        assert (paid.pending(), paid.budget.reserved()) == ([], (0.0, 0.0))


@pytest.mark.parametrize("unseen", [0, 2])
def test_a_batch_that_was_taken_by_a_provider_that_then_failed_is_adopted(
    paid: PaidCalls, teacher: FakeBatchTeacher, unseen: int
) -> None:
    failing = replace(teacher, moods=Moods(after_submit="raise", unseen=unseen))
    assert said(paid.stage("s").ask(failing, numbered(3))) == answers_to(QUESTIONS[:3])
    assert teacher.bought() == QUESTIONS[:3]


@pytest.mark.parametrize(
    ("method", "result", "message"),
    [
        ("submit", 7, "gave 7 as the id of a batch"),
        ("submit", KeyError("id"), "let an error of its own escape: KeyError"),
        ("find", 7, "gave 7 as the id of a batch"),
        ("poll", {"state": "ended"}, "`poll` must give a BatchState"),
        ("poll", BatchState("lost"), "`poll` must give a BatchState"),  # type: ignore[arg-type]
        ("poll", SystemExit(3), "let an error of its own escape: SystemExit"),
        ("fetch", [1, 2], "`fetch` must give answers by key"),
        ("fetch", TeacherUnavailable("no such key"), "no such key"),
    ],
)
def test_nonsense_ends_the_run_with_a_clear_error_and_the_next_one_buys_nothing_again(
    path: Path, teacher: FakeBatchTeacher, method: str, result: object, message: str
) -> None:
    async def nonsense(*_: object) -> object:
        if isinstance(result, BaseException):
            raise result
        return result

    broken = replace(teacher, moods=Moods(after_submit="raise") if method == "find" else Moods())
    setattr(broken, method, nonsense)
    with opened(path) as paid, pytest.raises((PluginError, TeacherUnavailable), match=message):
        list(paid.stage("s").ask(broken, numbered(2)))
    with opened(path) as paid:
        assert said(paid.stage("s").ask(teacher, numbered(2))) == answers_to(QUESTIONS[:2])
    assert teacher.bought() == QUESTIONS[:2]


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, "soon", None])
def test_a_wait_that_makes_no_sense_is_a_minute(path: Path, teacher: FakeBatchTeacher, seconds: float) -> None:
    odd = replace(teacher, moods=Moods(polls=10**6, seconds=seconds))
    with opened(path, policy=replace(AT_ONCE, batch_wait=1.0)) as paid, pytest.raises(Pending) as caught:
        next(paid.stage("s").ask(odd, numbered(1)))
    assert caught.value.until is not None
    assert (caught.value.until - datetime.now(UTC)).total_seconds() < 61


def test_an_unknown_price_of_a_batch_stays_unknown(paid: PaidCalls, teacher: FakeBatchTeacher) -> None:
    stage = paid.stage("s")
    list(stage.ask(replace(teacher, batch_price=None), numbered(1)))
    assert stage.spend["usd"] is None


# --- dying at the worst moment --------------------------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from calls_support import numbered, opened, said
from cogumi_core.testing.batch_provider import FakeBatchTeacher, Moods

teacher = FakeBatchTeacher(Path(sys.argv[2]), Moods(after_submit=sys.argv[3], unseen=int(sys.argv[4])))
with opened(Path(sys.argv[1]), usd=100.0) as paid:
    print(*said(paid.stage("s").ask(teacher, numbered(3))), sep="\\n")
"""


@pytest.mark.parametrize("unseen", [0, 2])
def test_a_batch_accepted_just_before_a_kill_is_adopted_and_bought_once(
    path: Path, teacher: FakeBatchTeacher, unseen: int
) -> None:
    def run(after_submit: str) -> tuple[int, list[str]]:
        support = str(Path(__file__).parents[2] / "support")
        code = f"import sys; sys.path.insert(0, {support!r})\n{RUN}"
        with running(
            *(sys.executable, "-c", code, path, teacher.folder, after_submit, unseen), stdout=subprocess.PIPE
        ) as child:
            printed, _ = child.communicate()
        return child.returncode, printed.split("\n")[:-1]

    assert run("die") == (-signal.SIGKILL, [])
    assert teacher.bought() == QUESTIONS[:3]
    assert run("die") == (0, answers_to(QUESTIONS[:3]))
    assert teacher.bought() == QUESTIONS[:3]
    with opened(path) as paid:
        assert math.isclose(paid.budget.spent, 3 * COST)  # type: ignore[operator]


def test_a_batch_that_never_reached_the_provider_is_handed_over_again(path: Path, teacher: FakeBatchTeacher) -> None:
    class Unreached(FakeBatchTeacher):
        async def submit(self, requests: object, tag: str) -> str:
            raise KeyError("the process might as well have died here")

    with opened(path) as paid, pytest.raises(PluginError):
        paid.stage("s").ask(Unreached(teacher.folder), numbered(3))
    with opened(path) as paid:
        (lost,) = paid.pending()
        assert lost.id is None
        assert said(paid.stage("s").ask(teacher, numbered(3))) == answers_to(QUESTIONS[:3])
    assert teacher.bought() == QUESTIONS[:3]


def test_failed_items_that_nobody_wants_any_more_are_not_bought_again(path: Path, teacher: FakeBatchTeacher) -> None:
    with opened(path) as paid, pytest.raises(Pending):
        next(paid.stage("s").ask(replace(teacher, moods=A_DAY), ask_for("[failed] a", "b")))
    with opened(path) as paid:
        assert said(paid.stage("s").ask(teacher, ask_for("b"))) == ["answer to b"]
        assert paid.budget.reserved() == (0.0, 0.0)
    assert teacher.bought() == ["[failed] a", "b"]


def test_a_run_that_dies_while_it_takes_a_batch_in_has_paid_for_each_answer_once(
    path: Path, teacher: FakeBatchTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogumi_core.calls.batched.ROWS_A_COMMIT", 2)
    with opened(path) as paid:
        record, left = paid.books.record, [3]

        def dying(purchase: Purchase) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return record(purchase)

        monkeypatch.setattr(paid.books, "record", dying)
        with pytest.raises(KeyboardInterrupt):
            next(paid.stage("s").ask(teacher, numbered(6)))
        assert len(paid.cache) == 2  # what one transaction held, and nothing of the one that was cut off
    with opened(path) as paid:
        assert said(paid.stage("s").ask(teacher, numbered(6))) == answers_to(QUESTIONS)
        assert paid.totals()[0].calls == 6
        assert math.isclose(paid.budget.spent, 6 * COST)  # type: ignore[operator]
    assert teacher.bought() == QUESTIONS
