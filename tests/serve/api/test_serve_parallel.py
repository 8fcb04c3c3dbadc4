"""The server keeps as many requests running as the session computes at once; shown by gates, not by clocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from processes import wait_until
from serve_support import ManyAtOnce, ThrowAwayRegistry, write_system

from cogumi_serve.api.app import create_app
from cogumi_serve.system.routed import RoutedSystem

BODY = {"model": "base", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "base.gguf"
    base.write_bytes(b"no model is needed")
    return write_system(tmp_path / "system", base, {})


class Asked:
    """A server, and requests on their way to it."""

    def __init__(self, engine: ManyAtOnce, system: RoutedSystem, queue: int) -> None:
        self._app = create_app(system, queue=queue)
        self._engine = engine
        self._threads: list[threading.Thread] = []
        self.client = TestClient(self._app)
        self.responses: list[httpx.Response] = []

    @property
    def load(self) -> int:
        """Requests under way and waiting."""
        return self._app.state.service.worker.load

    def ask(self, requests: int) -> None:
        for _ in range(requests):
            self._threads.append(threading.Thread(target=lambda: self.responses.append(self.send())))
            self._threads[-1].start()

    def send(self) -> httpx.Response:
        return self.client.post("/v1/chat/completions", json=BODY)

    def statuses(self) -> list[int]:
        """Lets all requests through."""
        self._engine.go.set()
        for thread in self._threads:
            thread.join()
        return [response.status_code for response in self.responses]


@contextmanager
def serving(engine: ManyAtOnce, folder: Path, *, queue: int = 8) -> Iterator[Asked]:
    with RoutedSystem.open(folder, ThrowAwayRegistry(engine=engine), parallel=5) as system:
        asked = Asked(engine, system, queue)
        with asked.client:
            try:
                yield asked
            finally:
                asked.statuses()


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_as_many_requests_are_inside_as_the_session_computes_at_once(folder: Path, parallel: int) -> None:
    engine = ManyAtOnce(parallel)
    with serving(engine, folder) as asked:
        asked.ask(5)
        for _ in range(parallel):
            # Hangs, and so fails at the time limit, if a request waits for another that is inside.
            engine.entered.acquire()
        assert engine.inside == parallel
        assert asked.statuses() == [200] * 5
    assert engine.most_inside == parallel


def test_those_inside_do_not_count_as_waiting(folder: Path) -> None:
    engine = ManyAtOnce(2)
    with serving(engine, folder, queue=1) as asked:
        asked.ask(3)
        wait_until(lambda: asked.load == 3)
        assert asked.send().status_code == 503
        assert asked.statuses() == [200] * 3


def test_the_caller_says_how_many_it_would_like(folder: Path) -> None:
    engine = ManyAtOnce(1)
    with serving(engine, folder):
        assert engine.asked_for == 5
