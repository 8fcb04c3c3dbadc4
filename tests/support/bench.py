"""Recipes run on one store with small components, and what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cogumi_core import Component, Recipe, plan, run
from cogumi_core.api.events import Event, Note, StageFinished
from cogumi_core.executors.local import LocalExecutor, LocalSettings
from cogumi_core.formats.rows import read_rows
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.parse import load_recipe
from cogumi_core.testing import IsolatedPlugins


class Bench:
    """`plugins` are what is installed; `events` those of the last run."""

    def __init__(self, plugins: IsolatedPlugins, folder: Path) -> None:
        self.plugins, self.folder = plugins, folder
        self.events: list[Event] = []
        plugins.add(Component("executor", "local", "processes", LocalSettings, LocalExecutor))

    @property
    def registry(self) -> Registry:
        return self.plugins.registry(base_dir=self.folder)

    def recipe(self, text: str, name: str = "small.yaml") -> Recipe:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return load_recipe(path, self.registry)

    def run(self, text: str, **options: Any) -> Any:
        self.events.clear()
        options.setdefault("listener", self.events.append)
        recipe = self.recipe(text)
        return run(recipe, out=self.folder / "out", store=self.folder / "store", registry=self.registry, **options)

    def plan(self, text: str) -> Any:
        return plan(self.recipe(text), store=self.folder / "store", registry=self.registry)

    def states(self, text: str) -> dict[str, str]:
        return {row.stage.name: row.state for row in self.plan(text).stages}

    def built(self) -> list[str]:
        return [event.stage for event in self.events if isinstance(event, StageFinished) and not event.hit]

    def notes(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Note)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]
