"""The record that makes a section of a recipe: which components it takes, what they work on, and which stage runs them.

The project's own sections are records of this kind too (`cogumi_core.recipe.sections`), so a third party's section has all that
they have: lines and near names in messages, a place in the plan, fingerprints, a part of the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["prompts", "dataset", "model", "runnable", "adapters", "router"]
"""What flows from section to section: the last prompts, rows, model, model that an engine runs, all adapters, the router."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a recipe.

    `kinds` are the kinds of component that may stand in it, `many` whether it holds a list. `stage` is the import string of a
    subclass of `cogumi_core.Stage`. With `each`, every component of the list is a stage of its own, one after the other;
    without, the whole list is one stage. `inputs` are the roles that the stage is given (its `inputs` of that name), those in
    `optional` only where they are there; `gives` is the role that its artifact takes on. `after` names the section behind
    which it runs. `shares`: each component may have a `share`. `report` is the import string of a function `(stage, artifact)
    -> ReportPart` that shows an artifact in the report."""

    name: str
    kinds: tuple[str, ...]
    summary: str
    stage: str
    many: bool = False
    each: bool = True
    inputs: tuple[Role, ...] = ()
    optional: tuple[Role, ...] = ()
    gives: Role | None = None
    after: str = ""
    shares: bool = False
    report: str = ""
