"""The ledger, the budget and the claims: what was paid, what may be paid, and who is asking what."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogumi_core.api.types import CompletionRequest, Message, Price, Sampling, Tool, ToolCall, Usage
from cogumi_core.calls import Budget, CallCache, Database, Entry, Ledger, Payer, RetryPolicy, cost, worst_case
from cogumi_core.calls.claims import Claims

TEXT = st.text(st.characters(codec="utf-8"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "calls.sqlite")) as opened:
        yield opened


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def entry(root: str, stage: str, usd: float | None, run: str = "1") -> Entry:
    return Entry("k", Payer(root, "name", run, stage, "t"), "m", Usage(10, 5, 2), usd)


def claims_of(database: Database, budget: Budget) -> Claims:
    return Claims(database, CallCache(database), budget)


def test_totals_are_by_recipe_and_stage(ledger: Ledger) -> None:
    for root, stage, usd in [("a", "distill", 0.1), ("a", "distill", 0.2), ("a", "judge", 0.4), ("b", "distill", 0.8)]:
        ledger.add(entry(root, stage, usd))
    assert [(total.stage, total.calls) for total in ledger.totals()] == [("distill", 2), ("judge", 1), ("distill", 1)]
    assert ledger.spent("a") == pytest.approx(0.7)
    assert [total.usd for total in ledger.totals("b")] == [pytest.approx(0.8)]
    assert ledger.stage("a", "distill").prompt_tokens == 20


def test_an_unknown_price_is_never_shown_as_zero(ledger: Ledger) -> None:
    ledger.add(entry("a", "distill", None))
    ledger.add(entry("a", "distill", 1.0))
    assert ledger.stage("a", "distill").usd is None
    assert ledger.totals("a")[0].usd is None
    assert ledger.stage("a", "nothing").usd == 0.0


def test_cost_is_tokens_times_price_and_unknown_without_a_price() -> None:
    assert cost(Price(2.0, 10.0), Usage(500_000, 100_000, 400_000)) == pytest.approx(2.0)
    assert cost(None, Usage(1, 1)) is None


@given(TEXT, st.integers(1, 4000))
@settings(deadline=None)
def test_the_worst_case_covers_one_token_for_each_byte_and_all_of_max_tokens(text: str, max_tokens: int) -> None:
    tool: Tool = {"name": text}
    turn = Message("assistant", text, (ToolCall("f", text),))
    request = CompletionRequest((turn,), Sampling(max_tokens=max_tokens), {"title": text}, tools=(tool,))
    price = Price(1.0, 5.0)
    assert worst_case(price, request) >= cost(price, Usage(4 * len(text.encode()), max_tokens))  # type: ignore[operator]


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1), st.booleans()), max_size=30), st.floats(0, 20))
@settings(deadline=None, max_examples=20)
def test_a_budget_is_kept_whatever_the_order_of_calls(calls: list[tuple[float, float, bool]], limit: float) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(Database(Path(folder) / "calls.sqlite")) as database:
        budget, ledger = Budget(database, "r", "1", usd=limit), Ledger(database)
        claims = claims_of(database, budget)
        for number, (worst, share, fails) in enumerate(calls):
            if claims.take(str(number), worst, 60.0) is None:
                if fails and number % 3 == 0:
                    continue  # still under way
                if not fails:
                    ledger.add(entry("r", "s", worst * share))
                claims.free(str(number))
        assert budget.spent + budget.reserved()[0] <= limit + 1e-6
        claims.free_all()
        assert budget.reserved() == (0.0, 0.0)


def test_a_budget_sees_what_others_pay_and_reserve_for_the_recipe_and_nothing_else(database: Database, ledger: Ledger) -> None:
    mine, other = Budget(database, "r", "1", usd=1.0), Budget(database, "r", "2", usd=1.0)
    ledger.add(entry("r", "s", 0.3, run="2"))
    ledger.add(entry("another", "s", 0.9))
    assert claims_of(database, other).take("k", 0.5, 60.0) is None
    assert mine.spent == pytest.approx(0.3)
    assert mine.room() == pytest.approx(0.2)
    assert claims_of(database, mine).take("l", 0.3, 60.0) == "no room"


def test_max_cost_counts_this_run_alone(database: Database, ledger: Ledger) -> None:
    budget = Budget(database, "r", "1", usd=10.0, max_cost=1.0)
    ledger.add(entry("r", "s", 3.0, run="0"))
    ledger.add(entry("r", "s", 0.25, run="1"))
    assert budget.room() == pytest.approx(0.75)
    assert "$0.2500 of the $1.0000 that --max-cost allows is spent" in str(budget.exceeded(0.8))


def test_the_message_of_a_spent_budget_says_what_was_spent_and_how_to_go_on(database: Database, ledger: Ledger) -> None:
    ledger.add(entry("r", "s", 4.8))
    message = str(Budget(database, "r", "1", usd=5.0).exceeded(0.5))
    assert message.startswith("stopped before a call of at most $0.5000: $4.8000 of the budget of $5.0000 is spent. ")
    assert "--max-cost" in message


# --- claims ---------------------------------------------------------------------------------------------------------------


def test_a_call_is_claimed_by_one_at_a_time(database: Database) -> None:
    one, other = (claims_of(database, Budget(database, "r", run)) for run in "12")
    assert one.take("k", 0.0, 60.0) is None
    assert other.take("k", 0.0, 60.0) == "held"
    one.free("k")
    assert other.take("k", 0.0, 60.0) is None
    one.free("k")  # not its own any more
    assert other.held_by("k") == other.holder


@pytest.mark.parametrize(
    ("holder", "seconds"),
    [
        ("elsewhere 1 2 abc", -1.0),
        ("{host} 99999999 1 abc", 3600.0),
        ("{host} {pid} 1 abc", 3600.0),  # the number was given to another process since
    ],
)
def test_a_claim_ends_with_its_lease_or_its_process(database: Database, holder: str, seconds: float) -> None:
    claims = claims_of(database, Budget(database, "r", "1", usd=1.0))
    host, pid, *_ = claims.holder.rsplit(" ", 3)
    with database.transaction():
        claims.put("k", holder.format(host=host, pid=pid), 0.8, time.time() + seconds)
        claims.put("l", holder.format(host=host, pid=pid), 0.1, time.time() + seconds)
    assert claims.take("k", 0.9, 60.0) is None


def test_a_claim_of_another_machine_holds_as_long_as_its_lease(database: Database) -> None:
    claims = claims_of(database, Budget(database, "r", "1"))
    with database.transaction():
        claims.put("k", "elsewhere 1 2 abc", 0.0, time.time() + 3600)
    assert claims.take("k", 0.0, 60.0) == "held"


@given(st.integers(1, 40), st.one_of(st.none(), st.floats(0, 900)), st.integers())
@settings(deadline=None)
def test_a_wait_is_at_least_retry_after_and_its_jitter_is_bounded(failures: int, retry_after: float | None, seed: int) -> None:
    policy = RetryPolicy()
    wait = policy.wait(failures, retry_after, random.Random(seed))
    assert (retry_after or 0.0) <= wait <= max(retry_after or 0.0, policy.most_wait)
    assert wait <= max(retry_after or 0.0, 2.0 ** (failures - 1))
