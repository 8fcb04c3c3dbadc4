"""Reads `manifest.json` of a system folder into typed values, checking what a system needs to be served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON, AdapterInfo

NAME: Final = "manifest.json"
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class RouterEntry:
    """The router of a system: the component that opens it, with which settings, and its folder."""

    component: str
    path: Path
    settings: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class SystemManifest:
    """What serving needs of a manifest. Paths are absolute. `digest` names the base: `sha256:` and hex digits."""

    folder: Path
    name: str
    engine: str
    base: Path
    digest: str
    adapters: Mapping[str, Path]
    infos: tuple[AdapterInfo, ...]
    router: RouterEntry | None


def read_manifest(folder: Path) -> SystemManifest:
    """Raises InputError saying what a system folder looks like, or which entry is wrong."""
    path = folder / NAME
    if not path.is_file():
        message = (
            f"{folder}: not a system folder: it has no {NAME}. Expected is the folder `system` that `cogumi run RECIPE --out "
            "DIR` writes when the recipe has `modifiers:` or `router:`"
        )
        raise InputError(message)
    try:
        return _Reader(folder.resolve(), path).manifest()
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        message = f"{path}: not valid JSON ({exc}); build the system again"
        raise InputError(message) from exc


class _Reader:
    """Takes entries by name and says which one is missing or of the wrong kind."""

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder, self._path = folder, path

    def manifest(self) -> SystemManifest:
        data = json.loads(self._path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or "base" not in data:
            self._wrong("this manifest is not that of a system (it has no 'base')")
        if data.get("schema") != SCHEMA:
            self._wrong(f"schema {data.get('schema')!r}; this version reads schema {SCHEMA}")
        base = self._take(data, "base", dict)
        modifiers = self._take(data, "modifiers", list)
        names = [self._take(entry, "name", str) for entry in modifiers]
        if len({*names, "auto", "base"}) != len(names) + 2:
            self._wrong(f"modifiers need different names, none of them 'auto' or 'base': {', '.join(names)}")
        return SystemManifest(
            folder=self._folder,
            name=self._take(data, "name", str),
            engine=self._take(data, "engine", str),
            base=self._file(self._take(base, "path", str)),
            digest=f"sha256:{self._take(base, 'sha256', str).removeprefix('sha256:')}",
            adapters={name: self._file(self._take(entry, "path", str)) for name, entry in zip(names, modifiers, strict=True)},
            infos=tuple(
                AdapterInfo(name, self._take(entry, "domain", str), bool(entry.get("needs_schema", False)))
                for name, entry in zip(names, modifiers, strict=True)
            ),
            router=self._router(data.get("router")),
        )

    def _router(self, entry: Any) -> RouterEntry | None:
        if entry is None:
            return None
        if not isinstance(entry, dict):
            self._wrong("'router' must be an object or null")
        settings = entry.get("settings", {})
        return RouterEntry(self._take(entry, "component", str), self._inside(self._take(entry, "path", str)), dict(settings))

    def _take(self, data: Any, key: str, kind: type) -> Any:
        value = data.get(key) if isinstance(data, dict) else None
        if not isinstance(value, kind):
            self._wrong(f"'{key}' is missing or not a {kind.__name__}")
        return value

    def _file(self, relative: str) -> Path:
        path = self._inside(relative)
        if not path.is_file():
            self._wrong(f"it lists {relative}, which is not there; run `cogumi verify {self._folder}`")
        return path

    def _inside(self, relative: str) -> Path:
        # A manifest comes from anywhere: it may not name files outside its own folder. Links inside it are the owner's choice.
        path = Path(relative)
        if path.is_absolute() or ".." in path.parts:
            self._wrong(f"the path {relative} leads out of the system folder")
        return self._folder / path

    def _wrong(self, what: str) -> NoReturn:
        message = f"{self._path}: {what}"
        raise InputError(message)
