"""What this package offers: the engine that runs llama.cpp in process, and the commands that serve a system."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cogumi_core.api.component import Component
from cogumi_core.api.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def cogumi_register_engines() -> Iterable[Component]:
    yield Component(
        "engine",
        "llama-cpp",
        "runs GGUF models of the Llama kind in process, with adapters swapped at run time",
        config="cogumi_serve.config:LlamaCppSettings",
        factory="cogumi_serve.engines.llama_cpp.engine:LlamaCppEngine",
        requires=(("llama", "llama_cpp"),),
    )


@hookimpl
def cogumi_register_commands(cli: click.Group) -> None:
    from cogumi_serve.commands.commands import register

    register(cli)
