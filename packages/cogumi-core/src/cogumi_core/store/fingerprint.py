"""Fingerprints: the sha256 of everything that determines a result, as canonical JSON.

Only declared data is hashed: no pickles, closures, paths or times, which would make keys change by chance or, worse, stay the
same when the result would not. What cannot be written as JSON is refused, never guessed at. The inputs are kept verbatim in the
manifest, so that a miss can be explained by `explain_difference`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cogumi_core.api.errors import PluginError
from cogumi_core.api.settings import Settings
from cogumi_core.api.types import JSON
from cogumi_core.api.use import Use

if TYPE_CHECKING:
    from cogumi_core.api.component import Provided

__all__ = [
    "canonical_json",
    "component_for_fingerprint",
    "explain_difference",
    "fingerprint",
    "input_files",
    "settings_for_fingerprint",
    "sha256_text",
]

_SHOWN = 60


def canonical_json(value: JSON) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, no escapes beyond the necessary. Tuples are written as lists.

    Raises PluginError for anything JSON cannot hold (paths, sets, bytes, NaN, keys that are not text), saying where it is."""
    return json.dumps(_plain(value, "$"), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_text(text: str) -> str:
    """Hexadecimal sha256 of the text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def fingerprint(inputs: Mapping[str, JSON]) -> str:
    """sha256 of the canonical JSON of `inputs`."""
    return sha256_text(canonical_json(inputs))


def _plain(value: JSON, where: str) -> JSON:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and _encodable(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    message = (
        f"{where}: {type(value).__name__} {_show(value)} cannot be part of a fingerprint; only JSON can: "
        "finite numbers, text, true, false, null, lists, and objects with text keys"
    )
    raise PluginError(message)


def _key(key: object, where: str) -> str:
    if isinstance(key, str) and _encodable(key):
        return key
    message = f"{where}: the key {_show(key)} ({type(key).__name__}) is not text; objects in a fingerprint need text keys"
    raise PluginError(message)


def _encodable(text: str) -> bool:
    # Half of a surrogate pair is a valid Python string but no valid UTF-8.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _show(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# --- settings -----------------------------------------------------------------------------------------------------------


def settings_for_fingerprint(settings: Settings) -> dict[str, JSON]:
    """The settings that determine the result, defaults included, as JSON.

    Left out, in nested settings too: fields that change only speed (`execution_only`), and those that name files
    (`input_file`), of which the content counts (see `input_files`)."""
    meaning: dict[str, JSON] = _meaning(settings, settings.model_dump(mode="json"))
    return meaning


def component_for_fingerprint(provided: Provided, settings: Settings) -> dict[str, JSON]:
    """What of a component determines a result: who provides it, its name and hand-raised version, and its settings."""
    return {
        "kind": provided.component.kind,
        "component": provided.component.name,
        "distribution": provided.distribution,
        "version": provided.component.version,
        "settings": settings_for_fingerprint(settings),
    }


def _meaning(value: object, dumped: JSON) -> JSON:
    if isinstance(value, Use):
        resolved = value.provided is not None and value.settings is not None
        return component_for_fingerprint(value.provided, value.settings) if resolved else dumped  # type: ignore[arg-type]
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        fields = type(value).model_fields
        kept = [name for name in dumped if name not in fields or _mark(fields[name]) is None]
        return {name: _meaning(getattr(value, name, None), dumped[name]) for name in kept}
    if isinstance(value, set | frozenset) and isinstance(dumped, list):
        # The order of a set differs from process to process.
        return sorted(dumped, key=canonical_json)
    if isinstance(value, list | tuple) and isinstance(dumped, list):
        return [_meaning(item, text) for item, text in zip(value, dumped, strict=True)]
    if isinstance(value, Mapping) and isinstance(dumped, dict):
        return {key: _meaning(item, dumped[key]) for key, item in zip(dumped, value.values(), strict=True)}
    return dumped


def input_files(settings: Settings) -> dict[str, str]:
    """What the `input_file` fields name, by field path (`calibration`, `parts[1].path`); fields that are None are left out."""
    return dict(_marked(settings, "", inside=False))


def _marked(value: object, path: str, *, inside: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            inner = f"{path}.{name}" if path else name
            yield from _marked(getattr(value, name), inner, inside=inside or _mark(info) == "input")
    elif isinstance(value, Use):
        yield from _marked(value.settings, f"{path}.with", inside=False)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _marked(item, f"{path}[{index}]", inside=inside)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _marked(item, f"{path}.{key}", inside=inside)
    elif inside and isinstance(value, str | Path):
        yield path, str(value)


def _mark(info: FieldInfo) -> str | None:
    extra = info.json_schema_extra
    mark = extra.get("cogumi") if isinstance(extra, dict) else None
    return mark if mark in ("execution", "input") else None


# --- explaining a miss --------------------------------------------------------------------------------------------------


def explain_difference(old: Mapping[str, JSON], new: Mapping[str, JSON]) -> list[str]:
    """One line for each input that differs, such as `settings.threshold: 0.8 -> 0.9` or `input dataset changed`."""
    return list(_differences((), old, new))


_ABSENT: Any = object()


def _differences(path: tuple[str, ...], old: JSON, new: JSON) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences((*path, key), old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif _holds_objects(old) and _holds_objects(new):
        for index, (one, other) in enumerate(zip_longest(old, new, fillvalue=_ABSENT)):
            yield from _differences(_item_path(path, index, one, other), one, other)
    elif old is _ABSENT or new is _ABSENT or canonical_json(old) != canonical_json(new):
        yield _line(path, old, new)


def _holds_objects(value: JSON) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)


def _item_path(path: tuple[str, ...], index: int, old: JSON, new: JSON) -> tuple[str, ...]:
    """A component in a list goes by its name, anything else by its place."""
    names = {item.get("component") for item in (old, new) if isinstance(item, Mapping)}
    name = names.pop() if len(names) == 1 else None
    return (name,) if isinstance(name, str) else (*path[:-1], f"{path[-1]}[{index}]")


def _line(path: tuple[str, ...], old: JSON, new: JSON) -> str:
    name = ".".join(path)
    if path[0] == "inputs":
        word = "added" if old is _ABSENT else "removed" if new is _ABSENT else "changed"
        return f"input {'.'.join(path[1:])} {word}"
    if path[-1] == "version" and isinstance(old, str) and isinstance(new, str):
        return f"{'.'.join(path[:-1])} component version {old} -> {new}".strip()
    if old is _ABSENT:
        return f"{name}: added ({_show_json(new)})"
    if new is _ABSENT:
        return f"{name}: removed (was {_show_json(old)})"
    return f"{name}: {_show_json(old)} -> {_show_json(new)}"


def _show_json(value: JSON) -> str:
    text = canonical_json(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
