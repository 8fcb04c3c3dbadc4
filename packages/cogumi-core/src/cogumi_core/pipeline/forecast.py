"""What a plan will cost as a whole, and what the finished system will weigh."""

from __future__ import annotations

from cogumi_core.pipeline.estimates import pays
from cogumi_core.pipeline.planning import Plan, PlannedStage
from cogumi_core.stages.chain import section_of


def forecast(planned: Plan) -> dict[str, float | int | None]:
    """Dollars at most and seconds of what is not built yet; `bytes` at most of the finished system as it is carried elsewhere,
    built parts included. None where it cannot be known beforehand."""
    waiting = [row for row in planned.stages if row.state != "hit"]
    paid = [row.estimate.usd if row.estimate else None for row in waiting if pays(row.stage)]
    usd = None if None in paid else sum(value for value in paid if value is not None)
    seconds = sum(row.estimate.seconds or 0.0 for row in waiting if row.estimate)
    return {"usd": usd, "seconds": seconds or None, "bytes": _system_bytes(planned)}


def _system_bytes(planned: Plan) -> int | None:
    """The last compressed model whose size is known (what comes after it only packs it) and every adapter."""
    models = [row for row in planned.stages if section_of(row.stage) == "compress" and row.stage.artifact == "model"]
    sizes = [_bytes(row) for row in models]
    base = next((size for size in reversed(sizes) if size is not None), None)
    adapters = [_adapter_bytes(row) for row in planned.stages if row.stage.artifact == "adapter"]
    if base is None or None in adapters:
        return None
    return base + sum(size for size in adapters if size is not None)


def _bytes(row: PlannedStage) -> int | None:
    if row.artifact is not None:
        return row.artifact.manifest.size
    return row.estimate.bytes if row.estimate else None


def _adapter_bytes(row: PlannedStage) -> int | None:
    """Of a built modifier, the largest adapter that it offers: which one is carried is chosen later."""
    if row.artifact is not None:
        return max((offer["bytes"] for offer in row.artifact.manifest.metrics["offers"] if offer["accepted"]), default=0)
    return row.estimate.bytes if row.estimate else None
