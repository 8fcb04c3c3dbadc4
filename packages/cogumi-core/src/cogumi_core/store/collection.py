"""What the store holds, and the removal of what no recipe reaches.

Removal holds the store alone, so it never meets a run between building an artifact and recording it. What a killed run left to
resume from is removed only after a week, whatever was asked. Model calls are never removed: they were paid for.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cogumi_core.api.errors import CogumiError, StoreError
from cogumi_core.store.artifacts import MANIFEST, Artifact, read_manifest
from cogumi_core.store.atomic import explained, remove_tree, try_lock
from cogumi_core.store.store import Store

RESUMABLE_SECONDS: Final = 7 * 24 * 3600.0
"""How long a killed run's scratch is kept at least."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact in the store; `age` in seconds, `recipes` those that reach it."""

    artifact: Artifact
    age: float
    recipes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removed:
    """A folder or file that was removed, or would be; `size` in bytes."""

    path: Path
    size: int


def stored(store: Store) -> list[Stored]:
    """Every readable artifact with its age and the recipes that reach it, newest first."""
    reached = list(store.roots.read())
    found = [
        Stored(item, _age(item.path), tuple(name for name, reach in reached if item.manifest.fingerprint in reach))
        for item in store.artifacts()
    ]
    return sorted(found, key=lambda item: item.age)


def collect(
    store: Store,
    keep: Iterable[str] = (),
    *,
    older_than: float = 0.0,
    forget: Collection[str] = (),
    dry_run: bool = False,
) -> list[Removed]:
    """Removes what neither a recipe nor `keep` (fingerprints) reaches and is older than `older_than` seconds; what the recipes
    in `forget` reach counts no more. Raises StoreError while a run uses the store."""
    if not store.root.is_dir():
        return []
    with explained("collect what no recipe reaches", store.root), try_lock(store.root / ".lock") as alone:
        if not alone:
            message = f"a run is using the store {store.root}; collect again when it has ended"
            raise StoreError(message)
        kept = frozenset(keep).union(*(reach for name, reach in store.roots.read() if name not in forget))
        removed = [Removed(path, _size(path)) for path in _unreached(store, kept, older_than)]
        if not dry_run:
            _carry_out(store, removed, forget)
    return removed


def _carry_out(store: Store, removed: list[Removed], forget: Collection[str]) -> None:
    for recipe in forget:
        store.roots.forget(recipe)
    for item in removed:
        _remove(store.root, item.path)
    for lock in (store.root / "locks").glob("*.lock"):
        lock.unlink(missing_ok=True)


def _unreached(store: Store, kept: frozenset[str], older_than: float) -> Iterator[Path]:
    for path in store.folders():
        if _fingerprint(path) not in kept and _age(path) >= older_than:
            yield path
    for path in _children(store.root / "damaged"):
        if _age(path) >= older_than:
            yield path
    for path in _children(store.root / "building"):
        if path.name.startswith("removed-") or (path.name not in kept and _age(path) >= max(older_than, RESUMABLE_SECONDS)):
            yield path


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _fingerprint(path: Path) -> str:
    with suppress(CogumiError):
        return read_manifest(path).fingerprint
    return ""


def _age(path: Path) -> float:
    """Seconds since the newest file or folder in it was written."""
    times = [item.lstat().st_mtime for item in (path, path / MANIFEST) if item.exists()]
    if path.parent.name == "building":
        times += [item.lstat().st_mtime for item in path.rglob("*")]
    return max(0.0, time.time() - max(times))


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.lstat().st_size
    return sum(item.lstat().st_size for item in path.rglob("*") if item.is_symlink() or item.is_file())


def _remove(root: Path, path: Path) -> None:
    """Takes the name away before the files, so that a kill leaves no half of an artifact under its name."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    doomed = path
    if path.parent.name == "artifacts":
        doomed = root / "building" / f"removed-{path.name}-{time.time_ns()}"
        path.rename(doomed)
    remove_tree(doomed)
