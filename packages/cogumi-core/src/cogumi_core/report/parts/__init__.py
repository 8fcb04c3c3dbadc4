"""What the stages of plugins' sections have to show, in the words of the plugin and the form of the report."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from cogumi_core.api.component import load_object
from cogumi_core.api.errors import PluginError
from cogumi_core.report.context import ReportContext
from cogumi_core.report.part import ReportPart
from cogumi_core.report.section import PageSection
from cogumi_core.stages.chain import section_of

log = logging.getLogger(__name__)


def collect(context: ReportContext) -> Sequence[ReportPart]:
    return tuple(_parts(context))


def _parts(context: ReportContext) -> Iterator[ReportPart]:
    for stage, artifact in context.built:
        section = context.recipe.table.get(section_of(stage))
        if section is None or not section.report:
            continue
        try:
            yield _checked(load_object(section.report)(stage, artifact))
        except Exception as exc:  # noqa: BLE001 - the plugin boundary; a result of hours is not lost for what is said of it
            why = f"'{section.report}' could not show '{stage.name}': {type(exc).__name__}: {exc}"
            log.warning("%s", why)
            yield ReportPart(section.name, (why,))


def _checked(part: Any) -> ReportPart:
    """The part with plain values only. Raises PluginError."""
    if not isinstance(part, ReportPart):
        message = f"it returned {type(part).__name__}; a ReportPart is expected"
        raise PluginError(message)
    rows = tuple(tuple(row) for row in part.rows)
    cells = [part.title, *part.paragraphs, *part.header]
    odd = [text for text in cells if not isinstance(text, str)]
    odd += [cell for row in rows for cell in row if not isinstance(cell, str | int | float | None)]
    if odd or any(len(row) != len(part.header) for row in rows):
        wrong = f"{odd[0]!r} is no plain value" if odd else "a row has more or fewer cells than the header"
        message = f"{wrong}; a ReportPart holds text, and cells of text, numbers, truth values or None, one for each header"
        raise PluginError(message)
    return ReportPart(part.title, tuple(part.paragraphs), tuple(part.header), rows)


SECTION: PageSection[Sequence[ReportPart]] = PageSection("parts", Sequence[ReportPart], collect)
