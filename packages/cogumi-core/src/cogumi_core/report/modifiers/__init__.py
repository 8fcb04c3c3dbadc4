"""What each modifier offers, which of its adapters the system carries, and what they are worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cogumi_core.api.types import AdapterOffer, ModifierReport
from cogumi_core.report.context import ReportContext
from cogumi_core.report.modifiers.view import ModifierView, modifier_view
from cogumi_core.report.plain import report_in
from cogumi_core.report.section import Highlight, PageSection
from cogumi_core.report.wording import percent
from cogumi_core.stages.choose import ChooseStage, chosen_folders


@dataclass(frozen=True, slots=True)
class NamedModifier:
    """A modifier's report under the name it is served by. `carried` is the folder of the adapter that the system carries,
    None where it carries none."""

    name: str
    report: ModifierReport
    carried: str | None = None

    @property
    def offer(self) -> AdapterOffer:
        """The adapter that figures are shown of: the one that is carried, or else the best."""
        return next((offer for offer in self.report.offers if offer.folder == self.carried), self.report.offers[0])

    @property
    def verdict(self) -> str:
        """What became of the modifier."""
        if self.carried is not None:
            return "accepted"
        return "left out for want of bytes" if self.report.accepted else "refused"

    def verdict_of(self, offer: AdapterOffer) -> str:
        """What became of one of its adapters."""
        if offer.folder == self.carried:
            return "carried in the system"
        if not offer.accepted:
            return f"refused: {offer.reason}" if offer.reason else "refused"
        return "left out for want of bytes" if self.carried is None else "left out: another one is carried"


def collect(context: ReportContext) -> Sequence[NamedModifier]:
    """Every modifier, refused ones too."""
    carried: dict[str, str | None] = {}
    for stage, artifact in context.built:
        if isinstance(stage, ChooseStage):
            folders = [folder for _, folder in chosen_folders(artifact)]
            carried |= {stage.inputs[f"adapters[{index}]"]: folder for index, folder in enumerate(folders)}
    return tuple(
        NamedModifier(stage.component, report_in(artifact.manifest.metrics, ModifierReport), carried.get(stage.name))
        for stage, artifact in context.built
        if stage.artifact == "adapter"
    )


def view(modifiers: Sequence[NamedModifier]) -> Sequence[ModifierView]:
    return [modifier_view(item.name, item.report, item.offer) for item in modifiers]


def highlights(modifiers: Sequence[NamedModifier]) -> Iterator[Highlight]:
    for item in modifiers:
        result, baseline = item.offer.result, item.report.baseline
        figure = f"{percent(baseline.share, 0)} → {percent(result.share, 0)}"
        meaning = f"of {result.n} held-out tasks solved: strongest untrained configuration, then the adapter; {item.verdict}"
        yield Highlight(f"Modifier {item.name}", figure, meaning, item.carried is not None)


SECTION: PageSection[Sequence[NamedModifier]] = PageSection(
    "modifiers", Sequence[NamedModifier], collect, view, highlights=highlights
)
