"""The key of a model call: sha256 of everything that determines the answer, and nothing else.

That is the teacher's identity and the request. Identical requests get the identical answer; who wants several samples of one
request gives each a `sampling.seed` of its own. No key, host, path or time: an identity that holds the value of a secret is
refused before it could be stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

from cogumi_core.api.errors import PluginError
from cogumi_core.api.types import JSON, CompletionRequest, Message, Sampling, ToolCall
from cogumi_core.store.fingerprint import canonical_json, sha256_text

SCHEMA: Final = 1
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)", re.IGNORECASE)
_SECRET_LENGTH = 8


@dataclass(frozen=True)
class Call:
    """One call as it is asked."""

    identity: Mapping[str, JSON]
    request: CompletionRequest

    @cached_property
    def key(self) -> str:
        return request_key(self.identity, self.request)

    @cached_property
    def text(self) -> str:
        """The request as canonical JSON; `parsed` reads it."""
        return canonical_json(plain(self.request))


def request_key(identity: Mapping[str, JSON], request: CompletionRequest) -> str:
    """Hexadecimal sha256 of the canonical call. Raises PluginError when the identity is not plain JSON."""
    # `sample` is 0 since seeds tell samples apart; it stays, because without it every stored answer would be bought again.
    return sha256_text(canonical_json({"schema": SCHEMA, "identity": identity, "request": plain(request), "sample": 0}))


def plain(request: CompletionRequest) -> dict[str, JSON]:
    """The request as JSON. What the first version of requests could not say is left out when it is not said, so that keys
    stay."""
    row: dict[str, JSON] = {
        "messages": [_plain_message(message) for message in request.messages],
        "sampling": asdict(request.sampling),
        "schema": request.schema,
        "reference": request.reference,
    }
    return {**row, "tools": list(request.tools)} if request.tools else row


def _plain_message(message: Message) -> dict[str, JSON]:
    row: dict[str, JSON] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        row["tool_calls"] = [asdict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        row["tool_call_id"] = message.tool_call_id
    return row


def parsed(text: str) -> CompletionRequest:
    """The request that `Call.text` holds."""
    row: dict[str, Any] = json.loads(text)
    messages = tuple(
        Message(
            turn["role"],
            turn["content"],
            tuple(ToolCall(**call) for call in turn.get("tool_calls", ())),
            turn.get("tool_call_id"),
        )
        for turn in row["messages"]
    )
    sampling = Sampling(**{**row["sampling"], "stop": tuple(row["sampling"]["stop"])})
    return CompletionRequest(messages, sampling, row["schema"], row["reference"], tuple(row.get("tools", ())))


def refuse_secrets(identity: Mapping[str, JSON], environ: Mapping[str, str]) -> None:
    """Raises PluginError when the identity holds the value of an environment variable that is named like a secret."""
    texts = list(_texts(identity))
    for name, value in environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_LENGTH and any(value in text for text in texts):
            message = (
                f"the teacher's identity holds the value of {name}; the identity is stored with every answer, so it must name "
                "the provider and the model, never a key"
            )
            raise PluginError(message)


def _texts(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
