"""What this package offers. The room is imported when its components are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from cogumi_core import Component, hookimpl


@hookimpl
def cogumi_register_routers() -> Iterable[Component]:
    from cogumi_router.routers import COMPONENTS

    yield from COMPONENTS
