"""What this package offers: everything that trains and grades. The rooms are imported when their components are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from cogumi_core import Component, hookimpl


@hookimpl
def cogumi_register_benchmarks() -> Iterable[Component]:
    from cogumi_modifiers.benchmarks import COMPONENTS

    yield from COMPONENTS


@hookimpl
def cogumi_register_modifiers() -> Iterable[Component]:
    from cogumi_modifiers.domains import COMPONENTS

    yield from COMPONENTS


@hookimpl
def cogumi_register_trainers() -> Iterable[Component]:
    from cogumi_modifiers.trainers import COMPONENTS

    yield from COMPONENTS
