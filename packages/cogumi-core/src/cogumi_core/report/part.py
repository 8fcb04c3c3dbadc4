"""What a plugin's section shows in the report: words and a table, which the report writes down in its own form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cogumi_core.api.types.messages import JSON


@dataclass(frozen=True, slots=True)
class ReportPart:
    """A heading, paragraphs of plain text, and a table. A cell is text, a number, a truth value or None; all of it is escaped.

    >>> ReportPart("Judges", ("Two judges agreed.",), ("judge", "kept"), (("first", 12), ("second", 11)))
    ReportPart(title='Judges', ...)
    """

    title: str
    paragraphs: Sequence[str] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[JSON]] = ()
