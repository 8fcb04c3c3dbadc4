"""The sections of a recipe: the project's own and those of plugins, in the order in which they run. One table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from cogumi_core.api.sections import Section

OWN: Final = (
    Section(
        "sources",
        ("source",),
        "where prompts come from",
        "cogumi_core.stages.data.prompts:PromptsStage",
        many=True,
        each=False,
        gives="prompts",
    ),
    Section(
        "distill",
        ("teacher",),
        "who answers the prompts",
        "cogumi_core.stages.data.distill:DistillStage",
        many=True,
        each=False,
        inputs=("prompts",),
        gives="dataset",
        shares=True,
    ),
    Section(
        "filter",
        ("filter",),
        "which rows stay",
        "cogumi_core.stages.data.filter:FilterStage",
        many=True,
        inputs=("dataset",),
        gives="dataset",
    ),
    Section(
        "dedup",
        ("deduper",),
        "near-identical rows go",
        "cogumi_core.stages.data.dedup:DedupStage",
        inputs=("dataset",),
        gives="dataset",
    ),
    Section(
        "train",
        ("trainer",),
        "fits the student on the rows",
        "cogumi_core.stages.models.train:TrainStage",
        inputs=("dataset",),
        optional=("model",),
        gives="model",
    ),
    Section(
        "compress",
        ("compressor", "trainer"),
        "makes the model smaller, and recovers what that cost",
        "cogumi_core.stages.models.compress:CompressStage",
        many=True,
        optional=("model", "dataset"),
        gives="model",
    ),
    Section(
        "modifiers",
        ("modifier",),
        "adapters for what the base fails at",
        "cogumi_core.stages.modifier:ModifierStage",
        many=True,
        optional=("runnable",),
        gives="adapters",
    ),
    Section(
        "router",
        ("router",),
        "keeps the base's answer or escalates",
        "cogumi_core.stages.router:RouterStage",
        optional=("adapters", "dataset"),
        gives="router",
    ),
)


def sections(others: Iterable[Section] = ()) -> Mapping[str, Section]:
    """Every section by name, in the order in which they run. One of a plugin's runs behind the section that it names; one that
    takes a name which is taken is left out."""
    ordered = list(OWN)
    for section in others:
        names = [known.name for known in ordered]
        if section.name in names:
            continue
        place = names.index(section.after) + 1 if section.after in names else len(ordered)
        ordered.insert(place, section)
    return {section.name: section for section in ordered}
