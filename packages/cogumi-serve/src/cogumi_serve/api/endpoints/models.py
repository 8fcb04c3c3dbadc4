"""`GET /v1/models` and `GET /v1/models/NAME`: what may be asked for."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from cogumi_core import JSON
from cogumi_serve.api.service import Service

CREATED: Final = 0
"""An entry must name a time; when a system was made is in its manifest, and no client needs it."""


async def every(service: Service, request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [_model(service, name) for name in service.system.models]})


async def one(service: Service, request: Request) -> Response:
    """Raises UnknownModel."""
    name = request.path_params["name"]
    service.system.require_model(name)
    return JSONResponse(_model(service, name))


def _model(service: Service, name: str) -> dict[str, JSON]:
    parent = {"parent": "base"} if name in service.system.manifest.adapters else {}
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "cogumi", **parent}
