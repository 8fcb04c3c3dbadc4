"""Which distribution to install for a kind of component or a command that is not there.

The names are data (`catalogue.toml`), not code: nothing is chosen by them.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


def distribution_for(*, kind: str = "", command: str = "") -> str | None:
    """The name of a distribution that has it, None where the catalogue knows none."""
    for entry in _entries():
        if (kind and kind in entry.get("kinds", ())) or (command and command in entry.get("commands", ())):
            return str(entry["name"])
    return None


def commands() -> tuple[str, ...]:
    """Every command that a known distribution brings."""
    return tuple(command for entry in _entries() for command in entry.get("commands", ()))


@cache
def _entries() -> tuple[dict[str, Any], ...]:
    text = (files("cogumi_core.plugins") / "catalogue.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["distribution"])
