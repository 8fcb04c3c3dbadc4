"""YAML to plain data, with the line of every key, read as a person means it.

PyYAML's own loader keeps the last of two equal keys, reads `2e-4` as text, `on:` as the key True and `12:30:00` as 45000.
Here only JSON's values exist (with `yes`, `no`, `on`, `off` besides `true` and `false`), keys are always text, and what cannot
be read is one clear message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from cogumi_core.api.errors import RecipeError
from cogumi_core.plugins.validation import Location, Problem

__all__ = ["Document", "parse_yaml", "read_text"]

_MAX_BYTES: Final = 1_000_000
_MAX_VALUES: Final = 100_000  # aliases can make a short text stand for a huge tree


@dataclass(slots=True)
class Document:
    """The values, the line (from 1) of each key and item, and the keys that stand there twice."""

    data: dict[str, Any]
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, where: Location) -> int | None:
        """The line of `where`, or of the nearest thing around it."""
        while where not in self.lines and where:
            where = where[:-1]
        return self.lines.get(where)


def read_text(path: Path) -> str:
    """The text of a recipe file. Raises RecipeError for what is no text file."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise _error(str(path), f"there is no such file{_beside(path)}") from exc
    except IsADirectoryError as exc:
        raise _error(str(path), f"this is a folder, a recipe is a YAML file{_inside(path)}") from exc
    except OSError as exc:
        raise _error(str(path), f"it cannot be read: {exc.strerror}") from exc
    if b"\0" in raw[:8192]:
        raise _error(str(path), "this is a binary file, a recipe is a YAML text file")
    if len(raw) > _MAX_BYTES:
        raise _error(str(path), "this is over 1 MB; a recipe is a short YAML file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _error(str(path), f"this is not text in UTF-8 (byte {exc.start}); a recipe is a YAML text file") from exc


def parse_yaml(text: str, name: str) -> Document:
    """The document in `text`; `name` is what messages call it. Raises RecipeError where there is nothing to go on with."""
    _refuse_conflict_markers(text, name)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        raise _error(name, _syntax(exc)) from exc
    except yaml.YAMLError as exc:
        raise _error(name, f"not valid YAML: {' '.join(str(exc).split())}") from exc
    except RecursionError as exc:
        raise _error(name, "values are nested too deeply to be a recipe") from exc
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        raise _error(name, "the recipe is empty; start with `student:` and `compress:`, or see docs/recipes.md")
    if not isinstance(root, yaml.MappingNode):
        found = "a list" if isinstance(root, yaml.SequenceNode) else "plain text"
        raise _error(name, f"a recipe is a mapping of sections (`student:`, `compress:`, ...), this is {found}")
    reader = _Reader()
    try:
        data = reader.value(root, ())
    except RecursionError as exc:
        raise _error(name, "values are nested too deeply to be a recipe") from exc
    except _TooLarge as exc:
        raise _error(name, str(exc)) from exc
    return Document(data, reader.lines, reader.problems)


class _TooLarge(Exception):
    pass


class _Loader(yaml.SafeLoader):
    """Only used to compose nodes: tags tell what kind of value a plain scalar is."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own attribute, replaced here so that only our rules hold


_TAG = "tag:yaml.org,2002:"
_EXPONENT = r"([eE][-+]?[0-9]+)"
# The first rule that matches wins, so whole numbers come before the others.
for _name, _pattern in (
    ("null", r"(~|null|Null|NULL|)$"),
    ("bool", r"(?i:true|false|yes|no|on|off)$"),
    ("int", r"[-+]?(0x[0-9a-fA-F_]+|[0-9][0-9_]*)$"),
    ("float", rf"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*){_EXPONENT}?$"),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), None)

_READ: Final[dict[str, Callable[[str], Any]]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() in {"true", "yes", "on"},
    "int": lambda text: int(text.replace("_", ""), 16 if "x" in text.lower() else 10),
    "float": lambda text: float(text.replace("_", "")),
    "str": lambda text: text,
}


class _Reader:
    """Turns nodes into values and notes the line of each."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._count = 0

    def value(self, node: yaml.Node, where: Location) -> Any:
        self.lines.setdefault(where, node.start_mark.line + 1)
        self._count += 1
        if self._count > _MAX_VALUES or id(node) in self._open:
            message = f"line {node.start_mark.line + 1}: anchors and aliases make this endless or huge; write it out"
            raise _TooLarge(message)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, where)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*where, index)) for index, item in enumerate(node.value)]
            return self._scalar(node, where)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, where: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                what = "merge keys (`<<`) are not read" if isinstance(key_node, yaml.ScalarNode) else "a key must be a word"
                self.problems.append(Problem(where, f"{what}; write the settings out", line))
                continue
            key = str(key_node.value)
            path = (*where, key)
            if key in values:
                message = f"'{key}' is already there in line {self.lines[path]}; keep one of the two"
                self.problems.append(Problem(path, message, line))
                continue
            self.lines[path] = line
            values[key] = self.value(value_node, path)
        return values

    def _scalar(self, node: yaml.Node, where: Location) -> Any:
        read = _READ.get(node.tag.removeprefix(_TAG))
        if read is None:
            self.problems.append(Problem(where, f"the tag {node.tag.replace(_TAG, '!!')} is not read; write a plain value"))
            return None
        try:
            return read(node.value)
        except ValueError:
            self.problems.append(Problem(where, f"'{node.value}' does not fit its tag {node.tag.replace(_TAG, '!!')}"))
            return None


def _refuse_conflict_markers(text: str, name: str) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            raise _error(name, f"line {number}: a merge conflict is not resolved ('{line[:20].strip()}'); choose one side")


def _syntax(exc: yaml.MarkedYAMLError) -> str:
    mark = exc.problem_mark or exc.context_mark
    where = f"line {mark.line + 1}: " if mark is not None else ""
    problem = exc.problem or "it cannot be read"
    for sign, explanation in _EXPLAINED.items():
        if sign in problem:
            return f"{where}{explanation}"
    return f"{where}not valid YAML: {problem}{f' ({exc.context})' if exc.context else ''}"


_EXPLAINED: Final = {
    "'\\t'": "a tab; indent with spaces",
    "mapping values are not allowed": "a ':' where none can stand; is the indentation off, or does text with ': ' need quotes?",
    "but found another document": "a second document starts here ('---'); a recipe is one document",
    "found undefined alias": "an alias (*name) without its anchor (&name); text that starts with '*' needs quotes",
    "found character '@'": "text that starts with '@' needs quotes",
    "found character '`'": "text that starts with '`' needs quotes",
    "found character '%'": "text that starts with '%' needs quotes",
}


def _beside(path: Path) -> str:
    """Recipes in the same folder, for a mistyped name."""
    if not path.parent.is_dir():
        return f"; the folder {path.parent} is not there either"
    return _listed(path.parent, "in that folder: ")


def _inside(path: Path) -> str:
    return _listed(path, "in it: ")


def _listed(folder: Path, intro: str) -> str:
    found = sorted(item.name for item in folder.glob("*.y*ml"))[:5]
    return f"; {intro}{', '.join(found)}" if found else ""


def _error(name: str, message: str) -> RecipeError:
    return RecipeError(name, [message])
