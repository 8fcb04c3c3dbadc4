"""What every command finds in `ctx.obj`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cogumi_core.registry import Registry


class Cli:
    """One invocation of `cogumi`. The registry is made on first use: plugins are not looked for by commands that need none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.debug = False

    @cached_property
    def registry(self) -> Registry:
        """The components of everything installed."""
        from cogumi_core.registry import Registry

        return Registry.installed(self.environ)
