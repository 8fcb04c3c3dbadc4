"""Bodies of answers, whole and in chunks, in OpenAI's form, with the receipt under `cogumi`."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from cogumi_core.api.types import JSON, Token, Usage
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
class Envelope:
    """What all objects of one answer share. `kind` is `chat.completion` or `text_completion`."""

    kind: str
    model: str
    fingerprint: str
    created: int = field(default_factory=lambda: int(time.time()))
    id: str = ""

    def __post_init__(self) -> None:
        self.id = f"{'chatcmpl' if self.is_chat else 'cmpl'}-{uuid.uuid4().hex}"

    @property
    def is_chat(self) -> bool:
        return self.kind == "chat.completion"

    def whole(self, text: str, finish: str, usage: Usage, receipt: Receipt, *, logprobs: JSON, tools: bool) -> dict[str, JSON]:
        """The answer in one object."""
        if not self.is_chat:
            choice: dict[str, JSON] = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        else:
            calls = tool_calls(text) if tools else None
            message: dict[str, JSON] = {"role": "assistant", "content": None if calls else text, "refusal": None}
            message |= {"tool_calls": calls} if calls else {}
            choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "tool_calls" if calls else finish}
        return {**self._head(self.kind), "choices": [choice], "usage": usage_json(usage), "cogumi": receipt.to_json()}

    def first_chunk(self) -> dict[str, JSON]:
        """Says whose turn it is."""
        return self._chunk({"role": "assistant", "content": ""}, None, None)

    def text_chunk(self, text: str, logprobs: JSON) -> dict[str, JSON]:
        return self._chunk({"content": text} if self.is_chat else text, None, logprobs)

    def call_chunk(self, calls: Sequence[JSON]) -> dict[str, JSON]:
        return self._chunk({"tool_calls": [{"index": index, **call} for index, call in enumerate(calls)]}, None, None)

    def last_chunk(self, finish: str, receipt: Receipt) -> dict[str, JSON]:
        return {**self._chunk({} if self.is_chat else "", finish, None), "cogumi": receipt.to_json()}

    def usage_chunk(self, usage: Usage) -> dict[str, JSON]:
        return {**self._head(self._chunk_kind()), "choices": [], "usage": usage_json(usage)}

    def _chunk(self, content: JSON, finish: str | None, logprobs: JSON) -> dict[str, JSON]:
        part = {"delta": content} if self.is_chat else {"text": content}
        return {
            **self._head(self._chunk_kind()),
            "choices": [{"index": 0, **part, "logprobs": logprobs, "finish_reason": finish}],
        }

    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.is_chat else self.kind

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
