"""`manifest.json` of a system: its one writer and its one reader.

It says all that serving, verifying and copying a system need. Paths stand in it relative to the folder, with `/`; `read_system`
checks what a server relies on before anything is loaded, because a folder may come from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON, AdapterInfo
from cogumi_core.formats.json_files import read_object
from cogumi_core.store.artifacts import require_intact
from cogumi_core.store.digests import MANIFEST, FileEntry, digest_entries

SCHEMA: Final = 2
"""2: the engine stands with its settings, the base with its format."""
RESERVED: Final = ("auto", "base")
"""What may be asked for besides a modifier, and so cannot be a modifier's name."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """The engine that serves the system, and the settings that the recipe gives it (written as `use` and `with`)."""

    use: str
    settings: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BaseEntry:
    """The model that answers first. `sha256` in hex; `format` is the model format that the engine accepts."""

    path: str
    sha256: str
    format: str


@dataclass(frozen=True, slots=True)
class ModifierEntry:
    """One adapter. `needs_schema`: it only answers requests with tools or a schema."""

    name: str
    domain: str
    path: str
    needs_schema: bool = False

    @property
    def info(self) -> AdapterInfo:
        """As a router sees it."""
        return AdapterInfo(self.name, self.domain, self.needs_schema)


@dataclass(frozen=True, slots=True)
class RouterEntry:
    """The component that opens the router, its settings, and its folder."""

    component: str
    path: str
    settings: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SystemManifest:
    """A system. `files` and `digest` are filled in by `with_files`; `folder` is where it was read from."""

    name: str
    engine: EngineEntry
    base: BaseEntry
    modifiers: tuple[ModifierEntry, ...] = ()
    router: RouterEntry | None = None
    figures: Mapping[str, JSON] = field(default_factory=dict)
    provenance: Mapping[str, JSON] = field(default_factory=dict)
    files: tuple[FileEntry, ...] = ()
    digest: str = ""
    folder: Path = Path()

    def with_files(self, files: Sequence[FileEntry]) -> SystemManifest:
        """The manifest of a folder that holds exactly these files besides it."""
        return replace(self, files=tuple(sorted(files)), digest=digest_entries(files))

    def head(self) -> dict[str, JSON]:
        """The content of `manifest.json` without `files` and `digest`."""
        return {
            "schema": SCHEMA,
            "artifact": "system",
            "name": self.name,
            "engine": {"use": self.engine.use, "with": dict(self.engine.settings)},
            "base": asdict(self.base),
            "modifiers": [asdict(modifier) for modifier in self.modifiers],
            "router": None if self.router is None else {**asdict(self.router), "settings": dict(self.router.settings)},
            "figures": dict(self.figures),
            "provenance": dict(self.provenance),
        }

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        row = {**self.head(), "files": [asdict(entry) for entry in self.files], "digest": self.digest}
        return json.dumps(row, ensure_ascii=False, indent=1, sort_keys=True) + "\n"

    @property
    def base_digest(self) -> str:
        """What names the base in receipts: `sha256:` and hex digits."""
        return f"sha256:{self.base.sha256}"

    @property
    def adapters(self) -> dict[str, Path]:
        """Name of each modifier to its adapter's file."""
        return {modifier.name: self.folder / modifier.path for modifier in self.modifiers}


def read_system(folder: Path, *, check: bool = False) -> SystemManifest:
    """The manifest in `folder`; the files that serving needs are there, inside the folder, and of the sizes listed. `check`:
    every file also has the digest that is listed.

    Raises InputError saying what a system folder looks like, or which entry is wrong, and DamagedArtifact."""
    path = folder / MANIFEST
    if not path.is_file():
        message = (
            f"{folder}: not a system folder: it has no {MANIFEST}. Expected is the folder `system` that "
            "`cogumi run RECIPE --out DIR` writes when the recipe has `modifiers:` or `router:`"
        )
        raise InputError(message)
    data = read_object(path, "build the system again, or copy it again from where it came")
    manifest = _Reader(folder.resolve(), path).system(data)
    if check:
        require_intact(folder)
    return manifest


class _Reader:
    """Takes entries by name and says which one is missing or of the wrong kind."""

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder, self._path = folder, path

    def system(self, data: Any) -> SystemManifest:
        if not isinstance(data, dict) or "base" not in data:
            self._wrong("this manifest is not that of a system (it has no 'base')")
        if data.get("schema") != SCHEMA:
            self._wrong(f"schema {data.get('schema')!r}; this version reads schema {SCHEMA}, so build the system again")
        engine, router = self._take(data, "engine", dict), data.get("router")
        if router is not None and not isinstance(router, dict):
            self._wrong("'router' must be an object or null")
        base = self._take(data, "base", dict)
        manifest = SystemManifest(
            name=self._take(data, "name", str),
            engine=EngineEntry(self._take(engine, "use", str), self._take(engine, "with", dict, {})),
            base=BaseEntry(
                self._inside(self._take(base, "path", str)),
                self._take(base, "sha256", str).removeprefix("sha256:"),
                self._take(base, "format", str),
            ),
            modifiers=tuple(self._modifier(entry) for entry in self._take(data, "modifiers", list)),
            router=None if router is None else self._router(router),
            figures=self._take(data, "figures", dict, {}),
            provenance=self._take(data, "provenance", dict, {}),
            files=tuple(self._entry(entry) for entry in self._take(data, "files", list)),
            digest=self._take(data, "digest", str, ""),
            folder=self._folder,
        )
        names = [modifier.name for modifier in manifest.modifiers]
        if len({*names, *RESERVED}) != len(names) + len(RESERVED):
            self._wrong(f"modifiers need different names, none of them 'auto' or 'base': {', '.join(names)}")
        sizes = {entry.path: entry.size for entry in manifest.files}
        for name in (manifest.base.path, *(modifier.path for modifier in manifest.modifiers)):
            self._check_file(name, sizes.get(name))
        return manifest

    def _modifier(self, entry: Any) -> ModifierEntry:
        return ModifierEntry(
            self._take(entry, "name", str),
            self._take(entry, "domain", str),
            self._inside(self._take(entry, "path", str)),
            self._take(entry, "needs_schema", bool, False),
        )

    def _router(self, entry: Any) -> RouterEntry:
        path = self._inside(self._take(entry, "path", str))
        return RouterEntry(self._take(entry, "component", str), path, self._take(entry, "settings", dict, {}))

    def _entry(self, entry: Any) -> FileEntry:
        path = self._inside(self._take(entry, "path", str))
        return FileEntry(path, self._take(entry, "size", int), self._take(entry, "sha256", str))

    def _take(self, data: Any, key: str, kind: type[Value], default: Value | None = None) -> Value:
        value = data.get(key, default) if isinstance(data, dict) else None
        if not isinstance(value, kind):
            self._wrong(f"'{key}' is missing or not a {kind.__name__}")
        return value

    def _inside(self, relative: str) -> str:
        # A manifest comes from anywhere: it may not name files outside its own folder. Links inside it are the owner's choice.
        path = Path(relative)
        if path.is_absolute() or ".." in path.parts:
            self._wrong(f"the path {relative} leads out of the system folder")
        return relative

    def _check_file(self, relative: str, size: int | None) -> None:
        path = self._folder / relative
        if size is None and path.is_dir():
            return  # a base of several files, each of them in the list
        if not path.is_file():
            self._wrong(f"it lists {relative}, which is not there; run `cogumi verify {self._folder}`")
        if size is not None and path.stat().st_size != size:
            found = path.stat().st_size
            self._wrong(
                f"{relative} has {found:,} bytes instead of {size:,}; run `cogumi verify {self._folder}`, and copy it again"
            )

    def _wrong(self, what: str) -> NoReturn:
        message = f"{self._path}: {what}"
        raise InputError(message)
