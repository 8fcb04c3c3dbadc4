"""Teachers that break their contract in every way we know: the run ends, says why, pays nothing twice and keeps what it has."""

from __future__ import annotations

import asyncio
import errno
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from calls_support import AT_ONCE, USAGE, ScriptedTeacher, numbered, opened, said
from processes import running

from cogumi_core.api.errors import (
    CogumiError,
    InputError,
    PluginError,
    StoreError,
    TeacherError,
    TeacherRefusal,
    TeacherUnavailable,
    TransientTeacherError,
)
from cogumi_core.api.types import Completion, CompletionRequest, Price, Usage
from cogumi_core.calls import RetryPolicy

PRICE = Price(100.0, 1000.0)


def from_itself(exc: BaseException) -> BaseException:
    exc.__cause__ = exc
    return exc


def in_a_ring(exc: BaseException) -> BaseException:
    other = KeyError("inner")
    exc.__cause__, other.__cause__ = other, exc
    return exc


Made = Callable[[], Any]
FATAL: dict[str, tuple[Made, type[CogumiError], str]] = {
    "unavailable": (lambda: TeacherUnavailable("bad key"), TeacherUnavailable, "^bad key$"),
    "unavailable from itself": (lambda: from_itself(TeacherUnavailable("bad key")), TeacherUnavailable, "^bad key$"),
    "unavailable in a ring": (lambda: in_a_ring(TeacherUnavailable("bad key")), TeacherUnavailable, "^bad key$"),
    "plugin error": (lambda: PluginError("no contract"), PluginError, "^no contract$"),
    "other of ours": (lambda: InputError("no such file"), InputError, "^no such file$"),
    "an SDK's": (lambda: KeyError("choices"), PluginError, "scripted let an error of its own escape: KeyError: 'choices'"),
    "an SDK's in a ring": (lambda: in_a_ring(ValueError("x")), PluginError, "escape: ValueError: x"),
    "a full disk": (lambda: OSError(errno.ENOSPC, "No space left"), PluginError, "escape: OSError"),
    "system exit": (lambda: SystemExit(3), PluginError, "escape: SystemExit: 3"),
    "keyboard interrupt": (KeyboardInterrupt, PluginError, "escape: KeyboardInterrupt"),
    "cancelled": (asyncio.CancelledError, PluginError, "scripted cancelled its own call"),
    "stop iteration": (StopAsyncIteration, PluginError, "escape: StopAsyncIteration"),
    "a dict": (lambda: {"text": "x"}, PluginError, "scripted answered with dict.*is in the ledger"),
    "nothing": (lambda: None, PluginError, "answered with NoneType"),
    "text None": (lambda: Completion(None, USAGE, "stop", "m"), PluginError, "whose text is NoneType"),  # type: ignore[arg-type]
    "tool_calls of dicts": (
        lambda: Completion("", USAGE, "stop", "m", ({"name": "f"},)),  # type: ignore[arg-type]
        PluginError,
        "whose tool_calls are no tuple of ToolCall",
    ),
}


@pytest.mark.parametrize("kind", FATAL)
@pytest.mark.parametrize("moment", [0, 2, 5])
def test_what_is_fatal_ends_the_run_with_its_own_message_and_keeps_every_answer(path: Path, kind: str, moment: int) -> None:
    make, error, message = FATAL[kind]
    bad = ScriptedTeacher(lambda text, attempt: make() if text == f"q{moment}" else text, concurrency=1, price=PRICE)
    with opened(path) as paid:
        with pytest.raises(error, match=message) as caught:
            list(paid.stage("s").ask(bad, numbered(8)))
        assert caught.value.exit_code
        assert len(paid.cache) == moment
        assert paid.budget.reserved() == (0.0, 0.0)
    good = ScriptedTeacher(lambda text, attempt: text, price=PRICE)
    with opened(path) as paid:
        assert said(paid.stage("s").ask(good, numbered(8))) == [f"q{number}" for number in range(8)]
    assert set(bad.asked) & set(good.asked) <= {f"q{moment}"}


@pytest.mark.parametrize("kind", FATAL)
def test_what_is_fatal_for_one_call_does_not_lose_those_beside_it(path: Path, kind: str) -> None:
    make, error, message = FATAL[kind]
    others = threading.Event()

    def script(text: str, attempt: int) -> object:
        if len(teacher.asked) == 4:
            others.set()
        return make() if text == "q3" else others

    teacher = ScriptedTeacher(script, concurrency=4, price=PRICE)
    with opened(path, policy=replace(AT_ONCE, grace=3600)) as paid:
        with pytest.raises(error, match=message):
            list(paid.stage("s").ask(teacher, numbered(4)))
        assert len(paid.cache) == 3


@pytest.mark.parametrize(
    "error", [TransientTeacherError("busy"), TeacherError("odd"), from_itself(TransientTeacherError("busy"))], ids=repr
)
def test_an_error_of_one_request_is_its_answer(path: Path, error: BaseException) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: error if text == "q1" else text)
    with opened(path, policy=replace(AT_ONCE, attempts=2)) as paid:
        given = list(paid.stage("s").ask(teacher, numbered(3)))
        assert given[1] is error
        assert len(paid.cache) == 2


SENSIBLE = [
    (Completion("x", None, "stop", "m"), True),  # type: ignore[arg-type]
    (Completion("x", Usage(-1, 5), "stop", "m"), True),
    (Completion("x", Usage("many", 5), "stop", "m"), True),  # type: ignore[arg-type]
    (Completion("x", Usage(1.5, 5), "stop", "m"), True),  # type: ignore[arg-type]
    (Completion("x", Usage(2**70, 5), "stop", "m"), True),
    (Completion("x", {"prompt_tokens": 1}, "stop", "m"), True),  # type: ignore[arg-type]
    (Completion("x", USAGE, None, None), False),  # type: ignore[arg-type]
    (Completion("a\ud83db", USAGE, "\ud83d", "\ud83d"), False),
]


@pytest.mark.parametrize(("answer", "assumed"), SENSIBLE)
def test_an_answer_with_odd_parts_is_kept_and_what_is_not_known_of_its_cost_is_the_worst(
    path: Path, answer: Completion, assumed: bool
) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: answer, price=PRICE)
    with opened(path) as paid:
        (given,) = paid.stage("s").ask(teacher, numbered(1))
        assert isinstance(given, Completion)
        assert given.text in ("x", "a\ufffdb")
        assert isinstance(given.usage, Usage)
        (total,) = paid.totals()
        assert total.assumed == assumed
        assert (total.usd or 0.0) > (0.25 if assumed else 0.0)
    with opened(path) as paid:
        assert list(paid.stage("s").ask(ScriptedTeacher(), numbered(1))) == [given]


def test_a_refusal_with_half_a_character_is_stored(path: Path) -> None:
    teacher = ScriptedTeacher(lambda text, attempt: TeacherRefusal("no \ud83d") if text == "q0" else text)
    with opened(path) as paid:
        assert said(paid.stage("s").ask(teacher, numbered(2))) == ["no \ufffd", "q1"]


def test_an_unusable_answer_that_may_have_been_paid_is_in_the_ledger(path: Path) -> None:
    with opened(path) as paid:
        with pytest.raises(PluginError):
            list(paid.stage("s").ask(ScriptedTeacher(lambda text, attempt: None, price=PRICE), numbered(1)))
        (total,) = paid.totals()
        assert total.assumed == 1
        assert paid.budget.spent > 0.2


def test_an_identity_that_is_none_is_a_plugin_error(path: Path) -> None:
    teacher = ScriptedTeacher()
    teacher.identity = "me"  # type: ignore[assignment]
    with opened(path) as paid, pytest.raises(PluginError, match="must be a mapping"):
        paid.stage("s").ask(teacher, numbered(1))


@pytest.mark.parametrize("concurrency", [0, -3])
def test_a_teacher_that_allows_no_call_at_once_is_asked_one_by_one(path: Path, concurrency: int) -> None:
    teacher = ScriptedTeacher(concurrency=concurrency)
    with opened(path) as paid:
        assert len(list(paid.stage("s").ask(teacher, numbered(3)))) == 3
    assert teacher.most_under_way == 1


def test_a_full_disk_while_storing_ends_the_run_and_loses_only_what_did_not_fit(path: Path) -> None:
    with opened(path) as paid:
        pages = paid.database.rows("PRAGMA page_count")[0][0]
        paid.database.rows(f"PRAGMA max_page_count = {pages + 6}")
        long = ScriptedTeacher(lambda text, attempt: "long " * 1000, concurrency=1)
        with pytest.raises(StoreError, match=r"full; free some space on its disk.*goes on from here"):
            list(paid.stage("s").ask(long, numbered(100)))
        kept = len(paid.cache)
    assert len(long.asked) == kept + 1
    with opened(path) as paid:
        again = ScriptedTeacher()
        list(paid.stage("s").ask(again, numbered(kept + 1)))
    assert len(again.asked) == 1


# --- time -----------------------------------------------------------------------------------------------------------------


class Slow(ScriptedTeacher):
    call_seconds = 0.3  # enough for what answers at once, on a busy machine too


def test_a_call_that_takes_too_long_has_failed_for_now(path: Path) -> None:
    never = threading.Event()
    teacher = Slow(lambda text, attempt: never if text == "q1" and attempt < 3 else text)
    with opened(path) as paid:
        assert said(paid.stage("s").ask(teacher, numbered(3))) == ["q0", "q1", "q2"]
    assert (teacher.asked.count("q1"), teacher.cancelled) == (3, 2)


def test_the_policy_sets_the_time_of_teachers_that_say_nothing(path: Path) -> None:
    never = threading.Event()
    with opened(path, policy=replace(AT_ONCE, call_seconds=0.02, attempts=2)) as paid:
        (error,) = paid.stage("s").ask(ScriptedTeacher(lambda text, attempt: never), numbered(1))
    assert str(error) == "scripted gave no answer in 0.02 s"


def test_an_answer_that_comes_while_its_call_is_given_up_is_kept(path: Path) -> None:
    class Stubborn(Slow):
        async def complete(self, request: CompletionRequest) -> Completion:
            self.asked.append("once")
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return Completion("late", USAGE, "stop", "m")
            raise AssertionError

    teacher = Stubborn()
    with opened(path) as paid:
        assert said(paid.stage("s").ask(teacher, numbered(1))) == ["late"]
    assert teacher.asked == ["once"]


def test_a_task_that_a_teacher_started_cannot_end_the_loop_of_all_calls(path: Path) -> None:
    class Starter(ScriptedTeacher):
        async def complete(self, request: CompletionRequest) -> Completion:
            async def leave() -> None:
                raise SystemExit(1)

            task = asyncio.ensure_future(leave())
            await asyncio.wait({task})
            assert isinstance(task.exception(), SystemExit)
            return await super().complete(request)

    with opened(path) as paid:
        assert len(list(paid.stage("s").ask(Starter(), numbered(3)))) == 3


LEAVING = """
import asyncio, sys, time
from pathlib import Path
from calls_support import ScriptedTeacher, numbered
from cogumi_core.api.types import Completion
from cogumi_core.calls import RetryPolicy, open_calls

class Blocking(ScriptedTeacher):
    async def complete(self, request):
        print("asked", flush=True)
        if sys.argv[2] == "loop":
            time.sleep(3600)
        await asyncio.to_thread(time.sleep, 3600)

with open_calls(Path(sys.argv[1]), root="r", recipe="n", policy=RetryPolicy(grace=3600)) as paid:
    list(paid.stage("s").ask(Blocking(concurrency=1), numbered(3)))
"""


@pytest.mark.parametrize("blocked", ["loop", "thread"])
def test_a_person_can_leave_whatever_a_teacher_blocks(path: Path, blocked: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2] / 'support')!r})\n{LEAVING}"
    with running(sys.executable, "-c", code, path, blocked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "asked\n"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate()
    assert "KeyboardInterrupt" in errors
    assert child.returncode == -signal.SIGINT


def test_a_teacher_that_blocks_the_loop_is_found_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    class Blocking(ScriptedTeacher):
        async def complete(self, request: CompletionRequest) -> Completion:
            while not go.is_set():
                time.sleep(0.01)
            return await super().complete(request)

    monkeypatch.setattr("cogumi_core.calls.desk._BLOCKED_SECONDS", 0.0)
    monkeypatch.setattr("cogumi_core.calls.background._BEAT_SECONDS", 0.01)
    with opened(path, policy=RetryPolicy(call_seconds=0.3, grace=0.0)) as paid:
        with pytest.raises(TeacherUnavailable, match="has blocked the thread of all model calls"):
            list(paid.stage("s").ask(Blocking(), numbered(1)))
        go.set()
