"""What the sections of the report collect from: a recipe, its stages, and the artifacts that they left in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.form import Recipe
from cogumi_core.stages.base import Stage
from cogumi_core.store.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class ReportContext:
    """`shipped`: bytes of each part of a system as it is carried elsewhere, empty where the result is none."""

    recipe: Recipe
    registry: Registry
    stages: tuple[Stage, ...]
    artifacts: Mapping[str, Artifact]
    shipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def built(self) -> tuple[tuple[Stage, Artifact], ...]:
        """The stages that have an artifact, in the order in which they ran."""
        return tuple((stage, self.artifacts[stage.name]) for stage in self.stages if stage.name in self.artifacts)
