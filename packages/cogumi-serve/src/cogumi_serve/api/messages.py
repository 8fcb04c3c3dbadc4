"""Turns of a conversation as clients send them, and as models are shown them."""

from __future__ import annotations

import json
from typing import Literal

from cogumi_core import Message, ToolCall
from cogumi_serve.api.bodies import Strict
from cogumi_serve.api.errors import bad_request


class TextPart(Strict):
    type: Literal["text"]
    text: str


class SentFunction(Strict):
    name: str
    arguments: str


class SentCall(Strict):
    id: str
    type: Literal["function"] = "function"
    function: SentFunction


class ChatMessage(Strict):
    """One turn. `developer` is what newer clients call `system`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[SentCall] | None = None
    tool_call_id: str | None = None
    refusal: None = None
    audio: None = None

    def to_message(self, index: int) -> Message:
        """Raises ApiError naming the turn by its `index`."""
        role = "system" if self.role == "developer" else self.role
        calls = self._calls(f"messages[{index}].tool_calls")
        if self.content is None and not calls:
            message = "a message needs content"
            raise bad_request(message, f"messages[{index}].content")
        parts = [self.content] if isinstance(self.content, str) else [part.text for part in self.content or ()]
        return Message(role, "".join(parts), calls, self.tool_call_id)

    def _calls(self, param: str) -> tuple[ToolCall, ...]:
        """Earlier calls. Only what the model itself could have written is taken."""
        if self.tool_calls and self.role != "assistant":
            message = "only a message of the assistant holds calls"
            raise bad_request(message, param)
        for call in self.tool_calls or ():
            if not _is_object(call.function.arguments):
                message = f"the arguments of the call of '{call.function.name}' must be a JSON object in text form"
                raise bad_request(message, param)
        return tuple(ToolCall(call.function.name, call.function.arguments, call.id) for call in self.tool_calls or ())


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
