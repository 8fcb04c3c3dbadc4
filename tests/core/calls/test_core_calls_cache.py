"""The call cache, its keys, the ledger and the budget."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogumi_core.api.errors import BudgetExceeded, PluginError, StoreError, TeacherRefusal
from cogumi_core.api.types import Completion, CompletionRequest, Message, Price, Sampling, Usage
from cogumi_core.calls import Budget, Call, CallCache, Entry, Ledger, RetryPolicy, cost, request_key, worst_case

IDENTITY = {"provider": "p", "model": "m"}
REQUEST = CompletionRequest((Message("user", "hi"),), Sampling(temperature=0.5, seed=1))
COMPLETION = Completion("hello 😀\n", Usage(3, 4, 1), "stop", "m-1")
TEXT = st.text(st.characters(codec="utf-8"))


def call(text: str = "hi", sample: int = 0) -> Call:
    request = CompletionRequest((Message("user", text),))
    return Call(request_key(IDENTITY, request, sample), IDENTITY, request, sample)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


@pytest.mark.parametrize(
    ("identity", "request_", "sample"),
    [
        ({**IDENTITY, "model": "n"}, REQUEST, 0),
        (IDENTITY, replace(REQUEST, messages=(Message("system", "hi"),)), 0),
        (IDENTITY, replace(REQUEST, messages=(Message("user", "hi "),)), 0),
        (IDENTITY, replace(REQUEST, sampling=Sampling(temperature=0.5, seed=2)), 0),
        (IDENTITY, replace(REQUEST, sampling=Sampling(temperature=0.5, seed=1, max_tokens=9)), 0),
        (IDENTITY, replace(REQUEST, schema={"type": "object"}), 0),
        (IDENTITY, replace(REQUEST, reference="r"), 0),
        (IDENTITY, REQUEST, 1),
    ],
)
def test_everything_that_determines_an_answer_changes_its_key(
    identity: dict[str, str], request_: CompletionRequest, sample: int
) -> None:
    assert request_key(identity, request_, sample) != request_key(IDENTITY, REQUEST)


def test_a_key_is_the_same_in_every_version_of_the_program() -> None:
    # Changing how keys are made would buy every stored answer again.
    assert request_key(IDENTITY, REQUEST) == "b29b8fad763ddb90aa3deea7575078067f28672a264e6c30da1cd7b06a406020"


def test_an_identity_that_is_not_json_is_refused() -> None:
    with pytest.raises(PluginError, match=r"\$\.identity\.model: PosixPath"):
        request_key({"model": Path("x")}, REQUEST)


@given(text=TEXT, model=TEXT, tokens=st.integers(0, 10**9))
@settings(deadline=None)
def test_an_answer_comes_back_as_it_was_put_in(text: str, model: str, tokens: int) -> None:
    answer = Completion(text, Usage(tokens, 1, 2), "length", model)
    with tempfile.TemporaryDirectory() as folder, closing(CallCache(Path(folder) / "calls.sqlite")) as cache:
        cache.put(call(), answer, 0.5)
        assert cache.get(call().key) == answer


def test_what_was_never_asked_is_none(path: Path) -> None:
    assert CallCache(path).get("0" * 64) is None


def test_a_refusal_is_stored_and_can_be_forgotten(path: Path) -> None:
    cache = CallCache(path)
    cache.put(call(), TeacherRefusal("blocked"), None)
    found = cache.get(call().key)
    assert isinstance(found, TeacherRefusal)
    assert str(found) == "blocked"
    assert cache.forget_refusals() == 1
    assert cache.get(call().key) is None


def test_the_first_answer_to_be_stored_is_the_one_that_everybody_gets(path: Path) -> None:
    one, other = CallCache(path), CallCache(path)
    assert one.put(call(), COMPLETION, None) == COMPLETION
    assert other.put(call(), replace(COMPLETION, text="later"), None) == COMPLETION


def test_several_connections_write_at_once_without_loss(path: Path) -> None:
    def work(part: int) -> None:
        cache = CallCache(path)
        for number in range(25):
            with cache.database.transaction():
                cache.put(call(f"{part} {number}"), COMPLETION, 0.1)
        cache.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(CallCache(path)) == 100


def test_a_transaction_that_fails_stores_neither_answer_nor_cost(path: Path) -> None:
    cache = CallCache(path)
    ledger = Ledger(cache.database)

    def fail_after_both() -> None:
        with cache.database.transaction():
            ledger.add(entry("r", "s", 1.0))
            cache.put(call(), COMPLETION, 1.0)
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_both()
    assert (len(cache), ledger.spent("r")) == (0, 0.0)


def filled(path: Path, count: int = 200) -> None:
    cache = CallCache(path)
    with cache.database.transaction():
        for number in range(count):
            cache.put(call(str(number)), replace(COMPLETION, text="x" * 200), 0.1)
    cache.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"this is not a database, it is a text" * 200,
        lambda data: data[: len(data) // 2],
        lambda data: data[:8192] + b"\0" * 8192 + data[16384:],
        lambda data: data[:8192] + random.Random(1).randbytes(8192) + data[16384:],
    ],
    ids=["empty", "text", "half", "zeroed page", "random page"],
)
def test_a_damaged_database_is_said_and_never_taken_for_an_empty_cache(path: Path, damage: object) -> None:
    filled(path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(StoreError, match=r"is damaged \(.*\); nothing was asked\. Put back a copy"):
        CallCache(path)


def test_a_changed_answer_is_said_and_not_used(path: Path) -> None:
    filled(path)
    path.write_bytes(path.read_bytes().replace(b"x" * 200, b"y" * 200))
    cache = CallCache(path)
    with pytest.raises(StoreError, match=r"the answer with key \w+ changed"):
        cache.get(call("0").key)
    cache.close()


def test_another_programs_database_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE calls (key TEXT)")
    database.close()
    with pytest.raises(StoreError, match="not a database of Cogumi"):
        CallCache(path)


def test_a_database_of_a_newer_version_says_to_upgrade(path: Path) -> None:
    filled(path, 1)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(StoreError, match="pip install --upgrade cogumi-core"):
        CallCache(path)


# --- ledger and budget ----------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(CallCache(path).database)


def entry(recipe: str, stage: str, usd: float | None) -> Entry:
    return Entry("k", recipe, "1", stage, "t", "m", Usage(10, 5, 2), usd)


def test_totals_are_by_recipe_and_stage(ledger: Ledger) -> None:
    for recipe, stage, usd in [("a", "distill", 0.1), ("a", "distill", 0.2), ("a", "judge", 0.4), ("b", "distill", 0.8)]:
        ledger.add(entry(recipe, stage, usd))
    assert [(total.recipe, total.stage, total.calls) for total in ledger.totals()] == [
        ("a", "distill", 2),
        ("a", "judge", 1),
        ("b", "distill", 1),
    ]
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
    request = CompletionRequest((Message("user", text),), Sampling(max_tokens=max_tokens))
    price = Price(1.0, 5.0)
    assert worst_case(price, request) >= cost(price, Usage(len(text.encode()), max_tokens))  # type: ignore[operator]


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1), st.booleans()), max_size=50), st.floats(0, 20))
@settings(deadline=None)
def test_a_budget_is_kept_whatever_the_order_of_calls(calls: list[tuple[float, float, bool]], limit: float) -> None:
    budget = Budget(limit)
    for worst, share, fails in calls:
        if not budget.fits(worst):
            with pytest.raises(BudgetExceeded):
                budget.reserve(worst)
            continue
        budget.reserve(worst)
        if fails:
            budget.release(worst)
        else:
            budget.settle(worst, worst * share)
    assert budget.spent <= limit + 1e-6
    assert budget.reserved == 0.0


def test_the_message_of_a_spent_budget_says_what_was_spent_and_how_to_go_on() -> None:
    with pytest.raises(BudgetExceeded, match=r"at most \$0\.5000: \$4\.8000 of the budget of \$5\.0000 is spent.*--max-cost"):
        Budget(5.0, 4.8).reserve(0.5)


@given(st.integers(1, 40), st.one_of(st.none(), st.floats(0, 900)), st.integers())
@settings(deadline=None)
def test_a_wait_is_at_least_retry_after_and_its_jitter_is_bounded(failures: int, retry_after: float | None, seed: int) -> None:
    policy = RetryPolicy()
    wait = policy.wait(failures, retry_after, random.Random(seed))
    assert (retry_after or 0.0) <= wait <= max(retry_after or 0.0, policy.most_wait)
    assert wait <= max(retry_after or 0.0, 2.0 ** (failures - 1))
