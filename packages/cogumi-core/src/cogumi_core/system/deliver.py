"""The last step of a run: the folder a person gets, complete without the store and verifiable by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.errors import BudgetExceeded, InputError, MissingDependency
from cogumi_core.api.types import JSON, ModelRef
from cogumi_core.api.use import Use
from cogumi_core.formats.dataset import KEPT
from cogumi_core.plugins.catalogue import distribution_for
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.form import Recipe
from cogumi_core.report.context import ReportContext
from cogumi_core.report.document import collect, to_json
from cogumi_core.report.files import DATA_FILE, PAGE_FILE
from cogumi_core.report.page import render
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import REFERENCE, runnable_formats
from cogumi_core.stages.choose import ChooseStage, chosen_folders
from cogumi_core.stages.modifier import ADAPTER
from cogumi_core.store.artifacts import Artifact
from cogumi_core.store.atomic import explained
from cogumi_core.store.digests import digest_files
from cogumi_core.store.fingerprint import settings_for_fingerprint
from cogumi_core.system.card import model_card
from cogumi_core.system.manifest import RESERVED, BaseEntry, EngineEntry, ModifierEntry, RouterEntry, SystemManifest
from cogumi_core.system.parcel import Item, file_item, plain_manifest, stored_item, stored_items, text_item, write_parcel

SCHEMA: Final = 2
PACKED: Final = "packed"


def deliver(
    recipe: Recipe,
    registry: Registry,
    student: ModelRef | None,
    stages: Sequence[Stage],
    artifacts: Mapping[str, Artifact],
    out: Path,
    note: Callable[[str], None],
) -> Mapping[str, Path]:
    """Writes the result below `out` and says where each part is (`dataset`, `model`, `packed`, `system`, `report`).

    `note` takes a sentence that a person should read. Raises BudgetExceeded when a system weighs more than the recipe allows,
    and InputError when nothing could run it; the parts stay in the store."""
    with explained("deliver the result", out):
        out.parent.mkdir(parents=True, exist_ok=True)
    return _Delivery(recipe, registry, student, tuple(stages), artifacts, out, note).delivered()


@dataclass(frozen=True, slots=True)
class _Base:
    """The model that answers first, and what it weighs as it is carried elsewhere: packed where a stage packed it."""

    model: ModelRef
    packed: Artifact | None

    def items(self) -> list[Item]:
        """A file under its own name, a folder's files as they lie in it."""
        path = self.model.path
        if path.is_dir():
            return [
                file_item(f"base/{entry.path}", path / entry.path, entry.size, entry.sha256) for entry in digest_files(path)[0]
            ]
        return [file_item(f"base/{path.name}", path, path.stat().st_size, self.model.digest)]

    def entry(self) -> BaseEntry:
        """What the system's manifest says of it."""
        path = self.model.path
        return BaseEntry("base" if path.is_dir() else f"base/{path.name}", self.model.digest, self.model.format)


@dataclass(frozen=True, slots=True)
class _Delivery:
    recipe: Recipe
    registry: Registry
    student: ModelRef | None
    stages: tuple[Stage, ...]
    artifacts: Mapping[str, Artifact]
    out: Path
    note: Callable[[str], None]

    def delivered(self) -> Mapping[str, Path]:
        data = [artifact for _, artifact in self._built("dataset") if (artifact.path / KEPT).exists()]
        models = [artifact for stage, artifact in self._built("model") if stage.name != REFERENCE]
        if any(stage.artifact in ("adapter", "router") for stage in self.stages if stage.name in self.artifacts):
            found = self._system()
        elif data and not models:
            report = self._report_items({})
            self._write(self.out, [*stored_items(data[-1]), *report], _head(self.recipe, data[-1]))
            return {"dataset": self.out, "report": self.out / report[-1].entry.path}
        else:
            report = self._report_items({})
            folder = self._write(self.out / "report", report, {"schema": SCHEMA, "artifact": "report"})
            found = {"report": folder / report[-1].entry.path}
            if models:
                found["model"] = self._write(self.out / "model", stored_items(models[-1]), _head(self.recipe, models[-1]))
        if data:
            found["dataset"] = self._write(self.out / "dataset", stored_items(data[-1]), _head(self.recipe, data[-1]))
        return found

    def _built(self, kind: str) -> list[tuple[Stage, Artifact]]:
        """The stages that gave an artifact of that kind, in the order in which they ran."""
        found = [(stage, self.artifacts[stage.name]) for stage in self.stages if stage.name in self.artifacts]
        return [(stage, artifact) for stage, artifact in found if artifact.manifest.artifact == kind]

    # --- a system ---

    def _system(self) -> dict[str, Path]:
        """Base, chosen adapters and router with the manifest that lists them; what was packed lies beside it."""
        engine, base, adapters = self._engine(), self._base(), list(self._adapters())
        items = base.items()
        items += [stored_item(entry.path, artifact, f"{folder}/{ADAPTER}") for entry, artifact, folder in adapters]
        router = next((artifact for _, artifact in self._built("router")), None)
        if router is not None:
            items += stored_items(router, "router/")
        shipped = shipped_bytes(items, base.packed)
        _check_budget(shipped, self.recipe.budget.bytes)
        measured = {name: artifact.manifest.metrics.get("summary", "") for name, artifact in self.artifacts.items()}
        manifest = SystemManifest(
            name=self.recipe.name,
            engine=EngineEntry(engine.name, settings_for_fingerprint(engine.settings) if engine.settings else {}),
            base=base.entry(),
            modifiers=tuple(sorted((entry for entry, _, _ in adapters), key=lambda entry: entry.name)),
            router=self._router_entry() if router is not None else None,
            figures={"bytes": shipped, "total_bytes": sum(shipped.values()), "measured": measured},
            provenance=self._provenance(),
        )
        report = self._report_items(shipped)
        items += [*report, text_item("README.md", model_card(manifest))]
        text = manifest.with_files([item.entry for item in items]).to_json()
        delivered = {"system": write_parcel(self.out / "system", items, text)}
        delivered["report"] = delivered["system"] / report[-1].entry.path
        if base.packed is not None:
            delivered[PACKED] = self._write(self.out / PACKED, stored_items(base.packed), _head(self.recipe, base.packed))
        return delivered

    def _engine(self) -> Use[Any]:
        """The recipe's engine; where none has all that it needs here, the first that is installed at all. Raises InputError."""
        if self.recipe.engine is not None:
            return self.recipe.engine
        names = self.registry.names("engine")
        if not names:
            known = distribution_for(kind="engine")
            message = (
                "a system needs an engine that runs it, and none is installed"
                f"{f'; try: pip install {known}' if known else ''}. What was built is kept in the store: run again afterwards"
            )
            raise InputError(message)
        return self.registry.resolved(Use("engine", names[0]))

    def _base(self) -> _Base:
        """The newest model that the engine runs, or the student. Raises InputError when there is none."""
        formats = runnable_formats(self.registry, self._engine())
        models = [(stage, artifact) for stage, artifact in self._built("model") if stage.name != REFERENCE]
        runnable = [index for index, (_, artifact) in enumerate(models) if artifact.manifest.format in formats]
        after = models[runnable[-1] + 1 :] if runnable else models
        packed = [artifact for stage, artifact in after if stage.steps and stage.steps[-1].component.packs]
        if runnable:
            return _Base(models[runnable[-1]][1].model(), packed[-1] if packed else None)
        if self.student is not None and self.student.format in formats:
            return _Base(self.student, packed[-1] if packed else None)
        exporter = self.registry.exporter(formats)
        how = f"add `{{use: {exporter.component.name}}}` to `compress:`" if exporter else "add a compressor to `compress:`"
        message = f"a system needs a base that its engine '{self._engine().name}' runs ({', '.join(sorted(formats))}): {how}"
        raise InputError(message)

    def _adapters(self) -> list[tuple[ModifierEntry, Artifact, str]]:
        """What the system's manifest says of each chosen adapter, its modifier's artifact, and its folder in that."""
        found: list[tuple[ModifierEntry, Artifact, str]] = []
        for stage, choice in self._built(ChooseStage.artifact):
            for index, (modifier, folder) in enumerate(chosen_folders(choice)):
                if folder is not None:
                    artifact = self.artifacts[stage.inputs[f"adapters[{index}]"]]
                    metrics = artifact.manifest.metrics
                    name = _free_name(modifier, {entry.name for entry, _, _ in found})
                    path = f"modifiers/{name}/{ADAPTER}"
                    entry = ModifierEntry(name, metrics["domain"], path, bool(metrics.get("needs_schema")))
                    found.append((entry, artifact, folder))
        return found

    def _router_entry(self) -> RouterEntry | None:
        steps = next((stage.steps for stage, _ in self._built("router")), ())
        if not steps:
            return None
        return RouterEntry(steps[0].component.name, "router", steps[0].settings.model_dump(mode="json"))

    def _provenance(self) -> dict[str, JSON]:
        packages: dict[str, str] = {}
        for artifact in self.artifacts.values():
            packages |= artifact.manifest.provenance.get("packages", {})
        return {
            "recipe": self.recipe.text,
            "seed": self.recipe.seed,
            "student": self.recipe.student,
            "packages": dict(sorted(packages.items())),
            "stages": {name: artifact.digest for name, artifact in self.artifacts.items()},
        }

    # --- files ---

    def _write(self, folder: Path, items: Sequence[Item], head: Mapping[str, JSON]) -> Path:
        return write_parcel(folder, items, plain_manifest(head, items))

    def _report_items(self, shipped: Mapping[str, int]) -> list[Item]:
        """The report as data and, last, as a page; without the libraries that draw it, the data alone."""
        data = collect(ReportContext(self.recipe, self.registry, self.stages, self.artifacts, shipped))
        items = [text_item(DATA_FILE, to_json(data))]
        try:
            return [*items, text_item(PAGE_FILE, render(data))]
        except MissingDependency as exc:
            self.note(f"no {PAGE_FILE}: {exc}")
            return items


def shipped_bytes(items: Sequence[Item], packed: Artifact | None) -> dict[str, int]:
    """Bytes of each part as it is carried elsewhere: the base packed where a stage packed it."""
    sizes: dict[str, int] = {}
    for item in items:
        first, *rest = item.entry.path.split("/")
        part = f"modifier {rest[0]}" if first == "modifiers" else first
        sizes[part] = sizes.get(part, 0) + item.entry.size
    return sizes if packed is None else {**sizes, "base": packed.manifest.size}


def _check_budget(shipped: Mapping[str, int], limit: int | None) -> None:
    if limit is None or sum(shipped.values()) <= limit:
        return
    parts = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in shipped.items())
    message = (
        f"the system weighs {sum(shipped.values()) / 1e6:.1f} MB, more than budget.bytes allows ({limit / 1e6:.1f} MB): "
        f"{parts}. "
        "Compress the base further, offer smaller adapters, or raise the budget; what was built is kept in the store"
    )
    raise BudgetExceeded(message)


def _free_name(name: str, taken: set[str]) -> str:
    """`name`, or with a number where another modifier is served under it."""
    number, free = 1, name
    while free in taken or free in RESERVED:
        number += 1
        free = f"{name}-{number}"
    return free


def _head(recipe: Recipe, artifact: Artifact) -> dict[str, JSON]:
    """What `manifest.json` says of a delivered artifact."""
    manifest = artifact.manifest
    return {
        "schema": SCHEMA,
        "artifact": manifest.artifact,
        "name": recipe.name,
        "stage": manifest.stage,
        "format": manifest.format,
        "facts": None if manifest.facts is None else asdict(manifest.facts),
        "figures": manifest.metrics,
        "provenance": manifest.provenance,
    }
