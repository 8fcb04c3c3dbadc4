"""Every hook a plugin can implement, on one screen.

A plugin is a module named by an entry point of the group `cogumi`; it implements any of these with `@hookimpl`:

    from cogumi_core import Component, hookimpl

    @hookimpl
    def cogumi_register_filters():
        yield Component("filter", "short", "drops short answers", config="my_plugin:ShortSettings", factory="my_plugin:Short")

The module must stay light: it is imported whenever someone types `cogumi`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from cogumi_core.api.component import Component
    from cogumi_core.api.events import StageFailed, StageFinished, StageProgress, StageStarted
    from cogumi_core.api.sections import Section

GROUP = "cogumi"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def cogumi_register_sources() -> Iterable[Component]:
    """Where prompts come from."""
    return ()


@hookspec
def cogumi_register_teachers() -> Iterable[Component]:
    """Models that write training answers or judge them."""
    return ()


@hookspec
def cogumi_register_filters() -> Iterable[Component]:
    """Keep or drop one example, always with a reason."""
    return ()


@hookspec
def cogumi_register_dedupers() -> Iterable[Component]:
    """Group near-identical examples."""
    return ()


@hookspec
def cogumi_register_trainers() -> Iterable[Component]:
    """Fit a student on examples."""
    return ()


@hookspec
def cogumi_register_compressors() -> Iterable[Component]:
    """Stages that make a model smaller."""
    return ()


@hookspec
def cogumi_register_benchmarks() -> Iterable[Component]:
    """Graded tasks."""
    return ()


@hookspec
def cogumi_register_modifiers() -> Iterable[Component]:
    """Domains: tasks, grader and adapter."""
    return ()


@hookspec
def cogumi_register_routers() -> Iterable[Component]:
    """Keep the base's answer or escalate."""
    return ()


@hookspec
def cogumi_register_engines() -> Iterable[Component]:
    """What runs a model."""
    return ()


@hookspec
def cogumi_register_executors() -> Iterable[Component]:
    """What runs pieces of work in several processes, or on several machines."""
    return ()


@hookspec
def cogumi_register_sections() -> Iterable[Section]:
    """Sections of a recipe beyond the project's own, each with its stage."""
    return ()


@hookspec
def cogumi_register_components() -> Iterable[Component]:
    """Components of a kind that a section, of this plugin or of another, brought along."""
    return ()


@hookspec
def cogumi_register_commands(cli: click.Group) -> None:
    """Add commands to `cogumi`. Import what a command needs inside its function."""


@hookspec
def cogumi_stage_started(event: StageStarted) -> None:
    """A stage begins to build (hits in the store do not start)."""


@hookspec
def cogumi_stage_progress(event: StageProgress) -> None:
    """A stage got further; at most a few times a second."""


@hookspec
def cogumi_stage_finished(event: StageFinished) -> None:
    """A stage's artifact is in the store."""


@hookspec
def cogumi_stage_failed(event: StageFailed) -> None:
    """A stage ended with an error or an interruption; what it can resume from is kept."""
