"""The base of every component's settings model, and the field types that recipes share.

Settings are what a person writes below `with:`. Every field has a description and bounds. Two marks matter to the store:
`execution_only` fields change how fast, never what, and stay out of fingerprints; `input_file` fields name a file or folder
whose *content* counts, so its digest goes into the fingerprint and its path does not.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

__all__ = ["ByteSize", "Settings", "engine_of_recipe", "execution_only", "input_file", "is_engine_field", "parse_bytes"]


class Settings(BaseModel):
    """Unknown settings are errors; values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def execution_only(default: Any, *, description: str, **bounds: Any) -> Any:
    """A field that changes only how fast the work goes (threads, batch size): left out of the fingerprint."""
    return Field(default, description=description, json_schema_extra={"cogumi": "execution"}, **bounds)


def input_file(default: Any = ..., *, description: str, **bounds: Any) -> Any:
    """A field that names a file, a folder or `package:distribution/path`: its content, not its name, is fingerprinted."""
    return Field(default, description=description, json_schema_extra={"cogumi": "input"}, **bounds)


_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _UNITS[f"{_letter}B"] = 1000**_power
    _UNITS[f"{_letter}IB"] = 1024**_power


def parse_bytes(value: object) -> object:
    """`140MB` is 140,000,000 bytes, `140MiB` 146,800,640; numbers are bytes. Raises ValueError."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", value)
    if match is None or match[2].upper() not in _UNITS:
        message = f"'{value}' is not a size; write 140MB (10^6 bytes), 140MiB (2^20) or a number of bytes"
        raise ValueError(message)
    return round(float(match[1].replace("_", "")) * _UNITS[match[2].upper()])


ByteSize = Annotated[int, BeforeValidator(parse_bytes, json_schema_input_type=int | str), Field(ge=0)]
"""A size in bytes, written as a number or with a unit."""


def engine_of_recipe(description: str) -> Any:
    """A field of type `Use[Engine] | None`; left out, it is the engine that the recipe names for all, or the one there is."""
    return Field(None, description=description, json_schema_extra={"cogumi": "engine"})


def is_engine_field(field: FieldInfo) -> bool:
    """Whether a field was made by `engine_of_recipe`."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("cogumi") == "engine"
