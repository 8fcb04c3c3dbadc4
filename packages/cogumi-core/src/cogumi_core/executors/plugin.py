"""What core itself offers, as any plugin does."""

from __future__ import annotations

from collections.abc import Iterable

from cogumi_core.api.component import Component
from cogumi_core.api.hookspecs import hookimpl


@hookimpl
def cogumi_register_executors() -> Iterable[Component]:
    yield Component(
        "executor",
        "local",
        "worker processes on this machine",
        config="cogumi_core.executors.local:LocalSettings",
        factory="cogumi_core.executors.local:LocalExecutor",
    )
