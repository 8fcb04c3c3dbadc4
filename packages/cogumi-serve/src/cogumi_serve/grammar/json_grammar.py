"""JSON Schema to a GBNF grammar: every text the grammar lets through is JSON that satisfies the schema.

llama-cpp-python's own converter is not used: it breaks texts with quotes or backslashes in `const` and `enum`, lets raw line
breaks into strings, drops `enum` beside a list of types, and ignores bounds. Here a keyword is either kept or refused by name;
the grammar may allow *less* than the schema (properties keep their order, none are invented), never more. Whitespace is at most
one space after `:` and `,`, so that a small model cannot run away in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final, NoReturn

from cogumi_serve.grammar.errors import SchemaRefused
from cogumi_serve.grammar.number_grammar import integer_rule, number_rule

Schema = Mapping[str, Any]

MAX_REPEAT: Final = 1000
MAX_GRAMMAR: Final = 400_000
MAX_DEPTH: Final = 64
MAX_VISITS: Final = 10_000

_UNSUPPORTED: Final = (
    "not", "if", "then", "else", "dependentSchemas", "dependentRequired", "patternProperties", "propertyNames", "minProperties",
    "maxProperties", "unevaluatedProperties", "unevaluatedItems", "contains", "uniqueItems", "multipleOf", "pattern",
)  # fmt: skip
_ASSERTIONS: Final = frozenset({
    "type", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems", "minLength",
    "maxLength", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "const", "anyOf", "oneOf",
    "allOf", "$ref",
})  # fmt: skip
_TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")

_PRIMITIVES: Final = {
    "colon": '":" " "?',
    "comma": '"," " "?',
    "hex": "[0-9a-fA-F]",
    # No raw control characters (JSON forbids them) and no lone surrogates (they cannot be written as UTF-8).
    "escape": r'"\\" (["\\/bfnrt] | "u" ([0-9a-cefA-CEF] hex hex hex | [dD] [0-7] hex hex))',
    "char": r'[^"\\\x00-\x1F\x7F] | escape',
    "string": r'"\"" char* "\""',
    "integer": integer_rule(None, None),
    "number": r'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "member": "string colon value",
    "object": '"{" (member (comma member)*)? "}"',
    "array": '"[" (value (comma value)*)? "]"',
    "value": "object | array | string | number | boolean | null",
    "year": "[0-9]{4}",
    "date": r'year "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
    "time": r'hour ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [-+] hour ":" [0-5] [0-9])',
    "hour": '[01] [0-9] | "2" [0-3]',
}  # fmt: skip
# Days 29 to 31 are left out: which of them exist depends on month and year.
_FORMATS: Final = {
    "date": r'"\"" date "\""',
    "time": r'"\"" time "\""',
    "date-time": r'"\"" date "T" time "\""',
    "uuid": r'"\"" hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12} "\""',
}


def grammar_of(schema: Schema) -> str:
    """GBNF of JSON Schema `schema`, start rule `root`. Raises SchemaRefused naming the place and the keyword."""
    compiler = _Compiler(schema)
    root = compiler.visit(schema, "schema", 0)
    lines = [f"root ::= {root}", *(f"{name} ::= {body}" for name, body in {**_PRIMITIVES, **compiler.rules}.items())]
    text = "\n".join(lines)
    if len(text) > MAX_GRAMMAR:
        message = f"the schema is too large: its grammar has {len(text):,} characters, at most {MAX_GRAMMAR:,} are taken"
        raise SchemaRefused(message)
    return text


class _Compiler:
    """Collects rules while it walks a schema; `visit` gives the expression of one place."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._references: dict[str, str] = {}
        # References followed since the last bracket: meeting one again would never write a character.
        self._pending: set[str] = set()
        self._visits = 0
        self._names: dict[str, str] = {}
        self.rules: dict[str, str] = {}

    def visit(self, schema: Any, where: str, depth: int) -> str:
        self._visits += 1
        if depth > MAX_DEPTH:
            _refuse(where, f"nested deeper than {MAX_DEPTH}")
        if self._visits > MAX_VISITS:
            # Alternatives multiply with what stands beside them: a short schema can have 2^60 places.
            _refuse(where, f"more than {MAX_VISITS:,} places, alternatives multiplied out")
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, Mapping):
            _refuse(where, "nothing is allowed here" if schema is False else "a schema must be an object")
        self._check_keywords(schema, where)
        return self._named(self._body(schema, where, depth + 1))

    def _check_keywords(self, schema: Schema, where: str) -> None:
        for keyword in _UNSUPPORTED:
            if schema.get(keyword) not in (None, False):
                _refuse(where, f"the keyword '{keyword}' cannot be kept by a grammar")

    def _body(self, schema: Schema, where: str, depth: int) -> str:
        if "$ref" in schema:
            return self._reference(schema, where, depth)
        if "const" in schema or "enum" in schema:
            return self._constants(schema, where)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                rest = {key: value for key, value in schema.items() if key != keyword}
                return self._union([_merge(rest, part, where) for part in _list(schema[keyword], where)], where, depth)
        if "allOf" in schema:
            return self._all_of(schema, where, depth)
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._union([{**schema, "type": one} for one in kind], where, depth)
        return self._typed(schema, kind if kind is not None else _implied_type(schema), where, depth)

    def _typed(self, schema: Schema, kind: Any, where: str, depth: int) -> str:
        if kind == "object":
            return self._object(schema, where, depth)
        if kind == "array":
            return self._array(schema, where, depth)
        if kind == "string":
            return self._string(schema, where)
        if kind in ("integer", "number"):
            rule = integer_rule if kind == "integer" else number_rule
            return _bounded(schema, where, kind, rule)
        if kind is None:
            return "value"
        if kind not in _TYPES:
            _refuse(where, f"unknown type {json.dumps(kind)}; JSON Schema has {', '.join(_TYPES)}")
        return str(kind)

    def _object(self, schema: Schema, where: str, depth: int) -> str:
        properties = schema.get("properties", {})
        if not isinstance(properties, Mapping):
            _refuse(where, "'properties' must be an object")
        required = _list(schema.get("required", []), where)
        if not all(isinstance(name, str) for name in required):
            _refuse(where, "'required' must list names")
        # Properties that are listed are all there are, unless more are asked for: a model should not invent any.
        extra = schema.get("additionalProperties", "properties" not in schema or bool(required))
        # A required name without a schema of its own has that of the additional ones.
        properties = {**properties, **{name: extra for name in required if name not in properties}}
        if not properties:
            return self._map(extra, where, depth)
        members = [
            (f"{_literal(name)} colon {self._inside(part, f'{where}.{name}', depth)}", name in required)
            for name, part in properties.items()
        ]
        return f'"{{" {self._members(members)} "}}"'

    def _members(self, members: Sequence[tuple[str, bool]]) -> str:
        """Members in order, optional ones possibly left out, commas only between those that are there."""
        first, after = '""', '""'
        for member, required in reversed(members):
            here = self._named(member)
            first = f"{here} {after}" if required else f"{here} {after} | {first}"
            after = f"comma {here} {after}" if required else f"(comma {here})? {after}"
            first, after = self._named(first), self._named(after)
        return first

    def _map(self, extra: Any, where: str, depth: int) -> str:
        if extra is False:
            return '"{}"'
        member = self._named(f"string colon {self._inside(extra, f'{where}.*', depth)}")
        return f'"{{" ({member} (comma {member})*)? "}}"'

    def _array(self, schema: Schema, where: str, depth: int) -> str:
        items = schema.get("items", True)
        prefix = _list(schema.get("prefixItems", items if isinstance(items, list) else []), where)
        least, most = _range(schema, "minItems", "maxItems", where)
        fixed = [self._inside(part, f"{where}[{index}]", depth) for index, part in enumerate(prefix[:most])]
        if prefix and (isinstance(items, list) or items is False or "items" not in schema):
            if len(fixed) < least:
                _refuse(where, f"minItems is {least}, but only {len(fixed)} items are described")
            return '"[" ' + " comma ".join(fixed) + ' "]"'
        if items is False:
            return '"[]"'
        item = self._inside(items, f"{where}[]", depth)
        return f'"[" {_repeat(fixed, item, least, most)} "]"'

    def _string(self, schema: Schema, where: str) -> str:
        least, most = _range(schema, "minLength", "maxLength", where)
        if least or most is not None:
            return rf'"\"" char{{{least},{"" if most is None else most}}} "\""'
        # An unknown format is an annotation (JSON Schema 2020-12, section 7), so any string satisfies it.
        return _FORMATS.get(schema.get("format", ""), "string")

    def _constants(self, schema: Schema, where: str) -> str:
        values = [schema["const"]] if "const" in schema else _list(schema["enum"], where)
        allowed = [value for value in values if _has_type(value, schema.get("type"))]
        if not allowed:
            _refuse(where, "no value of 'enum' or 'const' has the type that is asked for")
        return " | ".join(_literal(value) for value in allowed)

    def _union(self, parts: Sequence[Schema], where: str, depth: int) -> str:
        if not parts:
            _refuse(where, "an empty list of alternatives")
        return " | ".join(self.visit(part, f"{where}|{index}", depth) for index, part in enumerate(parts))

    def _all_of(self, schema: Schema, where: str, depth: int) -> str:
        merged: Schema = {key: value for key, value in schema.items() if key != "allOf"}
        for part in _list(schema["allOf"], where):
            merged = _merge(merged, self._resolve(part["$ref"], where) if "$ref" in part else part, where)
        return self.visit(merged, where, depth)

    def _reference(self, schema: Schema, where: str, depth: int) -> str:
        if _ASSERTIONS & schema.keys() != {"$ref"}:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return self.visit(_merge(rest, self._resolve(schema["$ref"], where), where), where, depth)
        pointer = schema["$ref"]
        if pointer in self._pending:
            _refuse(where, f"the reference {pointer} refers only to itself")
        if pointer not in self._references:
            target = self._resolve(pointer, where)
            # Named before it is visited, so that a schema may contain itself.
            name = self._references[pointer] = f"ref{len(self._references)}"
            self._pending.add(pointer)
            self.rules[name] = self.visit(target, pointer, depth)
            self._pending.discard(pointer)
        return self._references[pointer]

    def _inside(self, schema: Any, where: str, depth: int) -> str:
        """A part that stands between brackets."""
        outside, self._pending = self._pending, set()
        expression = self.visit(schema, where, depth)
        self._pending = outside
        return expression

    def _resolve(self, pointer: Any, where: str) -> Schema:
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            _refuse(where, f"only references inside the schema are followed, not {json.dumps(pointer)}")
        found: Any = self._root
        for step in pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or key not in found:
                _refuse(where, f"the reference {pointer} leads nowhere")
            found = found[key]
        return found  # type: ignore[no-any-return]

    def _named(self, body: str) -> str:
        """The name of a rule with this body; the same body is one rule."""
        if body in _PRIMITIVES or body in self.rules:
            return body
        if body not in self._names:
            name = self._names[body] = f"r{len(self._names)}"
            self.rules[name] = body
        return self._names[body]


def _repeat(fixed: Sequence[str], item: str, least: int, most: int | None) -> str:
    """`fixed` items, then `item`s up to the bounds, with commas between."""
    if fixed:
        upper = "" if most is None else max(most - len(fixed), 0)
        return f"{' comma '.join(fixed)} (comma {item}){{{max(least - len(fixed), 0)},{upper}}}"
    if most == 0:
        return '""'
    upper = "" if most is None else most - 1
    some = f"{item} (comma {item}){{{max(least - 1, 0)},{upper}}}"
    return some if least else f"({some})?"


def _literal(value: Any) -> str:
    """GBNF literal of the JSON text of `value`."""
    text = json.dumps(value, ensure_ascii=False)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _bounded(schema: Schema, where: str, kind: str, rule: Callable[..., str]) -> str:
    bounds = {key: schema[key] for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if key in schema}
    for key, value in bounds.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            _refuse(where, f"'{key}' must be a number")
    if not bounds:
        return kind
    try:
        return rule(
            bounds.get("minimum"), bounds.get("maximum"),
            above=bounds.get("exclusiveMinimum"), below=bounds.get("exclusiveMaximum"),
        )  # fmt: skip
    except ValueError as exc:
        _refuse(where, str(exc))


def _range(schema: Schema, low: str, high: str, where: str) -> tuple[int, int | None]:
    least, most = schema.get(low, 0), schema.get(high)
    for keyword, value in ((low, least), (high, most)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_REPEAT):
            _refuse(where, f"'{keyword}' must be a whole number from 0 to {MAX_REPEAT}")
    if most is not None and most < least:
        _refuse(where, f"'{high}' is less than '{low}'")
    return least, most


def _merge(left: Schema, right: Any, where: str) -> Schema:
    """Both schemas at once, where that needs no more than putting their keywords together."""
    if right is True:
        return left
    if not isinstance(right, Mapping):
        _refuse(where, "a schema must be an object")
    merged = dict(left)
    for key, value in right.items():
        if key not in merged or merged[key] == value or key not in _ASSERTIONS:
            merged[key] = value
        elif key == "required":
            merged[key] = [*merged[key], *(name for name in value if name not in merged[key])]
        elif key == "properties":
            merged[key] = {**merged[key], **{n: _merge(merged[key].get(n, {}), p, where) for n, p in value.items()}}
        else:
            _refuse(where, f"two different values of '{key}' cannot be combined")
    return merged


def _implied_type(schema: Schema) -> str | None:
    for kind, keywords in (
        ("object", ("properties", "required", "additionalProperties")),
        ("array", ("items", "prefixItems", "minItems", "maxItems")),
        ("string", ("minLength", "maxLength")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    ):
        if any(keyword in schema for keyword in keywords):
            return kind
    return None


def _has_type(value: Any, kind: Any) -> bool:
    if kind is None:
        return True
    kinds = kind if isinstance(kind, list) else [kind]
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null", int: "integer", float: "number"}
    name = names[type(value)]
    return name in kinds or (name == "integer" and "number" in kinds)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        _refuse(where, f"a list is expected, not {json.dumps(value)[:60]}")
    return list(value)


def _refuse(where: str, what: str) -> NoReturn:
    message = f"the schema cannot be turned into a grammar: {where}: {what}"
    raise SchemaRefused(message)
