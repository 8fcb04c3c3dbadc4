"""The HTTP application: routes, keys, body sizes, errors. Computing happens in the worker's thread, never in the event loop.

Left out: CORS (a browser page of another origin cannot call this server), embeddings, several answers to one request, `echo`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from cogumi_core.api.errors import CogumiError
from cogumi_core.api.types import JSON
from cogumi_serve.api.answer_writer import AnswerWriter
from cogumi_serve.api.errors import ApiError, from_error, from_status
from cogumi_serve.api.keys import KeyRing
from cogumi_serve.api.metrics import Metrics
from cogumi_serve.api.requests import ChatBody, CompletionBody, parse
from cogumi_serve.api.responses import headers_of
from cogumi_serve.api.worker import Job, Worker
from cogumi_serve.system.routed import RoutedSystem

MAX_BODY: Final = 4 * 1024 * 1024
CREATED: Final = 0
"""`/v1/models` must name a time; when a system was made is in its manifest, and no client needs it."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Service:
    """What the routes share."""

    system: RoutedSystem
    worker: Worker
    keys: KeyRing
    metrics: Metrics


def create_app(system: RoutedSystem, *, keys: KeyRing | None = None, queue: int = 16) -> FastAPI:
    """The application around an open system; closing the system stays with the caller."""
    service = Service(system, Worker(system, queue), keys or KeyRing(), Metrics())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.worker.close)

    app = FastAPI(title="Cogumi", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    _add_error_handlers(app, service)
    _add_routes(app, service)
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        _require_key(service, request)
        return PlainTextResponse(service.metrics.text(service.worker.load), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, JSON]:
        _require_key(service, request)
        return {"object": "list", "data": [_model(service, name) for name in service.system.models]}

    @app.get("/v1/models/{name}")
    async def model(request: Request, name: str) -> dict[str, JSON]:
        _require_key(service, request)
        service.system.require_model(name)
        return _model(service, name)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        _require_key(service, request)
        return await _respond(service, request, parse(ChatBody, await _body(request)))

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        _require_key(service, request)
        return await _respond(service, request, parse(CompletionBody, await _body(request)))


def _model(service: Service, name: str) -> dict[str, JSON]:
    parent = {"parent": "base"} if name in service.system.manifest.adapters else {}
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "cogumi", **parent}


def _add_error_handlers(app: FastAPI, service: Service) -> None:
    def answer(request: Request, error: ApiError) -> Response:
        service.metrics.count("cogumi_requests_total", path=_known_path(request), status=error.status)
        return JSONResponse(error.body(), error.status, headers=dict(error.headers or {}))

    @app.exception_handler(ApiError)
    async def api_error(request: Request, exc: ApiError) -> Response:
        return answer(request, exc)

    @app.exception_handler(CogumiError)
    async def cogumi_error(request: Request, exc: CogumiError) -> Response:
        return answer(request, from_error(exc))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, exc: HTTPException) -> Response:
        error = from_status(exc.status_code, f"{exc.detail}: {request.method} {request.url.path}")
        error.headers = exc.headers
        return answer(request, error)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, exc: Exception) -> Response:
        # The server's own log has the traceback; the client learns nothing about the inside.
        return answer(request, ApiError(500, "the server failed; its log has the reason"))


def _known_path(request: Request) -> str:
    """The path for a label: only paths that exist, or anybody could fill the memory with names."""
    route = request.scope.get("route")
    return getattr(route, "path", "other")


def _require_key(service: Service, request: Request) -> None:
    if not service.keys.admits(request.headers.get("authorization")):
        message = "a valid API key is needed: send it as `Authorization: Bearer KEY`"
        raise ApiError(401, message, code="invalid_api_key", headers={"www-authenticate": "Bearer"})


async def _body(request: Request) -> bytes:
    """The whole body, read no further than the limit."""
    received = bytearray()
    async for part in request.stream():
        received += part
        if len(received) > MAX_BODY:
            # What was not read stays unread: the connection cannot be used for another request.
            message = f"the body is larger than {MAX_BODY:,} bytes"
            raise ApiError(413, message, headers={"connection": "close"})
    return bytes(received)


async def _respond(service: Service, request: Request, body: ChatBody | CompletionBody) -> Response:
    job = Job(body.to_request(), body.model)
    service.system.require_model(body.model)
    service.worker.submit(job)
    watcher = asyncio.create_task(_cancel_when_gone(request, job, service.metrics))
    try:
        reply = await job.begun()
    except CogumiError as exc:
        watcher.cancel()
        raise from_error(exc, schema_param=body.schema_param or None) from exc
    except BaseException:
        watcher.cancel()
        job.cancel()
        raise
    service.metrics.count("cogumi_answers_total", route=reply.receipt.route)
    writer = AnswerWriter(service.system, job, body, service.metrics)
    headers = headers_of(reply.receipt)
    if body.stream:
        chunks = writer.chunks(watcher)
        return StreamingResponse(chunks, media_type="text/event-stream", headers={"cache-control": "no-cache", **headers})
    try:
        content = await writer.whole()
    finally:
        watcher.cancel()
    return JSONResponse(content, headers=headers)


async def _cancel_when_gone(request: Request, job: Job, metrics: Metrics) -> None:
    """The body is read, so the next message of the client can only be that it left."""
    with suppress(asyncio.CancelledError):
        while (await request.receive())["type"] != "http.disconnect":
            pass
        if job.abandon():
            metrics.count("cogumi_cancelled_total")
