"""A provider of batches that lives in a folder of files, and misbehaves as real ones do.

Its state survives the death of whoever uses it, as a provider's does: each batch it took is a file, and each request it took is
a line of `bought`, which is what a test counts. A batch is done after so many polls, not seconds. Every misbehaviour is a field
of `Moods`; words in a request's last message choose what becomes of that one item.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.errors import TeacherRefusal, TeacherUnavailable, TransientTeacherError
from cogumi_core.api.types import JSON, BatchLimits, BatchState, Completion, CompletionRequest, Price, Sampling, Usage

__all__ = ["FakeBatchTeacher", "Moods"]

HALF_PRICE: Final = Price(500.0, 1000.0)
FULL_PRICE: Final = Price(1000.0, 2000.0)
USAGE: Final = Usage(10, 20)
LIMITS: Final = BatchLimits()
GREEDY: Final = Sampling()


@dataclass(frozen=True)
class Moods:
    """How the provider behaves. `polls`: how often a batch is looked at before it is done; meanwhile it asks to wait `seconds`.
    `ends`: the state in which batches end. `busy`: so many calls of each method fail for now, `after_submit`: what becomes of a
    batch once it was taken: `raise` (an error is what the caller hears), `die` (the caller's process is killed). `unseen`: how
    often `find` does not see a batch yet. `foreign`: answers for requests that nobody made. `twice`: each answer comes twice.

    Items: `[missing]` has no answer, `[failed]` and `[expired]` an error, `[refuse]` a refusal, `[malformed]` an answer that is
    no Completion, `[silent]` one without usage; with `once` only in the first batch that has them."""

    polls: int = 0
    seconds: float = 0.0
    ends: str = "ended"
    busy: int = 0
    after_submit: str = ""
    unseen: int = 0
    foreign: bool = False
    twice: bool = False
    once: bool = True


@dataclass
class FakeBatchTeacher:
    """A teacher on the fake provider in `folder`. Asked one by one it answers at once, at twice the price."""

    folder: Path
    moods: Moods = Moods()
    wants_batches: bool = True
    batch_price: Price | None = HALF_PRICE
    batch_limits: BatchLimits = LIMITS
    price: Price | None = FULL_PRICE
    concurrency: int = 4
    needs_reference: bool = False
    sampling: Sampling = GREEDY
    identity: Mapping[str, JSON] = field(default_factory=lambda: {"provider": "fake-batch", "model": "fake-batch-1"})

    async def complete(self, request: CompletionRequest) -> Completion:
        self._note("bought", _text(request))
        return _completion(_text(request))

    async def submit(self, requests: Mapping[str, CompletionRequest], tag: str) -> str:
        self._be_busy("submit")
        name = f"batch-{len(list(self._batches()))}"
        for request in requests.values():
            self._note("bought", _text(request))
        row = {"id": name, "tag": tag, "requests": {key: _text(request) for key, request in requests.items()}}
        (self.folder / f"{name}.json").write_text(json.dumps(row), encoding="utf-8")
        if self._first("after_submit"):
            if self.moods.after_submit == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.moods.after_submit == "raise":
                message = "fake-batch closed the connection"
                raise TransientTeacherError(message)
        return name

    async def find(self, tag: str) -> str | None:
        self._be_busy("find")
        if self._times(f"find {tag}") <= self.moods.unseen:
            return None
        return next((row["id"] for row in self._batches() if row["tag"] == tag), None)

    async def poll(self, batch: str) -> BatchState:
        self._be_busy("poll")
        self._read(batch)
        if self._times(f"poll {batch}") <= self.moods.polls:
            return BatchState("open", self.moods.seconds)
        return BatchState(self.moods.ends, 0.0, "as asked for")  # type: ignore[arg-type]

    async def fetch(self, batch: str) -> Mapping[str, Completion | Exception]:
        self._be_busy("fetch")
        rows = list(self._read(batch)["requests"].items())
        random.Random(batch).shuffle(rows)
        answers = [(key, answer) for key, text in rows if (answer := self._answer(key, text)) is not None]
        if self.moods.foreign:
            answers.insert(0, ("f" * 64, _completion("nobody asked")))
        return _Answers(answers * 2 if self.moods.twice else answers)

    def bought(self) -> list[str]:
        """The texts of all requests that the provider ever took, in order."""
        path = self.folder / "bought"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    # --- the provider ---------------------------------------------------------------------------------------------------------

    def _answer(self, key: str, text: str) -> Any:
        mood = text[text.find("[") + 1 : text.find("]")] if "[" in text else ""
        if mood and self.moods.once and not self._first(f"{mood} {key}"):
            mood = ""
        if mood == "missing":
            return None
        if mood in ("failed", "expired"):
            return TransientTeacherError(f"the item {mood}")
        if mood == "refuse":
            return TeacherRefusal("fake-batch refuses this request")
        if mood == "malformed":
            return {"text": "half an"}
        return Completion(f"answer to {text}", Usage(), "stop", "fake-batch-1") if mood == "silent" else _completion(text)

    def _batches(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.folder.glob("batch-*.json")):
            yield json.loads(path.read_text(encoding="utf-8"))

    def _read(self, batch: str) -> dict[str, Any]:
        path = self.folder / f"{batch}.json"
        if not path.exists():
            message = f"fake-batch knows no batch {batch}"
            raise TeacherUnavailable(message)
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return row

    def _be_busy(self, method: str) -> None:
        if self._times(f"call {method}") <= self.moods.busy:
            message = f"fake-batch is busy: too many calls of {method}"
            raise TransientTeacherError(message, retry_after=0.0)

    def _first(self, what: str) -> bool:
        return self._times(what) == 1

    def _times(self, what: str) -> int:
        """How often this happened, now included; counted in a file, so over all processes."""
        self._note("happened", what)
        return (self.folder / "happened").read_text(encoding="utf-8").splitlines().count(what)

    def _note(self, name: str, line: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)


class _Answers(dict[str, Any]):
    """Answers as a provider's file has them: a key may come twice."""

    def __init__(self, rows: list[tuple[str, Any]]) -> None:
        super().__init__(rows)
        self._rows = rows

    def items(self) -> Any:
        return iter(self._rows)


def _text(request: CompletionRequest) -> str:
    return request.messages[-1].content


def _completion(text: str) -> Completion:
    return Completion(f"answer to {text}", USAGE, "stop", "fake-batch-1")
