"""The requests of one run that are under way, in order: pulled one by one, answered by cache or teacher, given out in turn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from cogumi_core.api.errors import Interrupted, PluginError, TeacherRefusal, TransientTeacherError
from cogumi_core.api.interfaces import Progress, Teacher
from cogumi_core.api.types import CompletionRequest
from cogumi_core.calls.answering import Answer, Answerer
from cogumi_core.calls.budget import Budget, worst_case
from cogumi_core.calls.cache import Call, CallCache
from cogumi_core.calls.request import for_sample, request_key

POLL_SECONDS = 0.2
_LEAST_ROWS = 256


@dataclass(slots=True)
class Counts:
    """What became of the requests so far: answered from the cache, asked, refused, failed for now."""

    hits: int = 0
    asked: int = 0
    refused: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _Slot:
    row: str
    answer: Future[Answer]


@dataclass(frozen=True, slots=True)
class _Held:
    """A request that waits until calls under way have been settled and its worst case fits the budget."""

    row: str
    call: Call
    worst: float


@dataclass(slots=True)
class Window:
    """Memory is bounded by the window's rows, of which only `teacher.concurrency` are with the teacher.

    `start` asks in the background; `drain` ends what was started, and waits a little for what was sent if told to."""

    teacher: Teacher
    cache: CallCache
    budget: Budget
    answerer: Answerer
    counts: Counts
    source: Iterator[tuple[str, CompletionRequest, int]]
    start: Callable[[Call, float], Future[Answer]]
    drain: Callable[[bool], None]
    slots: deque[_Slot] = field(default_factory=deque)
    asked: dict[str, Future[Answer]] = field(default_factory=dict)
    held: _Held | None = None

    def answers(self, progress: Progress, total: float | None) -> Generator[tuple[str, Answer], None, None]:
        """(id, answer) in the order of the source."""
        done, told = 0, 0.0
        try:
            while self._fill():
                if self.slots and self.slots[0].answer.done():
                    slot = self.slots.popleft()
                    yield slot.row, self._read(slot, progress, done, total)
                    done += 1
                else:
                    self._wait()
                if time.monotonic() - told >= POLL_SECONDS:
                    told = time.monotonic()
                    progress(done, total, "answers", usd=self.budget.spent)
            progress(done, total, "answers", usd=self.budget.spent)
        except (Interrupted, GeneratorExit):
            # What was sent may have been charged: it is waited for, unless the person loses patience (KeyboardInterrupt).
            self.drain(True)
            raise
        finally:
            self.drain(False)

    def _fill(self) -> bool:
        """Takes in what there is room for; False when nothing is left to do."""
        rows = max(_LEAST_ROWS, 4 * self.teacher.concurrency)
        while self.answerer.stopped is None and len(self.slots) < rows and self._has_room():
            following = self._next()
            if following is None or not self._take(following):
                break
        return bool(self.slots) or self.held is not None

    def _has_room(self) -> bool:
        if len(self.asked) >= self.teacher.concurrency:
            self.asked = {key: answer for key, answer in self.asked.items() if not answer.done()}
        return len(self.asked) < self.teacher.concurrency

    def _next(self) -> _Held | None:
        if self.held is not None:
            held, self.held = self.held, None
            return held
        for row, request, sample in self.source:
            identity = self.teacher.identity
            asked = for_sample(request, sample)
            call = Call(request_key(identity, request, sample), identity, asked, sample)
            return _Held(row, call, worst_case(self.teacher.price, asked))
        return None

    def _take(self, following: _Held) -> bool:
        """Gives the request a place; False when it has to wait for the budget. Raises BudgetExceeded."""
        call = following.call
        answer = self.asked.get(call.key) or self._stored(call.key)
        if answer is None:
            # Calls under way have their worst case reserved and mostly cost less, so the limit is met only when none is.
            last_word = self.budget.idle and not self.slots
            if not last_word and not self.budget.fits(following.worst):
                self.held = following
                return False
            self.budget.reserve(following.worst)
            answer = self.asked[call.key] = self.start(call, following.worst)
            self.counts.asked += 1
        self.slots.append(_Slot(following.row, answer))
        return True

    def _stored(self, key: str) -> Future[Answer] | None:
        found = self.cache.get(key)
        if found is None:
            return None
        self.counts.hits += 1
        answer: Future[Answer] = Future()
        answer.set_result(found)
        return answer

    def _wait(self) -> None:
        if self.asked:
            wait(list(self.asked.values()), timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            self.asked = {key: answer for key, answer in self.asked.items() if not answer.done()}
        else:
            time.sleep(POLL_SECONDS / 10)  # held back by calls of another run on the same budget

    def _read(self, slot: _Slot, progress: Progress, done: int, total: float | None) -> Answer:
        if slot.answer.cancelled() or slot.answer.exception() is not None:
            self._let_end(progress, done, total)
            cause = None if slot.answer.cancelled() else slot.answer.exception()
            raise self.answerer.stopped or PluginError("the teacher cancelled its own call") from cause
        answer = slot.answer.result()
        self.counts.refused += isinstance(answer, TeacherRefusal)
        self.counts.failed += isinstance(answer, TransientTeacherError)
        return answer

    def _let_end(self, progress: Progress, done: int, total: float | None) -> None:
        """Calls that were sent may have been charged, so their answers are waited for, although the run has failed."""
        while self.asked:
            self._wait()
            progress(done, total, "answers", usd=self.budget.spent)
