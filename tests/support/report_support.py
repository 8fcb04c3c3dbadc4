"""A report with everything in it, with values that try to break a page."""

from __future__ import annotations

from dataclasses import replace

from cogumi_core.api.types import Interval, LossPoint, ModifierReport, ReliabilityBin, RouterReport
from cogumi_core.measure.fidelity import Fidelity
from cogumi_core.report.data import (
    Budget,
    CompressionRow,
    DataRow,
    DroppedRow,
    NamedModifier,
    NamedRouter,
    Part,
    ReportData,
    StageRow,
    Training,
)

HOSTILE = "<script>alert('x')</script> & \"q\" $x^2$ 日本 {{ 7*7 }}"
LOSSES = tuple(LossPoint(step, 2.0 / step, 2e-4) for step in range(1, 51))
BASELINE, RESULT = Interval(0.42, 0.354, 0.489, 200), Interval(0.61, 0.541, 0.675, 200)


def stage(name: str, kind: str, component: str, **more: object) -> StageRow:
    row = StageRow(name, kind, component, "cogumi-x 0.1.0", hit=False, seconds=71.2, digest="ab12" * 16, bytes=98_233_440)
    return replace(row, **more)  # type: ignore[arg-type]


MODIFIER = ModifierReport(
    domain="automation",
    accepted=True,
    baseline=BASELINE,
    result=RESULT,
    won=52,
    lost=14,
    p_value=2.6e-6,
    reason="It passes the gate.",
    losses=LOSSES,
    configurations={"base under the grammar": BASELINE, HOSTILE: Interval(0.1, 0.05, 0.2, 200)},
    fixed=({"question": HOSTILE, "expected": {"a": [1]}},),
    failing=({"question": "still wrong"},),
)
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
FULL = ReportData(
    name=HOSTILE,
    seed=17,
    recipe=f"name: {HOSTILE}\n",
    stages=(
        stage("sources", "dataset", "jsonl", figure="136 rows", bytes=182_334),
        stage("distill", "dataset", "local", tokens_prompt=5120, tokens_completion=7944, usd=0.0042, summary=HOSTILE),
        stage("train", "model", "qlora", deterministic=False, why_not="GPU kernels"),
        stage("measure:compress[0]", "measurement", "llama-cpp"),
        stage("compress[0]", "model", "gguf"),
    ),
    data=(
        DataRow("sources", 136, 136, 0),
        DataRow("filter[0]", 136, 127, 9, {HOSTILE: 7, "too long": 2}, (DroppedRow("p-1", HOSTILE, "too short", HOSTILE),)),
    ),
    trainings=(Training("train", LOSSES[:24], note=HOSTILE),),
    compression=(
        CompressionRow("compress[0]", 98_233_440, 5.84, FIDELITY),
        CompressionRow("compress[1]", 94_110_200, None, None, "bit-identical when unpacked"),
    ),
    fidelity_text="heldout.txt",
    modifiers=(NamedModifier("automation", MODIFIER),),
    router=NamedRouter("confidence", ROUTER),
    budget=Budget((Part("base", 94_110_200), Part("router", 24_300)), 140_000_000, 0.0042, 5.0),
    packages={"cogumi-core": "0.1.0"},
    notes=(HOSTILE,),
)
EMPTY = ReportData("empty", 1, "name: empty\n")
