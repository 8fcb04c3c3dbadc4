"""The tests' own manners: no race against a clock, no process that nobody waits for.

A machine may stop any process for any time, so a test that passes only when something is quick fails by chance. What is fast
and what is not is for `benchmarks/` to say.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(path for path in TESTS.rglob("*.py") if path.name not in ("processes.py", Path(__file__).name))
WAITS = {"wait", "communicate", "join", "run", "Client", "OpenAI", "call", "check_output", "check_call"}
CLOCKS = {"monotonic", "perf_counter", "process_time"}


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_limit(call: ast.Call) -> bool:
    """Whether the call gives up after some seconds."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "timeout"]
    if name_of(call) in ("wait", "join") and len(call.args) == 1 and isinstance(call.args[0], ast.Constant):
        named.append(call.args[0])
    return any(isinstance(value, ast.Constant) and isinstance(value.value, int | float) for value in named)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_nothing_gives_up_after_some_seconds(path: Path) -> None:
    assert [f"line {call.lineno}" for call in calls(path) if name_of(call) in WAITS and is_limit(call)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_processes_are_started_where_they_are_waited_for(path: Path) -> None:
    assert [f"line {call.lineno}" for call in calls(path) if name_of(call) == "Popen"] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_time_is_asserted(path: Path) -> None:
    read = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Assert)]
    clocked = [node for node in read for part in ast.walk(node) if isinstance(part, ast.Attribute) and part.attr in CLOCKS]
    assert [f"line {node.lineno}" for node in clocked] == []
