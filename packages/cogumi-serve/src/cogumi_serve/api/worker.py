"""The threads that compute answers, the bounded queue in front of them, and the way back to the event loop.

There are as many threads as the session computes answers at once (`Session.parallel`), and a queue without bound would only
hide that. Every job is driven by one thread from beginning to end and asks after each token whether anybody still listens.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from cogumi_core import GenerateRequest, Token
from cogumi_serve.api.errors import Busy
from cogumi_serve.system.errors import Cancelled
from cogumi_serve.system.reply import Reply
from cogumi_serve.system.routed import RoutedSystem

_END: Final = None


class Job:
    """One request on its way. `reply` is there once `begun` returned; `tokens` can be iterated once."""

    def __init__(self, request: GenerateRequest, model: str) -> None:
        self.request, self.model = request, model
        self._gone = threading.Event()
        self._abandoned = False
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Token | Exception | None] = asyncio.Queue()
        self._reply: asyncio.Future[Reply] = self._loop.create_future()
        # Nobody may be waiting any more when it fails.
        self._reply.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.future: Future[None] | None = None

    def cancel(self) -> None:
        """Nobody listens any more: a waiting job never starts, a running one stops within a token."""
        self._gone.set()
        if self.future is not None and self.future.cancel() and not self._reply.done():
            self._reply.set_exception(Cancelled("the request was cancelled while it waited"))

    def abandon(self) -> bool:
        """The client left: cancels, and says whether this is the first to notice (the stream and its watcher both may)."""
        first, self._abandoned = not self._abandoned, True
        self.cancel()
        return first

    async def begun(self) -> Reply:
        """The reply, as soon as it is known who answers and the first token is there. Raises what stopped it."""
        return await self._reply

    async def tokens(self) -> AsyncIterator[Token]:
        """The tokens as they come. Raises what stopped them."""
        while (item := await self._items.get()) is not _END:
            if isinstance(item, Exception):
                raise item
            yield item

    def work(self, system: RoutedSystem) -> None:
        """In a thread of the worker."""
        try:
            reply = system.begin(self.request, self.model, cancelled=self._gone.is_set)
            self._produce(reply)
        except Exception as exc:  # noqa: BLE001 - carried to the request it belongs to, and raised there
            self._tell(exc)
        self._put(_END)

    def _produce(self, reply: Reply) -> None:
        tokens = iter(reply)
        first = next(tokens)
        self._call(self._begin, reply)
        self._put(first)
        for token in tokens:
            if self._gone.is_set():
                break
            self._put(token)
        reply.close()

    def _begin(self, reply: Reply) -> None:
        if not self._reply.done():
            self._reply.set_result(reply)

    def _fail(self, exc: Exception) -> None:
        if not self._reply.done():
            self._reply.set_exception(exc)
        else:
            self._items.put_nowait(exc)

    def _tell(self, exc: Exception) -> None:
        self._call(self._fail, exc)

    def _put(self, item: Token | None) -> None:
        self._call(self._items.put_nowait, item)

    def _call(self, *call: object) -> None:
        try:
            self._loop.call_soon_threadsafe(*call)  # type: ignore[arg-type]
        except RuntimeError:
            # The event loop is closed: the server has stopped, and nobody is left to tell.
            self._gone.set()


class Worker:
    """Runs as many jobs at once as the session computes, in the order in which they came; at most `queue` wait."""

    def __init__(self, system: RoutedSystem, queue: int) -> None:
        parallel = max(1, system.session.parallel)
        self._system, self._limit = system, queue + parallel
        self._threads = ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="cogumi-model")
        self._jobs: set[Job] = set()

    @property
    def load(self) -> int:
        """Jobs under way and waiting."""
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        """Takes the job. Raises Busy when the queue is full."""
        if self.load >= self._limit:
            message = f"{self.load} requests are being answered or wait already; try again later"
            raise Busy(message)
        loop = asyncio.get_running_loop()
        self._jobs.add(job)
        job.future = self._threads.submit(job.work, self._system)
        job.future.add_done_callback(lambda _: _soon(loop, self._jobs.discard, job))

    def close(self) -> None:
        """Cancels everything and waits for the tokens under way."""
        for job in tuple(self._jobs):
            job.cancel()
        self._threads.shutdown(wait=True)


def _soon(loop: asyncio.AbstractEventLoop, call: object, job: Job) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, job)  # type: ignore[arg-type]
