"""A plugin host on which nothing is installed, and a quick way to put components on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cogumi_core.api.component import KINDS, Component
from cogumi_core.api.hookspecs import hookimpl
from cogumi_core.api.interfaces import Services
from cogumi_core.api.sections import Section
from cogumi_core.api.settings import Settings
from cogumi_core.plugins.host import PluginHost
from cogumi_core.plugins.registry import Registry

__all__ = ["IsolatedPlugins"]


class IsolatedPlugins:
    """Only what a test adds is there.

    >>> plugins = IsolatedPlugins()
    >>> plugins.offer("teacher", "echo", lambda settings, services: "...").component.name
    'echo'
    """

    def __init__(self) -> None:
        self.host = PluginHost()

    def add(
        self,
        *components: Component,
        sections: Sequence[Section] = (),
        distribution: str = "test-plugin",
        version: str = "1.0",
    ) -> None:
        """Registers the components, and the sections that they may stand in, as one plugin of the distribution."""
        hooks: dict[str, Callable[[], list[Any]]] = {}
        offered: dict[str, list[Component]] = {}
        for component in components:
            offered.setdefault(_hook_for(component.kind), []).append(component)
        hooks |= {name: _hook(items) for name, items in offered.items()}
        if sections:
            hooks["cogumi_register_sections"] = _hook(list(sections))
        self.host.register(SimpleNamespace(**hooks), distribution, distribution, version)

    def offer(
        self,
        kind: str,
        name: str,
        factory: Callable[[Any, Services], Any] | str,
        settings: type[Settings] | str = Settings,
        **more: Any,
    ) -> Any:
        """Adds one component, made by `factory(settings, services)`; `more` are fields of Component. Returns its Provided."""
        component = Component(kind, name, more.pop("summary", f"{name} of a test"), config=settings, factory=factory, **more)
        self.add(component)
        return self.registry().get(kind, name)

    def registry(self, *, environ: Mapping[str, str] | None = None, base_dir: Path = Path()) -> Registry:
        """A registry of what was added so far."""
        return Registry(self.host, environ={} if environ is None else environ, base_dir=base_dir)


def _hook_for(kind: str) -> str:
    """Kinds that a section brought along have one hook for all."""
    return f"cogumi_register_{kind}s" if kind in KINDS else "cogumi_register_components"


def _hook(offered: list[Any]) -> Callable[[], list[Any]]:
    @hookimpl
    def register() -> list[Any]:
        return offered

    return register
