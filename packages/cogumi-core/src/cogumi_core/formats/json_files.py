"""Reads a JSON file, mostly one that holds one object, with an error that says what is wrong with it and what to do.

One reader for every package: files that people hand in are missing, cut short, begin with a byte order mark, are nested without
end, or hold a list. NaN and Infinity, which Python would read, are no JSON and are refused, because whatever is computed from
them is wrong. JSON Lines are read by `formats.rows`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NoReturn

from cogumi_core.api.errors import InputError

ADVICE: Final = "copy or fetch it again"


def read_object(path: Path, advice: str = ADVICE) -> dict[str, Any]:
    """The object in `path`. `advice`: what to do about a damaged file. Raises as `read_json`, and for what is no object."""
    found = read_json(path, advice)
    if not isinstance(found, dict):
        message = f"{path}: a JSON object is expected, this is {_kind(found)}; {advice}"
        raise InputError(message)
    return found


def optional_object(path: Path, advice: str = ADVICE) -> dict[str, Any]:
    """As `read_object`; an empty object where there is no such file."""
    return read_object(path, advice) if path.exists() else {}


def read_json(path: Path, advice: str = ADVICE) -> Any:
    """The value in `path`; a byte order mark before it is no part of it.

    Raises InputError: missing, unreadable, not text in UTF-8, not JSON, nested too deeply."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        message = f"{path}: no such file; a JSON file is expected"
        raise InputError(message) from exc
    except OSError as exc:
        message = f"{path}: cannot be read ({exc.strerror}); a JSON file is expected"
        raise InputError(message) from exc
    except UnicodeDecodeError as exc:
        message = f"{path}: not text in UTF-8 ({exc.reason} at byte {exc.start}), so not JSON; {advice}"
        raise InputError(message) from exc
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as exc:
        message = f"{path}: not valid JSON ({exc.msg}, line {exc.lineno}, column {exc.colno}); {advice}"
        raise InputError(message) from exc
    except RecursionError as exc:
        message = f"{path}: nested too deeply to be read; {advice}"
        raise InputError(message) from exc
    except ValueError as exc:
        message = f"{path}: not JSON that can be read ({exc}); {advice}"
        raise InputError(message) from exc


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is no JSON number"
    raise ValueError(message)


def _kind(value: object) -> str:
    names = {list: "a list", str: "a text", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), "null")
