"""The call cache, its keys, and the database with its migrations."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from calls_support import ScriptedTeacher, numbered, opened, said
from hypothesis import given, settings
from hypothesis import strategies as st

from cogumi_core.api.errors import BudgetExceeded, PluginError, StoreError, TeacherRefusal
from cogumi_core.api.types import Completion, CompletionRequest, Message, Price, Sampling, ToolCall, Usage
from cogumi_core.calls import Call, CallCache, Database, Entry, Ledger, Payer, request_key
from cogumi_core.calls.database import MIGRATIONS, VERSION
from cogumi_core.calls.request import parsed

IDENTITY = {"provider": "p", "model": "m"}
REQUEST = CompletionRequest((Message("user", "hi"),), Sampling(temperature=0.5, seed=1))
COMPLETION = Completion("hello 😀\n", Usage(3, 4, 1), "stop", "m-1")
TEXT = st.text(st.characters(codec="utf-8"))


def call(text: str = "hi") -> Call:
    return Call(IDENTITY, CompletionRequest((Message("user", text),)))


@pytest.fixture
def cache(path: Path) -> Iterator[CallCache]:
    with closing(Database(path)) as database:
        yield CallCache(database)


@pytest.mark.parametrize(
    ("identity", "request_"),
    [
        ({**IDENTITY, "model": "n"}, REQUEST),
        (IDENTITY, replace(REQUEST, messages=(Message("system", "hi"),))),
        (IDENTITY, replace(REQUEST, messages=(Message("user", "hi "),))),
        (IDENTITY, replace(REQUEST, sampling=Sampling(temperature=0.5, seed=2))),
        (IDENTITY, replace(REQUEST, sampling=Sampling(temperature=0.5, seed=1, max_tokens=9))),
        (IDENTITY, replace(REQUEST, schema={"type": "object"})),
        (IDENTITY, replace(REQUEST, reference="r")),
        (IDENTITY, replace(REQUEST, tools=({"name": "f"},))),
        (IDENTITY, replace(REQUEST, messages=(Message("user", "hi", (ToolCall("f", "{}"),)),))),
        (IDENTITY, replace(REQUEST, messages=(Message("user", "hi", tool_call_id="1"),))),
    ],
)
def test_everything_that_determines_an_answer_changes_its_key(identity: dict[str, str], request_: CompletionRequest) -> None:
    assert request_key(identity, request_) != request_key(IDENTITY, REQUEST)


def test_a_key_is_the_same_in_every_version_of_the_program() -> None:
    # Changing how keys are made would buy every stored answer again.
    assert request_key(IDENTITY, REQUEST) == "b29b8fad763ddb90aa3deea7575078067f28672a264e6c30da1cd7b06a406020"


def test_an_identity_that_is_not_json_is_refused() -> None:
    with pytest.raises(PluginError, match=r"\$\.identity\.model: PosixPath"):
        request_key({"model": Path("x")}, REQUEST)


def test_a_request_is_read_back_from_its_text() -> None:
    turns = (Message("assistant", "", (ToolCall("f", "{}", "1"),)), Message("tool", "é", tool_call_id="1"))
    request = CompletionRequest(turns, Sampling(0.5, 0.9, 7, 3, ("a", "b")), {"type": "object"}, "r", ({"name": "f"},))
    assert parsed(Call(IDENTITY, request).text) == request
    assert parsed(Call(IDENTITY, REQUEST).text) == REQUEST


@given(text=TEXT, model=TEXT, tokens=st.integers(0, 10**9))
@settings(deadline=None, max_examples=30)
def test_an_answer_comes_back_as_it_was_put_in(text: str, model: str, tokens: int) -> None:
    answer = Completion(text, Usage(tokens, 1, 2), "length", model, (ToolCall(text, model, text),))
    with tempfile.TemporaryDirectory() as folder, closing(Database(Path(folder) / "calls.sqlite")) as database:
        CallCache(database).put(call(), answer, 0.5)
        assert CallCache(database).get(call().key) == answer


def test_what_was_never_asked_is_none(cache: CallCache) -> None:
    assert cache.get("0" * 64) is None
    assert "0" * 64 not in cache


def test_a_refusal_is_stored_and_can_be_forgotten(cache: CallCache) -> None:
    cache.put(call(), TeacherRefusal("blocked"), None)
    found = cache.get(call().key)
    assert isinstance(found, TeacherRefusal)
    assert str(found) == "blocked"
    assert cache.forget_refusals() == 1
    assert cache.get(call().key) is None


def test_the_first_answer_to_be_stored_is_the_one_that_everybody_gets(path: Path) -> None:
    with closing(Database(path)) as one, closing(Database(path)) as other:
        assert CallCache(one).put(call(), COMPLETION, None) == COMPLETION
        assert CallCache(other).put(call(), replace(COMPLETION, text="later"), None) == COMPLETION


def test_several_connections_write_at_once_without_loss(path: Path) -> None:
    def work(part: int) -> None:
        with closing(Database(path)) as database:
            for number in range(25):
                with database.transaction():
                    CallCache(database).put(call(f"{part} {number}"), COMPLETION, 0.1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    with closing(Database(path)) as database:
        assert len(CallCache(database)) == 100


def test_a_transaction_that_fails_stores_neither_answer_nor_cost(path: Path) -> None:
    with closing(Database(path)) as database:
        cache, ledger = CallCache(database), Ledger(database)

        def fail_after_both() -> None:
            with database.transaction():
                ledger.add(Entry("k", Payer("r", "n", "1", "s", "t"), "m", Usage(), 1.0))
                cache.put(call(), COMPLETION, 1.0)
                raise KeyError

        with pytest.raises(KeyError):
            fail_after_both()
        assert (len(cache), ledger.spent("r")) == (0, 0.0)


def filled(path: Path, count: int = 200) -> None:
    with closing(Database(path)) as database, database.transaction():
        for number in range(count):
            CallCache(database).put(call(str(number)), replace(COMPLETION, text="x" * 200), 0.1)


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
        Database(path)


def test_a_changed_answer_is_said_and_not_used(path: Path) -> None:
    filled(path)
    path.write_bytes(path.read_bytes().replace(b"x" * 200, b"y" * 200))
    with closing(Database(path)) as database, pytest.raises(StoreError, match=r"the answer with key \w+ changed"):
        CallCache(database).get(call("0").key)


def test_another_programs_database_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE calls (key TEXT)")
    database.close()
    with pytest.raises(StoreError, match="not a database of Cogumi"):
        Database(path)


def test_a_database_of_a_newer_version_says_to_upgrade(path: Path) -> None:
    filled(path, 1)
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(StoreError, match="pip install --upgrade cogumi-core"):
        Database(path)


# --- migrations -----------------------------------------------------------------------------------------------------------

FIRST_VERSION = """
PRAGMA journal_mode = WAL;
CREATE TABLE calls (
    key TEXT PRIMARY KEY, identity TEXT NOT NULL, request TEXT NOT NULL, sample INTEGER NOT NULL,
    outcome TEXT NOT NULL, check_sum TEXT NOT NULL, refused INTEGER NOT NULL,
    model TEXT NOT NULL, usd REAL, created TEXT NOT NULL
);
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, recipe TEXT NOT NULL, run TEXT NOT NULL, stage TEXT NOT NULL,
    teacher TEXT NOT NULL, model TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL, usd REAL, created TEXT NOT NULL
);
CREATE INDEX ledger_recipe ON ledger (recipe, stage);
PRAGMA application_id = 1131374453;
PRAGMA user_version = 1;
"""


def first_version(path: Path, key: str) -> None:
    """A store as the first version left it, with one paid answer."""
    usage = '{"cached_tokens":0,"completion_tokens":4,"prompt_tokens":3}'
    outcome = f'{{"finish_reason":"stop","model":"m-1","text":"paid for","usage":{usage}}}'
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(FIRST_VERSION)
        values = (key, "{}", "{}", 0, outcome, hashlib.sha256(outcome.encode()).hexdigest(), 0, "m-1", 0.5, "2026-01-01")
        database.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        line = (key, "some", "", "distill", "t", "m-1", 3, 4, 0, 0.5, "2026-01-01")
        database.execute("INSERT INTO ledger VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", line)


def test_a_store_of_the_first_version_keeps_its_answers_and_what_they_cost(path: Path) -> None:
    teacher = ScriptedTeacher(price=Price(1000.0, 1000.0))
    (request,) = numbered(1)
    first_version(path, request_key(teacher.identity, request))
    with opened(path, usd=0.6) as paid:
        assert said(paid.stage("s").ask(teacher, [request])) == ["paid for"]
        assert paid.budget.spent == pytest.approx(0.5)
        with pytest.raises(BudgetExceeded, match=r"\$0\.5000 of the budget of \$0\.6000 is spent"):
            list(paid.stage("s").ask(teacher, numbered(2)))
    with opened(path, recipe="another") as paid:
        assert paid.budget.spent == 0.0
    assert teacher.asked == []


def test_processes_that_open_an_old_store_at_once_migrate_it_once(path: Path) -> None:
    first_version(path, "k")

    def version(_: int) -> int:
        with closing(Database(path)) as database:
            return int(database.rows("PRAGMA user_version")[0][0])

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(version, range(4))) == {VERSION}


def test_a_new_store_and_a_migrated_one_have_the_same_tables(path: Path) -> None:
    first_version(path, "k")
    tables = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    shapes = []
    for where in (path, path.with_name("new.sqlite")):
        with closing(Database(where)) as database:
            shapes.append([(name, "".join(sql.split())) for name, sql in database.rows(tables)])
    assert shapes[0] == shapes[1]
    assert len(MIGRATIONS) == VERSION
