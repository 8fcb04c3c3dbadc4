"""`GET /metrics`: what happened since the start, for Prometheus."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response

from cogumi_serve.api.service import Service


async def answer(service: Service, request: Request) -> Response:
    return PlainTextResponse(service.metrics.text(service.worker.load), media_type="text/plain; version=0.0.4")
