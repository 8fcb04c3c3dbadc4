"""The contract of modifiers: adapters to choose from, each in a folder of its own, with what it was measured on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import AdapterOffer, ModelRef, ModifierReport
from cogumi_core.formats.rows import read_rows, route_example_from_row
from cogumi_core.testing.conformance.models import ModelSuite, Ran

__all__ = ["ModifierSuite", "false_in_offers"]

ADAPTER, OUTCOMES = "adapter.gguf", "outcomes.jsonl"


class ModifierSuite(ModelSuite):
    """A domain modifier. Building is minutes of training with a real model: choose small settings."""

    kind = "modifier"

    def call(self, made: Any, base: ModelRef, output: Path, run: RunContext) -> Any:
        return made.build(base, output, run)

    def test_every_offer_has_its_folder(self, ran: Ran) -> None:
        wrong = list(false_in_offers(ran.report, ran.output))
        assert not wrong, "; ".join(wrong)

    def test_outcomes_can_be_read(self, ran: Ran) -> None:
        for offer in ran.report.offers:
            rows = [route_example_from_row(row) for _, row in read_rows(ran.output / offer.folder / OUTCOMES)]
            assert rows, f"{offer.folder}/{OUTCOMES} is empty: the router has nothing to learn from"
            assert {row.split for row in rows} <= {"fit", "held-out"}

    def test_report_holds_together(self, ran: Ran) -> None:
        report = ran.report
        assert isinstance(report, ModifierReport)
        assert report.domain
        assert report.offers, "no adapter was offered, not even one that is refused"
        for interval in (report.baseline, *(offer.result for offer in report.offers), *report.configurations.values()):
            assert 0 <= interval.low <= interval.share <= interval.high <= 1
            assert interval.n > 0

    def test_offers_are_told_apart_by_their_result(self, ran: Ran) -> None:
        report = ran.report
        for offer in report.offers:
            assert offer.reason, f"the report does not say why '{offer.folder}' was accepted or refused"
            assert 0 <= offer.p_value <= 1
            assert offer.result.n == report.baseline.n, "baseline and result were not measured on the same tasks"
            assert offer.won + offer.lost <= offer.result.n, "more tasks were won and lost than there are"
        assert report.offers[0].accepted == report.accepted, (
            "the best offer comes first, and one that is refused is not the best"
        )


def false_in_offers(report: ModifierReport, output: Path) -> Iterator[str]:
    """What the offers say that the folders in `output` do not bear out."""
    folders = [offer.folder for offer in report.offers]
    if len(folders) != len(set(folders)):
        yield f"two offers share a folder: {', '.join(folders)}"
    for offer in report.offers:
        yield from _false_in_offer(offer, output)


def _false_in_offer(offer: AdapterOffer, output: Path) -> Iterator[str]:
    folder = (output / offer.folder).resolve()
    if not offer.folder or not folder.is_relative_to(output.resolve()):
        yield f"the folder '{offer.folder}' is not below the output"
        return
    for name in (ADAPTER, OUTCOMES):
        if not (folder / name).is_file():
            yield f"there is no {offer.folder}/{name}"
    adapter = folder / ADAPTER
    if adapter.is_file():
        if adapter.read_bytes()[:4] != b"GGUF":
            yield f"{offer.folder}/{ADAPTER} is no GGUF file"
        if adapter.stat().st_size != offer.bytes:
            yield f"'{offer.folder}' is said to have {offer.bytes} bytes, its {ADAPTER} has {adapter.stat().st_size}"
    if offer.rank < 1:
        yield f"'{offer.folder}' has the rank {offer.rank}"
