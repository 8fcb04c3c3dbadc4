"""An event loop in a thread of its own, so that callers stay plain functions, also inside a notebook that runs a loop itself.

One loop lasts as long as its owner: clients of HTTP libraries belong to the loop they were first used in. Nothing here is ever
waited for without a bound, because teachers are other people's code: one that blocks the loop or a thread must not keep a
person from leaving. All threads are daemons, so the end of the program does not wait for them either.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from cogumi_core.calls.boundary import CANCEL_SECONDS

logger = logging.getLogger(__name__)
T = TypeVar("T")
CLOSE_SECONDS: Final = 2.0 * CANCEL_SECONDS
_BEAT_SECONDS: Final = 1.0


class Background:
    """Runs coroutines; the thread starts with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._threads = _DaemonThreads()
        self._closing = False
        self._last_beat = 0.0

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Starts `work`; cancelling the future cancels it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(self._threads)
                self._last_beat = time.monotonic()
                self._loop.call_soon(self._beat, self._loop)
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name="cogumi-calls", daemon=True)
                self._thread.start()
            loop = self._loop
        return asyncio.run_coroutine_threadsafe(work, loop)

    def silent_for(self) -> float:
        """Seconds since the loop last moved; more than a few mean that something blocks it."""
        return time.monotonic() - self._last_beat if self._loop is not None else 0.0

    @property
    def stuck(self) -> bool:
        """Whether waiting for the loop is most likely in vain."""
        return self.silent_for() > 3 * _BEAT_SECONDS

    def close(self, *, patient: bool = True) -> bool:
        """Cancels what still runs and ends the thread; False when something did not let go in `CLOSE_SECONDS`, and is left to
        itself. Not `patient`: nor is it waited for if it seems to be stuck."""
        bound = CLOSE_SECONDS if patient or not self.stuck else 0.0
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return True
        self._closing = True
        ending = asyncio.run_coroutine_threadsafe(_end_all(), loop)
        try:
            ending.result(timeout=bound)
        except NotYet:
            bound = 0.0
            logger.warning("a teacher still blocks the thread of model calls; it is left behind")
        loop.call_soon_threadsafe(loop.stop)
        thread.join(bound)
        self._threads.shutdown(wait=False)
        return not thread.is_alive()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closing:
            try:
                loop.run_forever()
            except BaseException:  # SystemExit in a task that a teacher started: it is not the other calls' end
                logger.exception("a task that a teacher started tried to end the program")
        loop.close()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._last_beat = time.monotonic()
        loop.call_later(_BEAT_SECONDS, self._beat, loop)


async def _end_all() -> None:
    others = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=CANCEL_SECONDS)
    await asyncio.get_running_loop().shutdown_asyncgens()


class _DaemonThreads(ThreadPoolExecutor):
    """The threads of `asyncio.to_thread`. Those of a plain ThreadPoolExecutor are joined when the interpreter ends, which would
    then wait for a teacher that blocks one of them. Each piece of work gets a thread that is free, or a new one; how many there
    are is limited by the teachers' `concurrency`."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)  # never started: the loop only takes executors of this class
        self._pieces: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._free = threading.Semaphore(0)
        self._started = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()

        def piece() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as exc:  # noqa: BLE001 - whoever waits for it hears of it
                future.set_exception(exc)

        self._pieces.put(piece)
        if not self._free.acquire(blocking=False):
            self._started += 1
            threading.Thread(target=self._serve, name=f"cogumi-calls-{self._started}", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for _ in range(self._started):
            self._pieces.put(None)

    def _serve(self) -> None:
        while (piece := self._pieces.get()) is not None:
            piece()
            self._free.release()
