"""Artifacts: a folder of payload files and a `manifest.json` that lists every one of them with its size and sha256.

An artifact is the only thing that passes between stages. Its manifest also keeps what it was made from, verbatim, so that a
later miss can be explained. `verify` re-reads everything and trusts no cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.errors import DamagedArtifact, InputError, StoreError
from cogumi_core.api.types import JSON, ModelFacts, ModelRef, Vocabulary
from cogumi_core.formats.json_files import read_object
from cogumi_core.store.digests import MANIFEST, DigestCache, FileEntry, digest_entries, digest_files, digest_path, hash_file
from cogumi_core.store.fingerprint import canonical_json, fingerprint, sha256_text

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "Artifact",
    "DigestCache",
    "FileEntry",
    "Manifest",
    "digest_entries",
    "digest_files",
    "digest_path",
    "listed_files",
    "read_manifest",
    "require_intact",
    "verify",
]

SCHEMA: Final = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of an artifact. `artifact` says what it is (dataset, model, adapter, choice, router, measurement, or a
    plugin's own word), `stage_id` and `component` what made it, `stage` the name of that in the plan.

    `format` and `facts` are a model's. `files` and `digest` are filled in by the store, and so is `provenance` (package
    versions, Python, platform, start, seconds), which never is part of a fingerprint. `deterministic` False: a rebuild need
    not give the same bytes; `why_not` says why."""

    artifact: str
    stage_id: str
    component: str
    distribution: str
    fingerprint: str
    fingerprint_inputs: Mapping[str, JSON]
    stage: str = ""
    recipe: str = ""
    files: tuple[FileEntry, ...] = ()
    digest: str = ""
    deterministic: bool = True
    why_not: str = ""
    metrics: Mapping[str, JSON] = field(default_factory=dict)
    format: str = ""
    facts: ModelFacts | None = None
    provenance: Mapping[str, JSON] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def size(self) -> int:
        """Bytes of all payload files."""
        return sum(entry.size for entry in self.files)

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        row = {item.name: getattr(self, item.name) for item in fields(self)}
        facts = None if self.facts is None else asdict(self.facts)
        plain = json.loads(canonical_json({**row, "files": [asdict(entry) for entry in self.files], "facts": facts}))
        return json.dumps(plain, ensure_ascii=False, sort_keys=True, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished artifact in the store, or one copied elsewhere; `manifest.artifact` says what it is."""

    path: Path
    digest: str
    manifest: Manifest

    @classmethod
    def read(cls, path: Path) -> Artifact:
        """The artifact in folder `path`, unverified. Raises InputError."""
        manifest = read_manifest(path)
        return cls(path, manifest.digest, manifest)

    @property
    def input_digest(self) -> str:
        """What the fingerprint of a later stage takes: the content, and the facts that the later stage will honour."""
        facts = self.manifest.facts
        if facts is None or facts == ModelFacts():
            return self.digest
        return sha256_text(canonical_json([self.digest, asdict(facts)]))

    def model(self) -> ModelRef:
        """The model inside, of the format that its maker declared. Its path is the one file that there is, or `model.<format>`,
        with that file's digest; otherwise the folder. Raises InputError: it is no model."""
        form, facts, files = self.manifest.format, self.manifest.facts or ModelFacts(), self.manifest.files
        if not form or not files:
            message = f"{self.path} holds no model: its manifest names no format, it is a {self.manifest.artifact}"
            raise InputError(message)
        alone = files if len(files) == 1 else [entry for entry in files if entry.path == f"model.{form}"]
        if alone:
            return ModelRef(self.path / alone[0].path, form, alone[0].sha256, facts)
        return ModelRef(self.path, form, self.digest, facts)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact's folder. Raises InputError: missing or damaged; StoreError: written by a newer version."""
    row = _read_object(folder / MANIFEST)
    if isinstance(row.get("schema"), int) and row["schema"] > SCHEMA:
        message = (
            f"{folder / MANIFEST} was written by a newer version of Cogumi (schema {row['schema']}, this one reads {SCHEMA}); "
            "upgrade with: pip install --upgrade cogumi-core"
        )
        raise StoreError(message)
    known = {item.name for item in fields(Manifest)}
    try:
        read = {key: row[key] for key in row if key in known}
        return Manifest(**{**read, "files": _entries(row, folder), "facts": _facts(row.get("facts"))})
    except TypeError as exc:
        message = f"{folder / MANIFEST} is not the manifest of an artifact: {str(exc).removeprefix('Manifest.__init__() ')}"
        raise InputError(message) from exc


def _facts(row: Any) -> ModelFacts | None:
    """Raises TypeError for what no ModelFacts could have been."""
    if row is None:
        return None
    facts = ModelFacts(**row)
    return facts if facts.vocabulary is None else replace(facts, vocabulary=Vocabulary(**row["vocabulary"]))


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        message = (
            f"{path.parent} is not an artifact: it has no {path.name}; expected a folder that a run wrote, with a {MANIFEST}"
        )
        raise InputError(message)
    return read_object(path, "build the artifact again, or copy it again from where it came")


def _entries(row: Mapping[str, Any], folder: Path) -> tuple[FileEntry, ...]:
    listed = row.get("files")
    if not isinstance(listed, list) or not all(_is_entry(item) for item in listed):
        message = f"{folder / MANIFEST} is not a manifest: 'files' must be a list of objects with path, size and sha256"
        raise InputError(message)
    return tuple(FileEntry(item["path"], item["size"], item["sha256"]) for item in listed)


def _is_entry(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    path, size, sha256 = (item.get(key) for key in ("path", "size", "sha256"))
    return isinstance(path, str) and isinstance(size, int) and isinstance(sha256, str) and _is_inside(path)


def _is_inside(path: str) -> bool:
    # A manifest may come from anywhere: it must not make us read outside its folder.
    parts = path.split("/")
    return not path.startswith("/") and not any(part in ("", ".", "..") for part in parts)


# --- verification -------------------------------------------------------------------------------------------------------


def listed_files(path: Path) -> tuple[FileEntry, ...]:
    """What the manifest promises of `path`: an artifact's or system's folder, its manifest, or one packed file beside one.

    Raises InputError when `path` is none of these."""
    if path.is_dir() or path.name == MANIFEST:
        folder = path if path.is_dir() else path.parent
        return _entries(_read_object(folder / MANIFEST), folder)
    if not path.exists():
        message = (
            f"no such file or folder: {path}; expected an artifact, a system, or a packed file with its {MANIFEST} beside it"
        )
        raise InputError(message)
    entries = [entry for entry in _entries(_read_object(path.parent / MANIFEST), path.parent) if entry.path == path.name]
    if not entries:
        message = f"{path.parent / MANIFEST} does not list {path.name}; expected a file that came with this manifest"
        raise InputError(message)
    return tuple(entries)


def verify(path: Path) -> list[str]:
    """Every difference between what is on disk and what the manifest says, one line each; empty when all is well.

    `path` is an artifact's or a system's folder, or one packed file. Raises InputError when it is none of these."""
    entries = listed_files(path)
    if path.is_dir() or path.name == MANIFEST:
        folder = path if path.is_dir() else path.parent
        return [*_manifest_problems(folder, entries), *_payload_problems(folder, entries), *_added(folder, entries)]
    return list(_payload_problems(path.parent, entries))


def require_intact(path: Path) -> None:
    """Raises DamagedArtifact, naming each file, unless `verify` finds nothing."""
    problems = verify(path)
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        message = f"{path} differs from its manifest; copy it again from where it came, or build it again:{lines}"
        raise DamagedArtifact(message)


def _manifest_problems(folder: Path, entries: tuple[FileEntry, ...]) -> Iterator[str]:
    row = _read_object(folder / MANIFEST)
    if isinstance(row.get("digest"), str) and row["digest"] != digest_entries(entries):
        yield f"{MANIFEST}: changed: its digest is not that of the files it lists"
    if isinstance(row.get("fingerprint_inputs"), dict) and row.get("fingerprint") != fingerprint(row["fingerprint_inputs"]):
        yield f"{MANIFEST}: changed: its fingerprint is not that of its inputs"


def _payload_problems(folder: Path, entries: tuple[FileEntry, ...]) -> Iterator[str]:
    for entry in entries:
        path = folder / entry.path
        if path.is_symlink() or not path.is_file():
            yield f"{entry.path}: {'replaced by a link or folder' if path.exists() or path.is_symlink() else 'missing'}"
        elif path.stat().st_size != entry.size:
            yield f"{entry.path}: changed: {path.stat().st_size} bytes instead of {entry.size}"
        elif hash_file(path) != entry.sha256:
            yield f"{entry.path}: changed: the content differs (sha256), the size does not"


def _added(folder: Path, entries: tuple[FileEntry, ...]) -> Iterator[str]:
    known = {MANIFEST, *(entry.path for entry in entries)}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in known and (path.is_symlink() or not path.is_dir()):
            yield f"{name}: added: the manifest does not list it"
