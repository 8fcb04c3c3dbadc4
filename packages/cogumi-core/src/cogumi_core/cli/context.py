"""What every command finds in `ctx.obj`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cogumi_core.plugins.host import PluginHost
    from cogumi_core.plugins.registry import Registry


class Cli:
    """One invocation of `cogumi`. Plugins are looked for on first use, and the registry, which needs pydantic, comes only after
    them: `cogumi --help` lists plugin commands without it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.debug = False

    @cached_property
    def host(self) -> PluginHost:
        """The installed plugins."""
        from cogumi_core.plugins.host import PluginHost

        return PluginHost.discover(self.environ)

    @cached_property
    def registry(self) -> Registry:
        """The components of everything installed."""
        from cogumi_core.plugins.registry import Registry

        return Registry(self.host, environ=self.environ)
