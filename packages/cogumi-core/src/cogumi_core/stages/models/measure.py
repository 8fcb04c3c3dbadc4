"""What compression cost: the compressed model against the uncompressed student, on held-out text.

A stage of its own, so that a figure is computed once, is kept with what it was computed from, and is never part of the model
that it describes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from cogumi_core.api.errors import StageError
from cogumi_core.api.types import JSON
from cogumi_core.api.use import Use
from cogumi_core.measure.fidelity import measure_fidelity
from cogumi_core.stages.base import Built, Stage, Work
from cogumi_core.store.fingerprint import component_for_fingerprint, sha256_text

FIDELITY = "fidelity.json"


@dataclass(frozen=True, kw_only=True)
class MeasureStage(Stage):
    """Bits per byte, KL divergence and top-1 agreement of `candidate` with `reference` (the student when absent)."""

    id: ClassVar[str] = "measure"
    artifact: ClassVar[str] = "measurement"

    engine: Use[Any]
    text: Path
    tokens: int
    context: int

    def extra_key(self) -> Mapping[str, JSON]:
        text = sha256_text(self.text.read_text(encoding="utf-8"))
        assert self.engine.provided is not None
        assert self.engine.settings is not None
        engine = component_for_fingerprint(self.engine.provided, self.engine.settings)
        return {"engine": engine, "text": text, "tokens": self.tokens, "context": self.context}

    def build(self, work: Work) -> Built:
        candidate = work.inputs["candidate"].model()
        student = work.run.services.student
        reference = work.inputs["reference"].model() if "reference" in work.inputs else student
        if reference is None:
            message = "there is no uncompressed student to compare with; this is a defect of the plan"
            raise StageError(self.name, message)
        fidelity = measure_fidelity(
            reference.path,
            candidate.path,
            self.text.read_text(encoding="utf-8"),
            engine=work.registry.make(self.engine),
            tokens=self.tokens,
            context=self.context,
            progress=work.run.progress,
        )
        row = asdict(fidelity)
        (work.output / FIDELITY).write_text(json.dumps(row, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return Built(_summary(row), row)


def _summary(row: Mapping[str, JSON]) -> str:
    parts = [f"{row['bits_per_byte']:.3f} bits a byte"]
    if row.get("mean_kl") is not None:
        parts.append(f"KL {row['mean_kl']:.4f} nats")
    if row.get("top1_agreement") is not None:
        parts.append(f"top-1 agreement {row['top1_agreement']:.1%}")
    return ", ".join(parts)
