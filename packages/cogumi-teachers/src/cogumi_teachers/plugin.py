"""What this package offers: everything that makes data. The rooms are imported when their components are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from cogumi_core import Component, hookimpl


@hookimpl
def cogumi_register_sources() -> Iterable[Component]:
    from cogumi_teachers.sources import COMPONENTS

    yield from COMPONENTS


@hookimpl
def cogumi_register_teachers() -> Iterable[Component]:
    from cogumi_teachers.teachers import COMPONENTS

    yield from COMPONENTS


@hookimpl
def cogumi_register_filters() -> Iterable[Component]:
    from cogumi_teachers.filters import COMPONENTS

    yield from COMPONENTS


@hookimpl
def cogumi_register_dedupers() -> Iterable[Component]:
    from cogumi_teachers.dedup import COMPONENTS

    yield from COMPONENTS
