"""Bodies of answers, whole and in chunks, in OpenAI's form, with the receipt under `cogumi`."""

from __future__ import annotations

import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from cogumi_core import JSON, Token, Usage
from cogumi_core.formats.tools import parse_call
from cogumi_serve.system.receipt import Receipt


def usage_json(usage: Usage) -> dict[str, JSON]:
    total = usage.prompt_tokens + usage.completion_tokens
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": total}


def headers_of(receipt: Receipt) -> dict[str, str]:
    confidence = {} if receipt.confidence is None else {"x-cogumi-confidence": f"{receipt.confidence:.6f}"}
    return {"x-cogumi-route": receipt.route, **confidence}


def event(data: JSON) -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def token_logprob(token: Token, text: str) -> dict[str, JSON]:
    """One entry of `logprobs.content`; `text` is the token's own, which a stop string may have kept from the answer."""
    return {"token": text, "logprob": token.logprob, "bytes": list(text.encode()), "top_logprobs": []}


@dataclass(slots=True)
class Envelope(ABC):
    """What all objects of one answer share; an endpoint says how text stands in them. `prefix` begins the answer's id."""

    kind: ClassVar[str]
    chunk_kind: ClassVar[str]
    prefix: ClassVar[str]

    model: str
    fingerprint: str
    created: int = field(default_factory=lambda: int(time.time()))
    id: str = ""

    def __post_init__(self) -> None:
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"

    @abstractmethod
    def choice(self, text: str, finish: str, logprobs: JSON, calls: list[JSON] | None) -> dict[str, JSON]:
        """The one choice of a whole answer; `calls` where it is a call of a tool."""

    @abstractmethod
    def part(self, text: str | None) -> dict[str, JSON]:
        """Where text stands in the choice of a chunk; None in the last one, which has none."""

    def opening(self) -> list[dict[str, JSON]]:
        """Chunks before the first text."""
        return []

    def call_part(self, calls: list[JSON]) -> dict[str, JSON]:
        """Where calls stand in the choice of a chunk, for endpoints that take tools."""
        raise NotImplementedError

    def whole(self, choice: Mapping[str, JSON], usage: Usage, receipt: Receipt) -> dict[str, JSON]:
        """The answer in one object."""
        choices = [{"index": 0, **choice}]
        return {**self._head(self.kind), "choices": choices, "usage": usage_json(usage), "cogumi": receipt.to_json()}

    def chunk(self, part: Mapping[str, JSON], *, finish: str | None = None, logprobs: JSON = None) -> dict[str, JSON]:
        """One piece of a stream."""
        choice = {"index": 0, **part, "logprobs": logprobs, "finish_reason": finish}
        return {**self._head(self.chunk_kind), "choices": [choice]}

    def last_chunk(self, finish: str, receipt: Receipt) -> dict[str, JSON]:
        return {**self.chunk(self.part(None), finish=finish), "cogumi": receipt.to_json()}

    def usage_chunk(self, usage: Usage) -> dict[str, JSON]:
        return {**self._head(self.chunk_kind), "choices": [], "usage": usage_json(usage)}

    def _head(self, kind: str) -> dict[str, JSON]:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**head, "system_fingerprint": self.fingerprint}


def tool_calls(text: str) -> list[JSON] | None:
    """The call that `text` is, in OpenAI's form; None when the answer was cut off before the call was whole."""
    call = parse_call(text)
    if call is None:
        return None
    name, arguments = call
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return [{"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}]
