"""What a recipe is: its values once read, and the form of what stands around its sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from cogumi_core.api.component import Component
from cogumi_core.api.settings import ByteSize, Settings
from cogumi_core.plugins.host import Provided

__all__ = [
    "LISTS",
    "SECTIONS",
    "Budget",
    "BudgetSettings",
    "Header",
    "Measure",
    "MeasureSettings",
    "Recipe",
    "Step",
]

SECTIONS: Final[Mapping[str, str]] = {
    "sources": "source",
    "distill": "teacher",
    "filter": "filter",
    "dedup": "deduper",
    "train": "trainer",
    "compress": "compressor",
    "modifiers": "modifier",
    "router": "router",
}
"""Section to kind, in the order in which they run."""

LISTS: Final = frozenset({"sources", "distill", "filter", "compress", "modifiers"})
"""Sections that hold any number of components; the others hold one."""


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


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may cost in US dollars, and what the system may weigh in bytes; None: no limit."""

    usd: float | None = None
    bytes: int | None = None


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
    """A recipe without problems. Relative paths start at `base_dir`; `text` is what the person wrote."""

    version: int
    name: str
    seed: int
    budget: Budget
    student: str | None
    dataset: str | None
    sources: tuple[Step, ...]
    distill: tuple[Step, ...]
    filter: tuple[Step, ...]
    dedup: Step | None
    train: Step | None
    compress: tuple[Step, ...]
    modifiers: tuple[Step, ...]
    router: Step | None
    measure: Measure
    path: Path | None
    base_dir: Path
    text: str

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step, in the order in which they run."""
        found: list[Step] = []
        for section in SECTIONS:
            value = getattr(self, section)
            found += [value] if isinstance(value, Step) else value or ()
        return tuple(found)


class BudgetSettings(Settings):
    """`budget:`"""

    usd: float | None = Field(None, ge=0, description="US dollars that model calls of one run may cost at most")
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
    measure: MeasureSettings | bool | None = Field(None, description="quality on held-out text after each compression, or off")
