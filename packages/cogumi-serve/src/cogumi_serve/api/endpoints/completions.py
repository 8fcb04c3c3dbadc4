"""`POST /v1/completions`: raw text is continued, without a chat template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field

from cogumi_core import JSON, GenerateRequest
from cogumi_serve.api.answering import respond
from cogumi_serve.api.bodies import AnswerBody, MaxTokens, parse
from cogumi_serve.api.errors import bad_request
from cogumi_serve.api.responses import Envelope
from cogumi_serve.api.service import Service, read_body

DEFAULT_MAX_TOKENS: Final = 16


async def answer(service: Service, request: Request) -> Response:
    body = parse(CompletionBody, await read_body(request))
    return await respond(service, request, body, TextEnvelope(body.model, service.fingerprint))


class CompletionBody(AnswerBody):
    """What the endpoint takes."""

    path: ClassVar[str] = "/v1/completions"

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    max_tokens: MaxTokens | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    suffix: None = None
    logprobs: None = None

    def to_request(self) -> GenerateRequest:
        """Raises ApiError naming the parameter."""
        prompt = self.prompt if isinstance(self.prompt, str) else self.prompt[0]
        if not prompt:
            message = "an empty prompt cannot be continued"
            raise bad_request(message, "prompt")
        return GenerateRequest((), self.sampling(self.max_tokens or DEFAULT_MAX_TOKENS), prompt=prompt)


@dataclass(slots=True)
class TextEnvelope(Envelope):
    """The answer as text."""

    kind: ClassVar[str] = "text_completion"
    chunk_kind: ClassVar[str] = "text_completion"
    prefix: ClassVar[str] = "cmpl"

    def choice(self, text: str, finish: str, logprobs: JSON, calls: list[JSON] | None) -> dict[str, JSON]:
        return {"text": text, "logprobs": None, "finish_reason": finish}

    def part(self, text: str | None) -> dict[str, JSON]:
        return {"text": text or ""}
