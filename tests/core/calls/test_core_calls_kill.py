"""Several processes, and `kill -9` in the middle of paying for calls: nothing that was given out is bought again."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from processes import running, wait_until

CONCURRENCY, ROWS = 4, 80
RUN = f"""
import asyncio, os, sys
from pathlib import Path
from cogumi_core.calls import open_calls
from cogumi_core.api.types import Completion, CompletionRequest, Message, Price, Sampling, Usage

class Shop:
    identity = {{"provider": "shop"}}
    price = Price(1.0, 1.0)
    concurrency = {CONCURRENCY}
    needs_reference = False
    sampling = Sampling()
    bill = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    held, go = set(sys.argv[4:]), Path(sys.argv[3])

    async def complete(self, request):
        text = request.messages[0].content
        os.write(self.bill, f"{{text}}\\n".encode())
        while text in self.held and not self.go.exists():
            await asyncio.sleep(0.004)
        return Completion("answer to " + text, Usage(1_000_000, 0), "stop", "m")

requests = [CompletionRequest((Message("user", f"q{{n}}"),)) for n in range({ROWS})]
with open_calls(Path(sys.argv[1]), root="r", recipe="r") as paid:
    for request, answer in zip(requests, paid.stage("s").ask(Shop(), requests)):
        assert answer.text == "answer to " + request.messages[0].content
        print(request.messages[0].content, flush=True)
    print("spent", paid.budget.spent, flush=True)
"""


class Purchases:
    def __init__(self, folder: Path) -> None:
        self.database, self.bill, self.go = folder / "calls.sqlite", folder / "bill", folder / "go"

    def start(self, hold_from: int = ROWS) -> AbstractContextManager[subprocess.Popen[str]]:
        """A run of all rows; the teacher answers those from `hold_from` on only when `go` is there."""
        held = [f"q{number}" for number in range(hold_from, ROWS)]
        command = (sys.executable, "-c", RUN, self.database, self.bill, self.go, *held)
        return running(*command, stdout=subprocess.PIPE)

    def killed_after(self, rows: int) -> list[str]:
        """Kills a run that has given out so many rows and cannot give out more, and returns them."""
        with self.start(hold_from=rows) as child:
            given = read_lines(child, rows)
            child.send_signal(signal.SIGKILL)
        return given

    def finished(self) -> list[str]:
        with self.start() as child:
            given, _ = child.communicate()
        return given.split("\n")[:-1]

    def bought(self) -> list[str]:
        return self.bill.read_text().split()


def read_lines(child: subprocess.Popen[str], count: int) -> list[str]:
    assert child.stdout is not None
    return [child.stdout.readline().strip() for _ in range(count)]


@pytest.fixture
def purchases(tmp_path: Path) -> Purchases:
    return Purchases(tmp_path)


def test_a_row_given_out_before_a_kill_is_never_bought_again(purchases: Purchases) -> None:
    given = purchases.killed_after(20)
    purchases.finished()
    assert [row for row in given if purchases.bought().count(row) != 1] == []


def test_only_calls_under_way_at_a_kill_are_bought_twice(purchases: Purchases) -> None:
    for rows in (1, 15, 30):
        purchases.killed_after(rows)
    purchases.finished()
    bought = purchases.bought()
    assert set(bought) == {f"q{number}" for number in range(ROWS)}
    assert len(bought) <= ROWS + 3 * CONCURRENCY


def test_the_ledger_after_kills_has_one_line_for_each_answer(purchases: Purchases) -> None:
    purchases.killed_after(10)
    *given, spent = purchases.finished()
    assert given == [f"q{number}" for number in range(ROWS)]
    assert spent == f"spent {float(ROWS)}"


def test_two_processes_that_ask_the_same_at_once_pay_once(purchases: Purchases) -> None:
    with purchases.start(hold_from=0) as one, purchases.start(hold_from=0) as other:
        wait_until(lambda: purchases.bill.exists() and bool(purchases.bought()))  # one of them waits for the other's answer
        purchases.go.touch()
        for child in (one, other):
            given, _ = child.communicate()
            assert child.returncode == 0
            assert given.split() == [*(f"q{number}" for number in range(ROWS)), "spent", f"{float(ROWS)}"]
    assert sorted(purchases.bought()) == sorted(f"q{number}" for number in range(ROWS))


def test_what_a_killed_process_was_asking_is_free_at_once(purchases: Purchases) -> None:
    with purchases.start(hold_from=0) as first:
        wait_until(lambda: purchases.bill.exists() and len(purchases.bought()) == CONCURRENCY)
        with purchases.start() as second:
            first.send_signal(signal.SIGKILL)
            purchases.go.touch()
            given, _ = second.communicate()
    assert second.returncode == 0
    assert len(given.split()) == ROWS + 2
    assert len(purchases.bought()) <= ROWS + CONCURRENCY


def test_an_interruption_from_the_keyboard_keeps_what_was_answered(purchases: Purchases) -> None:
    with purchases.start(hold_from=12) as child:
        given = read_lines(child, 10)
        child.send_signal(signal.SIGINT)
        purchases.go.touch()  # the calls under way end, after the signal was sent
        child.communicate()
    assert child.returncode != 0
    purchases.finished()
    assert [row for row in given if purchases.bought().count(row) != 1] == []
