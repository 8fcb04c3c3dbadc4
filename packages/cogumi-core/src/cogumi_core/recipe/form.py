"""What a recipe is: its values once read, and the form of what stands around its sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cogumi_core.api.component import Component, Provided
from cogumi_core.api.interfaces import Engine, Executor, Limits
from cogumi_core.api.sections import Section
from cogumi_core.api.settings import ByteSize, Settings
from cogumi_core.api.use import Use
from cogumi_core.plugins.nesting import nested

__all__ = ["BudgetSettings", "Header", "Measure", "MeasureSettings", "Recipe", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One component of a recipe with its checked settings. `index` is its place in a list section, None in a single one;
    `share` the part of the prompts a teacher answers, in (0, 1]."""

    section: str
    index: int | None
    kind: str
    provided: Provided
    settings: Settings
    share: float | None = None

    @property
    def component(self) -> Component:
        """What the step uses."""
        return self.provided.component

    @property
    def label(self) -> str:
        """`compress[0]:gguf` or `train:qlora`: unique in the recipe."""
        place = "" if self.index is None else f"[{self.index}]"
        return f"{self.section}{place}:{self.component.name}"

    @property
    def used(self) -> tuple[tuple[Provided, Settings], ...]:
        """This component and every component inside its settings, each with its settings."""
        inside = ((use.provided, use.settings) for use in nested(self.settings))
        return ((self.provided, self.settings), *((p, s) for p, s in inside if p is not None and s is not None))


@dataclass(frozen=True, slots=True)
class Measure:
    """Whether and on what quality is measured after each compression stage: `tokens` of held-out `text` (None: the text that
    Cogumi brings), in windows of `context` tokens."""

    enabled: bool = True
    text: str | None = None
    tokens: int = 2048
    context: int = 256


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe without problems. `sections` holds the steps of every section that has some, in the order in which sections run;
    `executor` is what runs row-wise work, `engine` what settings mean that leave the engine to the recipe (None: whichever is
    installed). Relative paths start at `base_dir`; `text` is what the person wrote."""

    version: int
    name: str
    seed: int
    budget: Limits
    student: str | None
    dataset: str | None
    sections: Mapping[str, tuple[Step, ...]]
    table: Mapping[str, Section]
    engine: Use[Any] | None
    executor: Use[Any] | None
    measure: Measure
    path: Path | None
    base_dir: Path
    text: str

    def of(self, section: str) -> tuple[Step, ...]:
        """The steps of one section, none where the recipe has no such section."""
        return self.sections.get(section, ())

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step, in the order in which they run."""
        return tuple(step for steps in self.sections.values() for step in steps)

    @property
    def root(self) -> str:
        """What the store and the ledger call the recipe: its file, so that two recipes of one name keep their own artifacts and
        their own budget."""
        return str(self.path.resolve()) if self.path else self.name


class BudgetSettings(Settings):
    """`budget:`"""

    usd: float | None = Field(
        None, ge=0, description="US dollars that model calls may cost at most, over all runs of the recipe"
    )
    bytes: ByteSize | None = Field(None, description="size of the finished system at most, such as 140MB")


class MeasureSettings(Settings):
    """`measure:`"""

    text: str | None = Field(None, min_length=1, description="text file that no stage learns from; without it, Cogumi's own")
    tokens: int = Field(2048, ge=64, le=10_000_000, description="how many tokens of the text are scored")
    context: int = Field(256, ge=16, le=131_072, description="window in tokens")


class Header(Settings):
    """What a recipe says besides its sections."""

    version: Literal[1] = Field(1, description="version of the recipe's form")
    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="name of the system; the file's name without it"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="where all randomness starts")
    budget: BudgetSettings | None = Field(None, description="limits in dollars and bytes")
    student: str | None = Field(
        None, min_length=1, description="model to start from: a Hugging Face id, a folder, a GGUF file, package:NAME/FILE"
    )
    dataset: str | None = Field(
        None, min_length=1, description="JSON Lines in the standard form; stands for `sources:` and `distill:`"
    )
    engine: Use[Engine] | None = Field(None, description="engine of every component that names none")
    executor: Use[Executor] | None = Field(None, description="what runs work on rows: processes here, or a cluster")
    measure: MeasureSettings | bool | None = Field(None, description="quality on held-out text after each compression, or off")
