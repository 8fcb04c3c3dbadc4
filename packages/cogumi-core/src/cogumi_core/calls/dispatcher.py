"""Puts questions to a teacher and pays for each at most once.

`run` streams: a few hundred requests are in memory, whatever their number. Answers come back in the order of the requests, so
that what is made from them does not depend on timing. Every answer is committed to the cache before it is given out; a killed
run asks again only what it had not received. Two gaps remain: a crash in the milliseconds between a provider's answer and its
commit loses a paid answer, and a call cancelled by an interruption may have been charged.

Left out, on this interface: batches (a `BatchTeacher` is asked call by call), and rates that adapt (`concurrency` is fixed).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from cogumi_core.api.errors import UsageError
from cogumi_core.api.interfaces import Progress, Teacher
from cogumi_core.api.types import CompletionRequest
from cogumi_core.calls.answering import Answer, Answerer, Labels
from cogumi_core.calls.background import Background
from cogumi_core.calls.budget import Budget
from cogumi_core.calls.cache import CallCache
from cogumi_core.calls.ledger import Ledger, Total
from cogumi_core.calls.request import refuse_secrets
from cogumi_core.calls.retry import RetryPolicy, Sleep
from cogumi_core.calls.window import Counts, Window

Requests = Iterable[tuple[str, CompletionRequest]]


class Dispatcher:
    """Asks teachers on behalf of one recipe. `recipe` and `run` go into the ledger; `environ` tells which texts are secrets.

    `ledger` must be on the cache's own database, so that an answer and its cost are stored together or not at all.

    Several `run`s may be under way at once and share the budget. Use as a context manager, or `close` it."""

    def __init__(
        self,
        cache: CallCache,
        ledger: Ledger,
        budget: Budget,
        *,
        recipe: str,
        run: str = "",
        environ: Mapping[str, str] | None = None,
        policy: RetryPolicy | None = None,
        sleep: Sleep = asyncio.sleep,
        jitter: random.Random | None = None,
    ) -> None:
        self.cache = cache
        self.ledger = ledger
        self.budget = budget
        self.counts = Counts()
        self._recipe = recipe
        self._run = run
        self._environ = environ or {}
        self._policy = policy or RetryPolicy()
        self._sleep = sleep
        self._jitter = jitter or random.Random()
        self._background = Background()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancels what is under way and ends the thread that calls run in."""
        self._background.close()

    def totals(self, stage: str) -> Total:
        """Calls, tokens and dollars of a stage of this recipe, over all its runs."""
        return self.ledger.stage(self._recipe, stage)

    def run(
        self,
        teacher: Teacher,
        requests: Requests,
        *,
        stage: str,
        name: str = "",
        samples: int = 1,
        total: float | None = None,
        progress: Progress | None = None,
    ) -> Generator[tuple[str, Answer], None, None]:
        """(id, answer) for each (id, request), in order, `samples` times each. `name` is the teacher's in the ledger.

        A TeacherError in place of an answer concerns that row only: a refusal is final, a TransientTeacherError was tried
        often and will be asked again by the next run. `progress` is called several times a second, also while waiting; what
        it raises stops the run, with all answers kept. Raises BudgetExceeded, TeacherUnavailable, StoreError, PluginError;
        UsageError when there is a budget and the teacher's price is not known."""
        refuse_secrets(teacher.identity, self._environ)
        label = name or str(teacher.identity.get("provider", type(teacher).__name__))
        self._refuse_unknown_price(teacher, label)
        answerer = Answerer(
            teacher,
            self.cache,
            self.ledger,
            self.budget,
            Labels(self._recipe, self._run, stage, label),
            self._policy,
            sleep=self._sleep,
            jitter=self._jitter,
        )
        window = Window(
            teacher,
            self.cache,
            self.budget,
            answerer,
            self.counts,
            source=_repeated(requests, samples),
            start=lambda call, reserved: self._background.submit(answerer.answer(call, reserved)),
            drain=lambda patient: self._drain(answerer, self._policy.grace if patient else 0.0),
        )
        return window.answers(progress or _silent, total)

    def _refuse_unknown_price(self, teacher: Teacher, label: str) -> None:
        if self.budget.usd is not None and teacher.price is None:
            message = (
                f"the price of teacher '{label}' is not known, so the budget of ${self.budget.usd:.2f} cannot be kept; "
                "set its price, or remove the budget"
            )
            raise UsageError(message)

    def _drain(self, answerer: Answerer, grace: float) -> None:
        if self._background.running:
            self._background.submit(answerer.drain(grace)).result()


@contextmanager
def open_dispatcher(
    path: Path,
    *,
    recipe: str,
    run: str = "",
    usd: float | None = None,
    max_cost: float | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Dispatcher]:
    """A dispatcher on the database at `path`; what earlier runs of `recipe` spent counts towards the limit of `usd` dollars,
    and not towards `max_cost`, which limits this run alone."""
    with closing(CallCache(path)) as cache:
        ledger = Ledger(cache.database)
        spent = ledger.spent(recipe)
        limits = [limit for limit in (usd, None if max_cost is None else spent + max_cost) if limit is not None]
        budget = Budget(min(limits, default=None), spent)
        with Dispatcher(cache, ledger, budget, recipe=recipe, run=run, environ=environ) as dispatcher:
            yield dispatcher


def _repeated(requests: Requests, samples: int) -> Iterator[tuple[str, CompletionRequest, int]]:
    for row, request in requests:
        for sample in range(samples):
            yield row, request, sample


def _silent(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
    return None
