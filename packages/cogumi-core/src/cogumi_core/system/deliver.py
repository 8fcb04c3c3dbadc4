"""What `--out` receives: a dataset, a model, or a whole system, copied out of the store and verifiable by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cogumi_core.api.errors import BudgetExceeded, InputError, MissingDependency
from cogumi_core.api.types import JSON, ModelRef
from cogumi_core.formats.dataset import KEPT
from cogumi_core.recipe.parse import Recipe
from cogumi_core.report.collect import collect
from cogumi_core.report.data import to_json
from cogumi_core.report.page import render
from cogumi_core.run.workspace import Session
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import REFERENCE, RUNNABLE, engine_name
from cogumi_core.stages.experts import ADAPTER, ModifierStage, RouterStage
from cogumi_core.store.artifacts import Artifact
from cogumi_core.store.atomic import explained
from cogumi_core.system.card import model_card
from cogumi_core.system.parcel import Item, file_item, stored_item, stored_items, text_item, write_parcel

SCHEMA = 1
PACKED = "packed"
REPORT = "report.html"


def deliver(session: Session, artifacts: Mapping[str, Artifact], out: Path, note: Callable[[str], None]) -> Mapping[str, Path]:
    """Writes the result below `out` and says where each part is (`dataset`, `model`, `packed`, `system`, `report`).

    Raises BudgetExceeded when a system weighs more than the recipe allows; the parts stay in the store."""
    parts = _Parts.of(session, artifacts)
    with explained("deliver the result", out):
        out.parent.mkdir(parents=True, exist_ok=True)
    if parts.is_system:
        return _deliver_system(session, parts, out, note)
    delivered: dict[str, Path] = {}
    report = _report_items(session, parts, note)
    if parts.model is None and parts.data is not None:
        write_parcel(out, [*stored_items(parts.data), *report], _head(session, parts.data))
        return {"dataset": out, "report": out / REPORT}
    if parts.model is not None:
        delivered["model"] = write_parcel(out / "model", stored_items(parts.model), _head(session, parts.model))
    if parts.data is not None:
        delivered["dataset"] = write_parcel(out / "dataset", stored_items(parts.data), _head(session, parts.data))
    delivered["report"] = write_parcel(out / "report", report, {"schema": SCHEMA, "artifact": "report"}) / REPORT
    return delivered


@dataclass(frozen=True, slots=True)
class _Parts:
    """The artifacts that matter to a person: the last of each sort."""

    data: Artifact | None
    model: Artifact | None
    base: ModelRef | None
    packed: Artifact | None
    artifacts: Mapping[str, Artifact]
    modifiers: Mapping[str, Artifact]
    router: Artifact | None
    is_system: bool

    @classmethod
    def of(cls, session: Session, artifacts: Mapping[str, Artifact]) -> _Parts:
        stages = [stage for stage in session.stages if stage.name in artifacts]
        data = [artifacts[stage.name] for stage in stages if stage.kind == "dataset"]
        data = [artifact for artifact in data if (artifact.path / KEPT).exists()]
        models = [artifacts[stage.name] for stage in stages if stage.kind == "model" and stage.name != REFERENCE]
        runnable = [artifact.model() for artifact in models if artifact.model().format == RUNNABLE]
        student = session.student if session.student and session.student.format == RUNNABLE else None
        packed = [artifact for artifact in models if artifact.model().format == "zstd"]
        return cls(
            data=data[-1] if data else None,
            model=models[-1] if models else None,
            base=runnable[-1] if runnable else student,
            packed=packed[-1] if packed else None,
            artifacts=artifacts,
            modifiers=_accepted(stages, artifacts),
            router=next((artifacts[stage.name] for stage in stages if isinstance(stage, RouterStage)), None),
            is_system=any(isinstance(stage, ModifierStage | RouterStage) for stage in stages),
        )


def _accepted(stages: list[Stage], artifacts: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """Name of each modifier that passed its gate -> its adapter."""
    modifiers = [stage for stage in stages if isinstance(stage, ModifierStage)]
    found = {stage.component: artifacts[stage.name] for stage in modifiers}
    return {name: artifact for name, artifact in found.items() if artifact.manifest.metrics["accepted"]}


def _deliver_system(session: Session, parts: _Parts, out: Path, note: Callable[[str], None]) -> Mapping[str, Path]:
    items = _base_items(parts) + [
        stored_item(f"modifiers/{name}/{ADAPTER}", artifact, ADAPTER) for name, artifact in parts.modifiers.items()
    ]
    if parts.router is not None:
        items += stored_items(parts.router, "router/")
    shipped = shipped_bytes(items, parts.packed)
    _check_budget(shipped, session)
    report = _report_items(session, parts, note, shipped)
    head = _system_head(session, parts, shipped)
    items += [*report, text_item("README.md", model_card(head))]
    delivered = {"system": write_parcel(out / "system", items, head)}
    if any(item.entry.path == REPORT for item in report):
        delivered["report"] = out / "system" / REPORT
    if parts.data is not None:
        delivered["dataset"] = write_parcel(out / "dataset", stored_items(parts.data), _head(session, parts.data))
    if parts.packed is not None:
        delivered[PACKED] = write_parcel(out / PACKED, stored_items(parts.packed), _head(session, parts.packed))
    return delivered


def _base_items(parts: _Parts) -> list[Item]:
    if parts.base is None:
        message = "a system needs a base that an engine runs: add `{use: gguf}` to `compress:`, or start from a GGUF student"
        raise InputError(message)
    return [file_item("base/model.gguf", parts.base.path, parts.base.path.stat().st_size, parts.base.digest)]


def shipped_bytes(items: Sequence[Item], packed: Artifact | None) -> dict[str, int]:
    """Bytes of each part as it is carried elsewhere: the base packed where a stage packed it."""
    sizes: dict[str, int] = {}
    for item in items:
        first, *rest = item.entry.path.split("/")
        part = f"modifier {rest[0]}" if first == "modifiers" else first
        sizes[part] = sizes.get(part, 0) + item.entry.size
    return sizes if packed is None else {**sizes, "base": packed.manifest.size}


def _check_budget(shipped: Mapping[str, int], session: Session) -> None:
    limit = session.recipe.budget.bytes
    if limit is None or sum(shipped.values()) <= limit:
        return
    parts = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in shipped.items())
    message = (
        f"the system weighs {sum(shipped.values()) / 1e6:.1f} MB, more than budget.bytes allows ({limit / 1e6:.1f} MB): "
        f"{parts}. "
        "Choose a smaller type or lora_r, or raise the budget; what was built is kept in the store"
    )
    raise BudgetExceeded(message)


def _system_head(session: Session, parts: _Parts, shipped: Mapping[str, int]) -> dict[str, JSON]:
    """What `manifest.json` says of a system; enough to serve it, together with the list of files."""
    recipe = session.recipe
    return {
        "schema": SCHEMA,
        "artifact": "system",
        "name": recipe.name,
        "engine": engine_name(session.registry) or "llama-cpp",
        "base": {"path": "base/model.gguf", "sha256": parts.base.digest if parts.base else ""},
        "modifiers": [_modifier_head(name, artifact) for name, artifact in sorted(parts.modifiers.items())],
        "router": _router_head(recipe, parts.router),
        "figures": {"bytes": dict(shipped), "total_bytes": sum(shipped.values()), "measured": _figures(parts)},
        "provenance": {
            "recipe": recipe.text,
            "seed": recipe.seed,
            "student": recipe.student,
            "packages": _packages(parts.artifacts),
            "stages": {name: artifact.digest for name, artifact in parts.artifacts.items()},
        },
    }


def _modifier_head(name: str, artifact: Artifact) -> dict[str, JSON]:
    metrics = artifact.manifest.metrics
    domain, needs_schema = metrics["domain"], metrics["needs_schema"]
    return {"name": name, "domain": domain, "path": f"modifiers/{name}/{ADAPTER}", "needs_schema": needs_schema}


def _router_head(recipe: Recipe, router: Artifact | None) -> dict[str, JSON] | None:
    if router is None or recipe.router is None:
        return None
    settings = recipe.router.settings.model_dump(mode="json")
    return {"component": recipe.router.component.name, "path": "router", "settings": settings}


def _figures(parts: _Parts) -> dict[str, JSON]:
    """What was measured, by stage: a line each, with the numbers behind it in report.json."""
    return {name: artifact.manifest.metrics.get("summary", "") for name, artifact in parts.artifacts.items()}


def _packages(artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    """Versions of all packages that had a part in it."""
    found: dict[str, str] = {}
    for artifact in artifacts.values():
        found |= artifact.manifest.provenance.get("packages", {})
    return dict(sorted(found.items()))


def _head(session: Session, artifact: Artifact) -> dict[str, JSON]:
    return {
        "schema": SCHEMA,
        "artifact": artifact.kind,
        "name": session.recipe.name,
        "stage": artifact.manifest.stage,
        "facts": artifact.manifest.facts,
        "figures": artifact.manifest.metrics,
        "provenance": artifact.manifest.provenance,
    }


def _report_items(
    session: Session, parts: _Parts, note: Callable[[str], None], shipped: Mapping[str, int] | None = None
) -> list[Item]:
    """The report as data and as a page; without the libraries that draw it, the data alone."""
    data = collect(session.recipe, session.stages, parts.artifacts, shipped)
    items = [text_item("report.json", to_json(data))]
    try:
        return [*items, text_item(REPORT, render(data))]
    except MissingDependency as exc:
        note(f"no report.html: {exc}")
        return items
