"""What this package offers. The rooms are imported when what is in them is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cogumi_core import Component, hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def cogumi_register_engines() -> Iterable[Component]:
    from cogumi_serve.engines import COMPONENTS

    yield from COMPONENTS


@hookimpl
def cogumi_register_commands(cli: click.Group) -> None:
    from cogumi_serve.commands import register

    register(cli)
