"""One stage at the counter: it counts what became of its requests, shows progress while it waits, and says what it spent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Final

from cogumi_core.api.errors import TeacherError, TeacherRefusal, TeacherUnavailable
from cogumi_core.api.interfaces import Answer, Progress
from cogumi_core.api.types import JSON
from cogumi_core.calls.run import CallRun

POLL_SECONDS: Final = 0.2
_BLOCKED_SECONDS: Final = 60.0
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Given:
    """An answer on its way out; `bought`: this run paid for it."""

    answer: Answer
    bought: bool


class Desk:
    """Of one stage, for as many askings and threads as it has open."""

    def __init__(self, paid: CallRun, name: str, progress: Progress, log: Log) -> None:
        self.paid, self.name, self.log = paid, name, log
        self._progress = progress
        self._lock = threading.Lock()
        self._counts = {"asked": 0, "cached": 0, "refused": 0, "failed": 0}
        self._told = 0.0

    @property
    def spend(self) -> Mapping[str, JSON]:
        """What the stage paid, for its manifest: requests of this run by what became of them; tokens and dollars over all runs
        of this stage, because one that was stopped and went on has paid for one result. Empty when it asked nobody."""
        with self._lock:
            counts = dict(self._counts)
        if not counts["asked"] + counts["cached"]:
            return {}
        total = self.paid.ledger.stage(self.paid.budget.root, self.name)
        tokens = {"prompt_tokens": total.prompt_tokens, "completion_tokens": total.completion_tokens}
        return {"usd": total.usd, **counts, **tokens}

    def count(self, given: Given) -> Answer:
        """Notes what became of one request, and passes its answer on."""
        refused = isinstance(given.answer, TeacherRefusal)
        failed = isinstance(given.answer, TeacherError) and not refused
        with self._lock:
            self._counts["asked" if given.bought else "cached"] += 1
            self._counts["refused"] += refused
            self._counts["failed"] += failed
        return given.answer

    def wait(self, future: Future[Any], seconds: float = POLL_SECONDS) -> None:
        """Waits a moment for `future` and lets progress be shown. Raises what progress raises, and TeacherUnavailable when a
        teacher blocks the loop of all calls."""
        wait([future], timeout=min(seconds, POLL_SECONDS))
        silent, allowed = self.paid.background.silent_for(), self.paid.policy.call_seconds + _BLOCKED_SECONDS
        if silent > allowed and not future.done():
            message = f"a teacher has blocked the thread of all model calls for {silent:.0f} s; its `complete` must not block"
            raise TeacherUnavailable(message)
        self.tell()

    def tell(self) -> None:
        """Shows progress, if it was not just shown."""
        with self._lock:
            now = time.monotonic()
            if now - self._told < POLL_SECONDS:
                return
            self._told = now
            given = self._counts["asked"] + self._counts["cached"]
        self._progress(given, None, "answers", usd=self.paid.budget.spent)
