"""Bodies of requests: what is accepted, and how it becomes a question to the system.

No parameter is dropped in silence. Each one of OpenAI's is either obeyed, or accepted only with the value that changes nothing
(`n: 1`, `presence_penalty: 0`), or refused by name. `user` and `metadata` describe the caller and change no answer: they are
accepted, and neither used nor kept.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Final, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON, GenerateRequest, Message, Sampling
from cogumi_core.formats.tools import format_call
from cogumi_serve.api.errors import ApiError, bad_request
from cogumi_serve.api.tool_calls import calling, functions_of

DEFAULT_MAX_TOKENS: Final = 512
LEGACY_MAX_TOKENS: Final = 16
MAX_TOOLS: Final = 128

Body = TypeVar("Body", bound="_Body")
MaxTokens = Annotated[int, Field(ge=1, le=1_000_000)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(_Strict):
    """`include_usage`: a last chunk with the usage and no choices."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class _Body(_Strict):
    """What both endpoints take."""

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

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class TextPart(_Strict):
    type: Literal["text"]
    text: str


class FunctionCall(_Strict):
    name: str
    arguments: str


class ToolCall(_Strict):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(_Strict):
    """One turn. `developer` is what newer clients call `system`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: None = None
    audio: None = None

    def to_message(self, index: int) -> Message:
        role = "system" if self.role == "developer" else self.role
        if self.tool_calls:
            return Message("assistant", self._calls(index))
        if self.content is None:
            message = "a message needs content"
            raise bad_request(message, f"messages[{index}].content")
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message(role, text)

    def _calls(self, index: int) -> str:
        """Earlier calls in the text form that the model itself writes."""
        try:
            return "\n".join(
                format_call(call.function.name, json.loads(call.function.arguments)) for call in self.tool_calls or ()
            )
        except (ValueError, TypeError) as exc:
            message = f"the arguments of a call must be a JSON object in text form: {exc}"
            raise bad_request(message, f"messages[{index}].tool_calls") from exc


class SchemaFormat(_Strict):
    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(_Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None

    def schema(self) -> JSON:  # type: ignore[override]
        if self.type == "json_schema":
            if self.json_schema is None:
                message = "'json_schema' is missing"
                raise bad_request(message, "response_format.json_schema")
            return self.json_schema.schema_
        return {"type": "object"} if self.type == "json_object" else None


class NamedFunction(_Strict):
    name: str


class NamedTool(_Strict):
    type: Literal["function"]
    function: NamedFunction


class ChatBody(_Body):
    """`POST /v1/chat/completions`."""

    path: ClassVar[str] = "/v1/chat/completions"

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    # One call is all there ever is, so both values hold.
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Literal[0] | None = None
    store: Literal[False] | None = None

    @property
    def calls_a_tool(self) -> bool:
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def schema_param(self) -> str:
        return "tools" if self.calls_a_tool else "response_format"

    def to_request(self) -> GenerateRequest:
        """Raises ApiError naming the parameter."""
        messages = tuple(message.to_message(index) for index, message in enumerate(self.messages))
        schema = self.response_format.schema() if self.response_format else None
        limit = self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS
        request = GenerateRequest(messages, self.sampling(limit), schema)
        if not self.calls_a_tool:
            if self.tool_choice not in (None, "none", "auto"):
                message = "tool_choice needs tools"
                raise bad_request(message, "tool_choice")
            return request
        if schema is not None:
            message = "with tools the answer is a call; leave response_format out"
            raise bad_request(message, "response_format")
        only = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None
        try:
            return calling(request, functions_of(self.tools), only)
        except InputError as exc:
            raise bad_request(str(exc), "tool_choice" if str(exc).startswith("tool_choice") else "tools") from exc


class CompletionBody(_Body):
    """`POST /v1/completions`: raw text is continued, without a chat template."""

    path: ClassVar[str] = "/v1/completions"
    schema_param: ClassVar[str] = ""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    max_tokens: MaxTokens | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    suffix: None = None
    logprobs: None = None

    def to_request(self) -> GenerateRequest:
        prompt = self.prompt if isinstance(self.prompt, str) else self.prompt[0]
        if not prompt:
            message = "an empty prompt cannot be continued"
            raise bad_request(message, "prompt")
        return GenerateRequest((), self.sampling(self.max_tokens or LEGACY_MAX_TOKENS), prompt=prompt)


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
