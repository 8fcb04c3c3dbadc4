"""What the plugin offers. Import strings, so that nothing but this file is loaded until a component is used."""

from collections.abc import Iterator

from cogumi_core import Component, Section, hookimpl

MODIFIER = "cogumi_modifiers.domains.domain:DomainModifier"


@hookimpl
def cogumi_register_teachers() -> Iterator[Component]:
    yield Component(
        "teacher", "calendar", "writes dates in ISO form", "cogumi_core:Settings", "cogumi_example.calendar:Calendar"
    )


@hookimpl
def cogumi_register_filters() -> Iterator[Component]:
    settings, factory = "cogumi_example.agrees:AgreesSettings", "cogumi_example.agrees:Agrees"
    yield Component("filter", "agrees", "drops answers that a judge would not give", settings, factory)


@hookimpl
def cogumi_register_benchmarks() -> Iterator[Component]:
    settings, factory = "cogumi_example.dates:DatesSettings", "cogumi_example.dates:IsoDates"
    yield Component("benchmark", "iso-dates", "dates to be written in ISO form", settings, factory)


@hookimpl
def cogumi_register_modifiers() -> Iterator[Component]:
    settings, gguf = "cogumi_example.domain:IsoDatesSettings", frozenset({"gguf"})
    yield Component("modifier", "iso-dates", "an adapter that writes dates in ISO form", settings, MODIFIER, accepts=gguf)


@hookimpl
def cogumi_register_sections() -> Iterator[Section]:
    stage, show = "cogumi_example.review:ReviewStage", "cogumi_example.review:show"
    does = "rows for a person to look at"
    yield Section("review", ("picker",), does, stage, inputs=("dataset",), after="dedup", report=show)


@hookimpl
def cogumi_register_components() -> Iterator[Component]:
    settings, factory = "cogumi_example.review:SpreadSettings", "cogumi_example.review:Spread"
    yield Component("picker", "spread", "rows from the best score to the worst", settings, factory)
