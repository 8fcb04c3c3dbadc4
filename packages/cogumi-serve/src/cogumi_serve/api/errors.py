"""Errors as OpenAI's clients expect them: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from cogumi_core import JSON, CogumiError, InputError
from cogumi_serve.engines.errors import PromptTooLong
from cogumi_serve.grammar.errors import SchemaRefused
from cogumi_serve.system.errors import UnknownModel


class Busy(CogumiError):
    """The queue in front of the model is full; trying again later works."""


class PortUnavailable(CogumiError):
    """The server cannot listen where it was told to."""


class ApiError(Exception):
    """An HTTP answer that is an error. `param` names the parameter at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.headers = status, message, param, code, headers

    def body(self) -> dict[str, JSON]:
        kind = {401: "authentication_error", 503: "server_busy"}.get(self.status)
        kind = kind or ("invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def from_status(status: int, detail: str) -> ApiError:
    """For what the web framework refuses itself: unknown paths, wrong methods."""
    return ApiError(status, detail or HTTPStatus(status).phrase)


def from_error(error: CogumiError, *, schema_param: str | None = None) -> ApiError:
    """What an error of the system is to a client. `schema_param`: the parameter that brought the schema."""
    message = str(error)
    if isinstance(error, UnknownModel):
        return ApiError(404, message, param="model", code="model_not_found")
    if isinstance(error, PromptTooLong):
        return bad_request(message, "messages", "context_length_exceeded")
    if isinstance(error, SchemaRefused):
        return bad_request(message, schema_param)
    if isinstance(error, InputError):
        return bad_request(message)
    if isinstance(error, Busy):
        return ApiError(503, message, code="queue_full", headers={"retry-after": "1"})
    return ApiError(500, message)
