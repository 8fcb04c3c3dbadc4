"""The commands that use a system, one module each: they parse, call and print; the work is elsewhere."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import click

COMMANDS: Final = ("ask", "chat", "serve")
"""Modules of this folder; each holds its click command as `command`."""


def register(cli: click.Group) -> None:
    """Adds the commands to `cogumi`."""
    for name in COMMANDS:
        cli.add_command(import_module(f"{__name__}.{name}").command)
