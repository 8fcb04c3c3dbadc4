"""Bodies of requests: what every endpoint that answers accepts, and how a body is read.

No parameter is dropped in silence. Each one of OpenAI's is either obeyed, or accepted only with the value that changes nothing
(`n: 1`, `presence_penalty: 0`), or refused by name. `user` and `metadata` describe the caller and change no answer: they are
accepted, and neither used nor kept.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cogumi_core import GenerateRequest, Sampling
from cogumi_serve.api.errors import ApiError, bad_request

Body = TypeVar("Body", bound="Strict")
MaxTokens = Annotated[int, Field(ge=1, le=1_000_000)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]


class Strict(BaseModel):
    """Nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Strict):
    """`include_usage`: a last chunk with the usage and no choices."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class AnswerBody(Strict, ABC):
    """What every endpoint that answers takes; `path` is where it is."""

    path: ClassVar[str]

    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    # Accepted only where they change nothing.
    n: Literal[1] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None

    def sampling(self, max_tokens: int) -> Sampling:
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Sampling(
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            max_tokens=max_tokens,
            seed=None if self.seed is None else self.seed % 2**64,
            stop=stop,
        )

    @abstractmethod
    def to_request(self) -> GenerateRequest:
        """The question to the system. Raises ApiError naming the parameter."""

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def calls_a_tool(self) -> bool:
        """Whether the answer is a call of a tool."""
        return False

    @property
    def wants_logprobs(self) -> bool:
        """Whether each token comes with its log-probability."""
        return False

    @property
    def schema_param(self) -> str | None:
        """The parameter that brought the schema, for errors about it."""
        return None


def parse(body: type[Body], raw: bytes) -> Body:
    """The body of a request. Raises ApiError: not JSON, or naming the first parameter that is wrong."""
    try:
        data = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        message = f"the body is not valid JSON: {exc}"
        raise bad_request(message) from exc
    if not isinstance(data, dict):
        message = f"the body must be a JSON object, not {type(data).__name__}"
        raise bad_request(message)
    try:
        return body.model_validate(data)
    except ValidationError as exc:
        raise _explain(exc) from exc


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def _explain(exc: ValidationError) -> ApiError:
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    # Where a parameter may have several forms, each form complains; the deepest complaint is about the form that was meant.
    first = max((error for error in errors if error["loc"][:1] == errors[0]["loc"][:1]), key=lambda error: len(error["loc"]))
    param = _path(first["loc"])
    if first["type"] == "extra_forbidden":
        return bad_request(f"'{param}' is not supported by this server", param, "unsupported_parameter")
    if first["type"] == "missing":
        return bad_request(f"'{param}' is required", param, "missing_required_parameter")
    return bad_request(f"'{param}': {first['msg']}", param, "invalid_value")


def _path(location: tuple[int | str, ...]) -> str:
    """`messages[0].content`; the names pydantic adds for alternatives of a union are left out."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if not _is_alternative(part)]
    return "".join(parts).removeprefix(".")


def _is_alternative(part: int | str) -> bool:
    return isinstance(part, str) and (
        part in ("str", "bool", "int", "float") or "[" in part or part in ("NamedTool", "constrained-str")
    )
