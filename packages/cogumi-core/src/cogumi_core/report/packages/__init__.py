"""The versions of the packages that had a part in the result."""

from __future__ import annotations

from collections.abc import Mapping

from cogumi_core.report.context import ReportContext
from cogumi_core.report.section import PageSection


def collect(context: ReportContext) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for _, artifact in context.built:
        found |= artifact.manifest.provenance.get("packages", {})
    return dict(sorted(found.items()))


SECTION: PageSection[Mapping[str, str]] = PageSection("packages", Mapping[str, str], collect)
