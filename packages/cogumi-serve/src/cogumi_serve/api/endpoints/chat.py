"""`POST /v1/chat/completions`: a conversation is answered, in text, as JSON, or with one call of a tool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field

from cogumi_core import JSON, GenerateRequest, InputError
from cogumi_serve.api.answering import respond
from cogumi_serve.api.bodies import AnswerBody, MaxTokens, Strict, parse
from cogumi_serve.api.errors import bad_request
from cogumi_serve.api.messages import ChatMessage
from cogumi_serve.api.responses import Envelope
from cogumi_serve.api.service import Service, read_body
from cogumi_serve.api.tool_calls import calling, functions_of

DEFAULT_MAX_TOKENS: Final = 512
MAX_TOOLS: Final = 128


async def answer(service: Service, request: Request) -> Response:
    body = parse(ChatBody, await read_body(request))
    return await respond(service, request, body, ChatEnvelope(body.model, service.fingerprint))


class SchemaFormat(Strict):
    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None

    def schema(self) -> JSON:  # type: ignore[override]
        if self.type == "json_schema":
            if self.json_schema is None:
                message = "'json_schema' is missing"
                raise bad_request(message, "response_format.json_schema")
            return self.json_schema.schema_
        return {"type": "object"} if self.type == "json_object" else None


class NamedFunction(Strict):
    name: str


class NamedTool(Strict):
    type: Literal["function"]
    function: NamedFunction


class ChatBody(AnswerBody):
    """What the endpoint takes."""

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
    def wants_logprobs(self) -> bool:
        return bool(self.logprobs)

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


@dataclass(slots=True)
class ChatEnvelope(Envelope):
    """The answer as a turn of the assistant."""

    kind: ClassVar[str] = "chat.completion"
    chunk_kind: ClassVar[str] = "chat.completion.chunk"
    prefix: ClassVar[str] = "chatcmpl"

    def choice(self, text: str, finish: str, logprobs: JSON, calls: list[JSON] | None) -> dict[str, JSON]:
        message: dict[str, JSON] = {"role": "assistant", "content": None if calls else text, "refusal": None}
        message |= {"tool_calls": calls} if calls else {}
        return {"message": message, "logprobs": logprobs, "finish_reason": "tool_calls" if calls else finish}

    def opening(self) -> list[dict[str, JSON]]:
        return [self.chunk({"delta": {"role": "assistant", "content": ""}})]

    def part(self, text: str | None) -> dict[str, JSON]:
        return {"delta": {} if text is None else {"content": text}}

    def call_part(self, calls: list[JSON]) -> dict[str, JSON]:
        return {"delta": {"tool_calls": [{"index": index, **call} for index, call in enumerate(calls)]}}
