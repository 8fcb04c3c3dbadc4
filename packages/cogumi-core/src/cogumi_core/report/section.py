"""What a section of the page is: where its data comes from, and what it shows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from cogumi_core.report.context import ReportContext

Data = TypeVar("Data")


@dataclass(frozen=True, slots=True)
class Highlight:
    """One figure at the top of the page; `meaning` says what it is a figure of."""

    title: str
    figure: str
    meaning: str
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class PageSection(Generic[Data]):
    """The section in folder `name`, with its `template.html`.

    `collect` gives its data, None or empty where there is nothing to say; `data` is the type that `report.json` is read back
    into. `view` is what the template gets besides the data; where it is None, the page has no such section. `leads`: its
    highlights stand before those of the others."""

    name: str
    data: Any
    collect: Callable[[ReportContext], Data | None]
    view: Callable[[Data], object] = lambda data: data
    highlights: Callable[[Data], Iterable[Highlight]] = lambda data: ()
    leads: bool = False
