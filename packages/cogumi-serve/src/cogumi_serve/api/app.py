"""The HTTP application: the table of endpoints, behind keys and in front of one form of errors.

Computing happens in the worker's threads, never in the event loop. Left out: CORS (a browser page of another origin cannot call
this server), embeddings, several answers to one request, `echo`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from cogumi_core import CogumiError
from cogumi_serve.api.endpoints import ENDPOINTS, Endpoint
from cogumi_serve.api.errors import ApiError, from_error, from_status
from cogumi_serve.api.keys import KeyRing
from cogumi_serve.api.service import Service
from cogumi_serve.api.worker import Worker
from cogumi_serve.system.routed import RoutedSystem


def create_app(system: RoutedSystem, *, keys: KeyRing | None = None, queue: int = 16) -> FastAPI:
    """The application around an open system; closing the system stays with the caller."""
    service = Service(system, Worker(system, queue), keys or KeyRing())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.worker.close)

    app = FastAPI(title="Cogumi", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    _add_error_handlers(app, service)
    for endpoint in ENDPOINTS:
        _add(app, service, endpoint)
    return app


def _add(app: FastAPI, service: Service, endpoint: Endpoint) -> None:
    async def answer(request: Request) -> Response:
        if endpoint.needs_key:
            service.require_key(request)
        return await endpoint.answer(service, request)

    app.add_api_route(endpoint.path, answer, methods=[endpoint.method])


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
