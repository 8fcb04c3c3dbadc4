"""The executor `local`: worker processes on this machine.

Workers are started anew (`spawn`), so that they inherit neither threads nor open files; results come back in the order of the
items, and no more items are under way than the workers can have next, so that memory does not grow with the data.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from cogumi_core.api.errors import CogumiError
from cogumi_core.api.settings import Settings, execution_only

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2  # items under way for each worker: one in work, one waiting


class LocalSettings(Settings):
    """Settings of the executor `local`."""

    workers: int = execution_only(0, ge=0, le=1024, description="processes; 0 takes the cores that this process may use")


class LocalExecutor:
    """See `cogumi_core.api.interfaces.Executor`."""

    def __init__(self, settings: LocalSettings, services: Any) -> None:
        self.workers = settings.workers or usable_cores()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """With one worker everything stays in this process."""
        if self.workers == 1:
            yield from map(function, items)
            return
        context = multiprocessing.get_context("spawn")
        source, under_way = iter(items), deque[Future[Result]]()
        pool = ProcessPoolExecutor(self.workers, mp_context=context)
        try:
            while True:
                for item in islice(source, self.workers * AHEAD - len(under_way)):
                    under_way.append(pool.submit(function, item))
                if not under_way:
                    return
                yield _result(under_way.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool as exc:
        message = "a worker process died, perhaps for lack of memory; run again, with fewer `workers` of the executor"
        raise CogumiError(message) from exc


def usable_cores() -> int:
    """Cores this process may run on, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


__all__ = ["LocalExecutor", "LocalSettings", "usable_cores"]
