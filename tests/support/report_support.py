"""A report with everything in it, with values that try to break a page."""

from __future__ import annotations

from dataclasses import replace

from cogumi_core.api.types import (
    AdapterOffer,
    Interval,
    LossPoint,
    ModelFacts,
    ModifierReport,
    ReliabilityBin,
    RouterReport,
    Vocabulary,
)
from cogumi_core.measure.fidelity import Fidelity
from cogumi_core.report.budget import Budget, Paid, Part
from cogumi_core.report.compression import Compression, CompressionRow
from cogumi_core.report.data import DataRow, DroppedRow
from cogumi_core.report.document import ReportData
from cogumi_core.report.modifiers import NamedModifier
from cogumi_core.report.overview import Link
from cogumi_core.report.part import ReportPart
from cogumi_core.report.router import NamedRouter
from cogumi_core.report.spend import Spend
from cogumi_core.report.stages import StageRow
from cogumi_core.report.training import Training

HOSTILE = "<script>alert('x')</script> & \"q\" $x^2$ 日本 {{ 7*7 }}"
LOSSES = tuple(LossPoint(step, 2.0 / step, 2e-4) for step in range(1, 51))
BASELINE, RESULT = Interval(0.42, 0.354, 0.489, 200), Interval(0.61, 0.541, 0.675, 200)


def stage(name: str, artifact: str, component: str, **more: object) -> StageRow:
    row = StageRow(name, artifact, component, "cogumi-x 0.1.0", seconds=71.2, digest="ab12" * 16, bytes=98_233_440)
    return replace(row, **more)  # type: ignore[arg-type]


def having(report: ReportData, /, **sections: object) -> ReportData:
    """The report with other data for these sections; None takes one out."""
    changed = {**report.sections, **sections}
    return replace(report, sections={name: value for name, value in changed.items() if value is not None})


OFFERS = (
    AdapterOffer("rank-32", 32, 9_700_000, RESULT, 52, 14, 2.6e-6, accepted=True, reason="It passes the gate."),
    AdapterOffer(
        "rank-8", 8, 2_400_000, Interval(0.55, 0.481, 0.617, 200), 40, 14, 5.3e-4, accepted=True, reason="It passes too."
    ),
    AdapterOffer("rank-2", 2, 600_000, BASELINE, 20, 20, 1.0, accepted=False, reason=HOSTILE),
)
MODIFIER = ModifierReport(
    domain="automation",
    baseline=BASELINE,
    offers=OFFERS,
    losses=LOSSES,
    configurations={"base under the grammar": BASELINE, HOSTILE: Interval(0.1, 0.05, 0.2, 200)},
    fixed=({"question": HOSTILE, "expected": {"a": [1]}},),
    failing=({"question": "still wrong"},),
)
FACTS = ModelFacts({"attention": 0.5, "ffn": 0.5}, "2:4", Vocabulary(32_000, 49_152, "English"), "Q5_0", {"note": HOSTILE})
ROUTER = RouterReport(
    n_fit=200,
    n_held_out=190,
    threshold=0.8,
    auroc=0.742,
    ece=0.048,
    brier=0.187,
    escalated=0.95,
    reliability=(ReliabilityBin(0.2, 0.25, 180), ReliabilityBin(0.9, 0.8, 10)),
    metrics={
        "intervals": {"auroc": [0.67, 0.81]},
        "cross_validated": {"n": 200, "auroc": 0.75, "ece": 0.04, "brier": 0.19},
        "at_threshold": {"kept": 10, "kept_base_accuracy": 0.9, "escalated": 180, "escalated_base_accuracy": 0.4},
        "deferral": [{"share": 0.0, "accuracy": 0.4}, {"share": 1.0, "accuracy": 0.6}],
        "gate": {"accuracy": 0.98, "n_held_out": 212, "domains": ["automation", "code"]},
        "notes": ["isotonic overfits"],
    },
)
FIDELITY = Fidelity(0.941, 0.933, 0.0213, (0.0187, 0.0239), 0.924, (0.911, 0.937), 2032, 8744, 16)
STAGES = (
    stage("sources", "prompts", "jsonl", bytes=182_334),
    stage("distill", "dataset", "local", spend=Spend(0.0042, 130, 6, 1, 0, 5120, 7944), summary=HOSTILE),
    stage("filter[0]:judged", "dataset", "judged", spend=Spend(0.0100, 136, 0, 0, 0, 900, 136)),
    stage("train:qlora", "model", "qlora", deterministic=False, why_not="GPU kernels"),
    stage("measure:compress[0]:gguf", "measurement", "llama-cpp"),
    stage("compress[0]:gguf", "model", "gguf", facts=FACTS),
)
LINKS = tuple(Link(row.name, row.component, "98.2 MB", row.digest[:8]) for row in STAGES if row.artifact != "measurement")
FULL = ReportData(
    name=HOSTILE,
    seed=17,
    recipe=f"name: {HOSTILE}\n",
    sections={
        "overview": (*LINKS, Link("result", "system", "94.1 MB")),
        "data": (
            DataRow("sources", 136, 136, 0),
            DataRow("filter[0]", 136, 127, 9, {HOSTILE: 7, "too long": 2}, (DroppedRow("p-1", HOSTILE, "too short", HOSTILE),)),
        ),
        "training": (Training("train:qlora", LOSSES[:24], note=HOSTILE), Training("modifiers[0]:automation", LOSSES)),
        "compression": Compression(
            (
                CompressionRow("compress[0]", 98_233_440, 5.84, FIDELITY, facts=FACTS),
                CompressionRow("compress[1]", 94_110_200, None, None, "bit-identical when unpacked"),
            ),
            "heldout.txt",
        ),
        "modifiers": (NamedModifier("automation", MODIFIER, "rank-32"),),
        "router": NamedRouter("confidence", ROUTER),
        "parts": (ReportPart(HOSTILE, (HOSTILE,), (HOSTILE, "share", "well"), ((HOSTILE, 0.25, True), ("b", 1200, None))),),
        "budget": Budget(
            (Part("base", 94_110_200), Part("router", 24_300)),
            140_000_000,
            (Paid("distill", Spend(0.0042, 130, 6, 1, 0, 5120, 7944)), Paid("filter[0]:judged", Spend(0.0100, 136))),
            5.0,
        ),
        "stages": STAGES,
        "packages": {"cogumi-core": "0.1.0"},
    },
)
EMPTY = ReportData("empty", 1, "name: empty\n")
