"""Which rows stay, each that goes with a reason. Whether an answer is true or good is a judge's question."""

from __future__ import annotations

from cogumi_core import Component

COMPONENTS = (
    Component(
        "filter",
        "length",
        "drops rows with too few or too many tokens of the student's tokenizer",
        config="cogumi_teachers.filters.settings:LengthSettings",
        factory="cogumi_teachers.filters.length:LengthFilter",
        uses=frozenset({"student"}),
    ),
    Component(
        "filter",
        "format",
        "drops answers that are cut off, loop, refuse, leak role tokens or are not the JSON asked for",
        config="cogumi_teachers.filters.settings:FormatSettings",
        factory="cogumi_teachers.filters.format:FormatFilter",
        version="2",
    ),
)
