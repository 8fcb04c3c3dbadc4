"""What all endpoints share, and what is checked before any of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cogumi_serve.api.errors import ApiError
from cogumi_serve.api.keys import KeyRing
from cogumi_serve.api.metrics import Metrics
from cogumi_serve.api.worker import Worker
from cogumi_serve.system.routed import RoutedSystem

if TYPE_CHECKING:
    from fastapi import Request

MAX_BODY: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Service:
    """The open system, the thread or threads that compute with it, the keys, and the counters."""

    system: RoutedSystem
    worker: Worker
    keys: KeyRing
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def fingerprint(self) -> str:
        """What answers name as their `system_fingerprint`: the base."""
        return f"fp_{self.system.manifest.base.sha256[:12]}"

    def require_key(self, request: Request) -> None:
        """Raises ApiError (401)."""
        if not self.keys.admits(request.headers.get("authorization")):
            message = "a valid API key is needed: send it as `Authorization: Bearer KEY`"
            raise ApiError(401, message, code="invalid_api_key", headers={"www-authenticate": "Bearer"})


async def read_body(request: Request) -> bytes:
    """The whole body, read no further than the limit. Raises ApiError (413)."""
    received = bytearray()
    async for part in request.stream():
        received += part
        if len(received) > MAX_BODY:
            # What was not read stays unread: the connection cannot be used for another request.
            message = f"the body is larger than {MAX_BODY:,} bytes"
            raise ApiError(413, message, headers={"connection": "close"})
    return bytes(received)
