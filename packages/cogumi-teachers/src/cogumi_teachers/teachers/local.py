"""The teacher `local`: a model file on this computer, run by any installed engine.

An engine used as a teacher: the file is opened at the first question, not before, because most runs find every answer in the
cache. As many questions are answered at once as the engine's session says it can. Nothing is kept between questions
(`reuse_prefix` off), so an answer depends neither on what was asked before it nor on what is asked beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from cogumi_core import (
    JSON,
    Completion,
    CompletionRequest,
    Engine,
    EngineError,
    GenerateRequest,
    InputError,
    OpenOptions,
    Price,
    Sampling,
    Services,
    Session,
    TeacherRefusal,
    TeacherUnavailable,
    Usage,
    UsageError,
    settings_for_fingerprint,
)
from cogumi_core.formats.tools import asked, call_schema
from cogumi_teachers.teachers.calls import calls_in
from cogumi_teachers.teachers.settings import LocalSettings


class LocalTeacher:
    """See `cogumi_core.Teacher`. `close` frees the model; a later call opens it again."""

    needs_reference = False

    def __init__(self, settings: LocalSettings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self._lock = threading.Lock()
        self._session: Session | None = None
        self.price = Price(0.0, 0.0)
        self.sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed)

    @property
    def concurrency(self) -> int:
        """What was asked for until the model is open, then what its session can do."""
        session = self._session
        return self._settings.parallel if session is None else session.parallel

    @cached_property
    def identity(self) -> Mapping[str, JSON]:
        """Engine with its version and settings, content of the model file and room for the answer: all that determines an
        answer beside the request."""
        settings = settings_for_fingerprint(self._settings)
        return {
            "provider": "local",
            "engine": settings["engine"],
            "model": self._digest(),
            "context_tokens": settings["context_tokens"],
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
            message = (
                f"{self._model}: the teacher 'local' runs a model file, this is a folder; name a file that the engine opens"
            )
            raise InputError(message)
        with self._model.open("rb") as data:
            return hashlib.file_digest(data, "sha256").hexdigest()

    def _answer(self, request: CompletionRequest) -> Completion:
        session = self._open()
        question = _as_served(request)
        try:
            prompt_tokens = session.count_prompt_tokens(question.messages)
            tokens = list(session.stream(question))
        except EngineError as exc:
            message = f"{self._model.name} cannot answer this prompt: {exc}"
            raise TeacherRefusal(message) from exc
        usage = Usage(prompt_tokens, len(tokens))
        text = "".join(token.text for token in tokens)
        if calls := calls_in(text, request.tools):
            return Completion("", usage, "tool_calls", self._name, calls)
        return Completion(text, usage, (tokens[-1].finish_reason if tokens else None) or "stop", self._name)

    def _open(self) -> Session:
        with self._lock:
            if self._session is None:
                self._session = self._opened()
            return self._session

    def _opened(self) -> Session:
        settings = self._settings
        if settings.engine is None:
            message = "the teacher 'local' has no engine for its model; install one (pip install 'cogumi-serve[llama]')"
            raise TeacherUnavailable(message)
        options = OpenOptions(context_tokens=settings.context_tokens, parallel=settings.parallel)
        try:
            engine: Engine = self._services.make(settings.engine)
            return engine.open(self._model, options)
        except (EngineError, UsageError) as exc:
            message = f"the teacher 'local' cannot open its model: {exc}"
            raise TeacherUnavailable(message) from exc


def _as_served(request: CompletionRequest) -> GenerateRequest:
    """The question as the server would put it to the model: functions are described in the system turn, and the answer is held
    to be a call. Only after a function's result the model answers freely, because somebody must say what it means."""
    schema = request.schema
    if schema is None and request.tools and request.messages[-1].role != "tool":
        schema = call_schema(request.tools)
    return GenerateRequest(asked(request.messages, request.tools), request.sampling, schema)
