"""`GET /health`: the server is up, and the model is loaded."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from cogumi_serve.api.service import Service


async def answer(service: Service, request: Request) -> Response:
    return JSONResponse({"status": "ok"})
