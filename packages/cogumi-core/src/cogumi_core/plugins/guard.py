"""Teachers that only the paid-call engine may call while a stage runs.

A component that calls a teacher by itself would spend past the budget, past the cache and past the ledger. So the registry
hands out teachers behind this guard; `cogumi_core.calls` takes the guard off. Outside a stage, in a notebook or a test of the
teacher's author, the guard lets calls through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cogumi_core.api.errors import PluginError
from cogumi_core.api.types import Completion, CompletionRequest

_GUARDED = ("complete", "submit", "fetch")
_lock = threading.Lock()
_stages: list[str] = []  # of this process, whichever thread they run in: a teacher may be called from any


@contextmanager
def stage_running(name: str) -> Iterator[None]:
    """Inside, teachers refuse to be called except by the paid-call engine."""
    with _lock:
        _stages.append(name)
    try:
        yield
    finally:
        with _lock:
            _stages.remove(name)


class GuardedTeacher:
    """Looks like the teacher in all else."""

    def __init__(self, teacher: Any, label: str) -> None:
        self._teacher = teacher
        self._label = label

    def __getattr__(self, name: str) -> Any:
        if name in _GUARDED:
            self._refuse_in_a_stage()
        return getattr(self._teacher, name)

    def __repr__(self) -> str:
        return f"<{self._label}>"

    async def complete(self, request: CompletionRequest) -> Completion:
        self._refuse_in_a_stage()
        answer: Completion = await self._teacher.complete(request)
        return answer

    def _refuse_in_a_stage(self) -> None:
        if _stages:
            message = (
                f"the stage '{_stages[-1]}' called {self._label} by itself, past the budget, the cache and the ledger; a "
                "component asks teachers through its context: `run.calls.ask(teacher, requests)`"
            )
            raise PluginError(message)


def unguarded(teacher: Any) -> Any:
    """The teacher itself, for the paid-call engine alone."""
    return teacher._teacher if isinstance(teacher, GuardedTeacher) else teacher
