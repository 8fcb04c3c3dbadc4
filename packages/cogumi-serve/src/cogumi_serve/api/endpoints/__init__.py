"""The endpoints, one module each, and the table that makes them one server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from fastapi.responses import Response

from cogumi_serve.api.endpoints import chat, completions, health, metrics, models
from cogumi_serve.api.service import Service


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One line of the table. `answer` may raise ApiError or any CogumiError: both become answers in OpenAI's form."""

    method: str
    path: str
    answer: Callable[[Service, Request], Awaitable[Response]]
    needs_key: bool = True


ENDPOINTS: Final = (
    Endpoint("GET", "/health", health.answer, needs_key=False),
    Endpoint("GET", "/metrics", metrics.answer),
    Endpoint("GET", "/v1/models", models.every),
    Endpoint("GET", "/v1/models/{name}", models.one),
    Endpoint("POST", chat.ChatBody.path, chat.answer),
    Endpoint("POST", completions.CompletionBody.path, completions.answer),
)
