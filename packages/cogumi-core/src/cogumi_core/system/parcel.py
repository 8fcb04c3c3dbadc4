"""A delivered folder: files from the store and texts of our own, with a manifest that lists every one of them.

Written beside its place and renamed, so that the folder is the old or the new one, never half of each. When nothing would
change, nothing is written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON
from cogumi_core.store.artifacts import MANIFEST, Artifact, FileEntry, digest_entries, listed_files
from cogumi_core.store.atomic import explained, remove_tree


@dataclass(frozen=True, slots=True)
class Item:
    """One file to deliver: copied from `source`, or holding `text`."""

    entry: FileEntry
    source: Path | None = None
    text: str | None = None


def text_item(path: str, text: str) -> Item:
    """A file with this text in UTF-8."""
    data = text.encode()
    return Item(FileEntry(path, len(data), hashlib.sha256(data).hexdigest()), text=text)


def stored_item(path: str, artifact: Artifact, name: str) -> Item:
    """The file `name` of an artifact, delivered as `path`; its digest is taken from the artifact's manifest."""
    entry = next(entry for entry in artifact.manifest.files if entry.path == name)
    return Item(FileEntry(path, entry.size, entry.sha256), source=artifact.path / name)


def stored_items(artifact: Artifact, prefix: str = "") -> list[Item]:
    """All files of an artifact below `prefix`."""
    return [stored_item(f"{prefix}{entry.path}", artifact, entry.path) for entry in artifact.manifest.files]


def file_item(path: str, source: Path, size: int, sha256: str) -> Item:
    """A file from outside the store whose digest is known."""
    return Item(FileEntry(path, size, sha256), source=source)


def plain_manifest(head: Mapping[str, JSON], items: Sequence[Item]) -> str:
    """The text of the manifest of what is no system: `head`, and every file."""
    entries = tuple(sorted(item.entry for item in items))
    row = {**head, "files": [asdict(entry) for entry in entries], "digest": digest_entries(entries)}
    return json.dumps(row, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def write_parcel(folder: Path, items: Sequence[Item], manifest: str) -> Path:
    """Makes `folder` hold exactly `items` and this `manifest`, which lists them.

    Raises StoreError (disk full, not writable) and InputError (it holds files that no run delivered)."""
    entries = tuple(item.entry for item in items)
    if _is_current(folder, manifest, entries):
        return folder
    _refuse_foreign(folder)
    with explained("deliver the result", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh, stale = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
        for leftover in (fresh, stale):
            remove_tree(leftover)
        try:
            _fill(fresh, items, manifest)
        except BaseException:
            remove_tree(fresh)
            raise
        if folder.exists():
            folder.rename(stale)
        fresh.rename(folder)
        remove_tree(stale)
    return folder


def _refuse_foreign(folder: Path) -> None:
    """Only what a run delivered may be replaced: a person's own files are never removed. Raises InputError."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MANIFEST).is_file():
        message = f"{folder} exists and is not the result of a run; choose another folder with --out, or move it away"
        raise InputError(message)
    listed = {MANIFEST, *(entry.path for entry in listed_files(folder))}
    own = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file()]
    if added := [name for name in own if name not in listed]:
        message = f"{folder} would be replaced, but it holds '{added[0]}', which no run delivered; move it away first"
        raise InputError(message)


def _is_current(folder: Path, manifest: str, entries: tuple[FileEntry, ...]) -> bool:
    path = folder / MANIFEST
    if not path.is_file() or path.read_text(encoding="utf-8") != manifest:
        return False
    present = {file.relative_to(folder).as_posix(): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    return {name: size for name, size in present.items() if name != MANIFEST} == {e.path: e.size for e in entries}


def _fill(folder: Path, items: Sequence[Item], manifest: str) -> None:
    folder.mkdir(parents=True)
    for item in items:
        target = folder / item.entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if item.source is not None:
            shutil.copyfile(item.source, target)
        else:
            target.write_text(item.text or "", encoding="utf-8")
    (folder / MANIFEST).write_text(manifest, encoding="utf-8")
