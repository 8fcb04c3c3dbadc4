"""Answers in text that are calls of functions, in the one form in which models of this project write them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from cogumi_core import Tool, ToolCall
from cogumi_core.formats.tools import parse_call


def calls_in(text: str, tools: Sequence[Tool]) -> tuple[ToolCall, ...]:
    """The calls of `tools` that `text` consists of: one, or one a line. None where it is anything else."""
    names = {tool["name"] for tool in tools}
    whole = parse_call(text)
    calls: list[ToolCall] = []
    for call in [whole] if whole else map(parse_call, filter(str.strip, text.splitlines())):
        if call is None or call[0] not in names:
            return ()
        name, arguments = call
        calls.append(ToolCall(name, json.dumps(arguments, ensure_ascii=False), id=f"call-{len(calls) + 1}"))
    return tuple(calls)
