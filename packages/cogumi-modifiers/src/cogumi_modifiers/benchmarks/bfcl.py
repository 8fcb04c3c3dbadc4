"""The benchmark `bfcl`: does the model call the right function with the right arguments?

Single calls of the Berkeley Function-Calling Leaderboard, graded on the parsed call against the accepted answers by the
rules of its AST checker: strings are compared without case, blanks and the marks `,./-_*^`; an integer passes for a float but
not the other way round; `""` among the accepted values means the argument may be left out; unknown arguments are wrong. More
lenient than the original in one point: numbers inside lists and objects are compared by value, whatever their type.

Left out: parallel and multi-turn calls, whose answer is not one JSON call.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cogumi_core import JSON, Grade, RunContext, Services, Task
from cogumi_core.formats.benchmarks.bfcl import LICENCE, BfclRow, read_bfcl, reference_call
from cogumi_core.formats.tools import call_schema, parse_call, with_tools
from cogumi_modifiers.benchmarks.settings import BfclSettings
from cogumi_modifiers.benchmarks.splits import of_split, split_by_group

DOMAIN: Final = "automation"
RIGHT: Final = Grade(correct=True, score=1.0)
_IGNORED = re.compile(r"[ ,./\-_*^]")


class BfclBenchmark:
    """Reads the data of the installed package `bfcl-eval`; the package itself is never imported."""

    domain = DOMAIN

    def __init__(self, settings: BfclSettings, services: Services) -> None:
        self._settings = settings
        self._services = services

    def tasks(self, split: str, run: RunContext) -> Iterator[Task]:
        """The tasks of `mine`, `train` or `validate`. Raises InputError."""
        yield from of_split(self._splits, split)

    def grade(self, task: Task, answer: str, run: RunContext) -> Grade:
        call = parse_call(answer)
        wrong = "not one JSON call" if call is None else _what_is_wrong(task, *call)
        return Grade(correct=False, score=0.0, reason=wrong) if wrong else RIGHT

    @functools.cached_property
    def _splits(self) -> dict[str, tuple[Task, ...]]:
        settings = self._settings
        questions, answers = (self._services.locate(path) for path in (settings.path, settings.answers))
        counts = {"mine": settings.mine_tasks, "train": settings.train_tasks, "validate": settings.validate_tasks}
        return split_by_group(map(_task, read_bfcl(questions, answers)), counts, settings.split_seed)


def _task(row: BfclRow) -> Task:
    return Task(
        id=f"bfcl-{row.id}",
        messages=with_tools(row.messages, row.tools),
        domain=DOMAIN,
        group=next(iter(row.accepted)),
        expected=row.accepted,
        reference=reference_call(row),
        schema=call_schema(row.tools),
        licence=LICENCE,
    )


def _what_is_wrong(task: Task, name: str, given: Mapping[str, Any]) -> str:
    """Empty for a correct call, else a short fixed phrase."""
    if name not in task.expected:
        return "wrong function"
    accepted: Mapping[str, list[JSON]] = task.expected[name]
    parameters = _parameters(task.schema or {}, name)
    if any(key not in given for key in parameters.get("required", ())):
        return "missing argument"
    if any(key not in accepted for key in given):
        return "unknown argument"
    if any(not _accepts(accepted[key], value, parameters["properties"].get(key, {})) for key, value in given.items()):
        return "wrong value"
    if any(key not in given and "" not in values for key, values in accepted.items()):
        return "missing argument"
    return ""


def _parameters(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    calls = [call["properties"] for call in schema.get("oneOf", [schema])]
    found: Mapping[str, Any] = next(call["arguments"] for call in calls if call["name"]["const"] == name)
    return found


def _accepts(accepted: list[JSON], value: JSON, spec: Mapping[str, Any]) -> bool:
    kind = spec.get("type", "string")
    if kind == "integer" and isinstance(value, float):
        return False
    # "" stands for a left-out argument; only a text may also be given as "".
    return any(_same(value, option) for option in accepted if option != "" or kind == "string")


def _same(value: JSON, option: JSON) -> bool:
    """Whether `value` is the accepted `option`; inside an accepted object every entry is a list of accepted values."""
    if isinstance(option, str):
        return isinstance(value, str) and _plain(value) == _plain(option)
    if isinstance(option, list):
        return isinstance(value, list) and len(value) == len(option) and all(map(_same, value, option))
    if isinstance(option, dict):
        return isinstance(value, dict) and _same_object(value, option)
    if isinstance(option, bool) or isinstance(value, bool) or option is None:
        return value is option
    return isinstance(value, int | float) and value == option


def _same_object(value: Mapping[str, JSON], option: Mapping[str, JSON]) -> bool:
    lists = {key: values if isinstance(values, list) else [values] for key, values in option.items()}
    known = all(key in lists and any(_same(inner, one) for one in lists[key]) for key, inner in value.items())
    return known and all(key in value or "" in values for key, values in lists.items())


def _plain(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')
