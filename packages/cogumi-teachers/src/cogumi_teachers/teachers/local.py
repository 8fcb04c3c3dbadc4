"""The teacher `local`: a model file on this computer, run by any installed engine.

An engine used as a teacher: the file is opened at the first question, not before, because most runs find every answer
in the cache. Nothing is kept between questions (`reuse_prefix` off), so an answer does not depend on what was asked
before it. One call at a time: the model uses all cores already. Answering several prompts at once in one batch is left
out.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from cogumi_core.api.errors import EngineError, InputError, TeacherRefusal, TeacherUnavailable, UsageError
from cogumi_core.api.interfaces import Services, Session
from cogumi_core.api.types import JSON, Completion, CompletionRequest, GenerateRequest, Price, Sampling, Usage
from cogumi_core.store.digests import hash_file
from cogumi_teachers.config import LocalSettings


class LocalTeacher:
    """See `cogumi_core.api.interfaces.Teacher`. `close` frees the model; a later call opens it again."""

    needs_reference = False
    concurrency = 1

    def __init__(self, settings: LocalSettings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self._lock = threading.Lock()
        self._session: Session | None = None
        self.price = Price(0.0, 0.0)
        self.sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed)

    @cached_property
    def identity(self) -> Mapping[str, JSON]:
        """Engine, content of the model file and room for the answer: all that determines an answer beside the request."""
        return {
            "provider": "local",
            "engine": self._settings.engine,
            "model": self._digest(),
            "context_tokens": self._settings.context_tokens,
        }

    async def complete(self, request: CompletionRequest) -> Completion:
        """Raises TeacherUnavailable when the model cannot be opened, TeacherRefusal when it cannot answer this request."""
        return await asyncio.to_thread(self._answer, request)

    def close(self) -> None:
        """Frees the model's memory."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    @cached_property
    def _model(self) -> Path:
        if self._settings.model is not None:
            return self._services.locate(self._settings.model)
        if self._services.student is None:
            message = "the teacher 'local' has no model: set `model:` to a file, or name a `student:` in the recipe"
            raise UsageError(message)
        return self._services.student.path

    @property
    def _name(self) -> str:
        # A student from the store is always called model.gguf, so the name alone would say nothing.
        return f"{self._model.stem}@{self.identity['model'][:12]}"

    def _digest(self) -> str:
        student = self._services.student
        if self._settings.model is None and student is not None:
            return student.digest
        if self._model.is_dir():
            message = f"{self._model}: the teacher 'local' runs a model file, this is a folder; name a GGUF file"
            raise InputError(message)
        return hash_file(self._model)

    def _answer(self, request: CompletionRequest) -> Completion:
        session = self._open()
        try:
            prompt_tokens = session.count_prompt_tokens(request.messages)
            tokens = list(session.stream(GenerateRequest(request.messages, request.sampling, request.schema)))
        except EngineError as exc:
            message = f"{self._model.name} cannot answer this prompt: {exc}"
            raise TeacherRefusal(message) from exc
        finish_reason = (tokens[-1].finish_reason if tokens else None) or "stop"
        usage = Usage(prompt_tokens, len(tokens))
        return Completion("".join(token.text for token in tokens), usage, finish_reason, self._name)

    def _open(self) -> Session:
        with self._lock:
            if self._session is None:
                self._session = self._opened()
            return self._session

    def _opened(self) -> Session:
        try:
            engine = self._services.registry.create("engine", self._settings.engine)
            session: Session = engine.open(self._model, context_tokens=self._settings.context_tokens, reuse_prefix=False)
        except (EngineError, InputError) as exc:
            message = f"the teacher 'local' cannot open its model: {exc}"
            raise TeacherUnavailable(message) from exc
        return session
