"""One artifact being built: its folders, and the commit that makes it an artifact.

The store opens a `Building` while it holds the lock of the fingerprint; nothing here takes locks.
"""

from __future__ import annotations

import platform
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from cogumi_core.api.errors import CogumiError, PluginError
from cogumi_core.api.types import JSON
from cogumi_core.store.artifacts import MANIFEST, Artifact, DigestCache, Manifest, digest_files, read_manifest, verify
from cogumi_core.store.atomic import explained, remove_tree, sync_folder, write_atomic


@dataclass(slots=True)
class Building:
    """Folders for one build. `hit` is the artifact when there is nothing to build; `resumed`: `scratch` holds what a killed or
    failed attempt left."""

    root: Path
    fingerprint: str
    hit: Artifact | None
    digests: DigestCache
    resumed: bool
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = field(default_factory=time.monotonic)

    @property
    def output(self) -> Path:
        """Empty at the start; what is here becomes the artifact."""
        return self.folder / "output"

    @property
    def scratch(self) -> Path:
        """Kept until the artifact is committed: checkpoints and partial results."""
        return self.folder / "scratch"

    @property
    def folder(self) -> Path:
        return self.root / "building" / self.fingerprint

    def commit(self, manifest: Manifest) -> Artifact:
        """Makes `output` the artifact: hashes and flushes every file, writes the manifest last, renames.

        `files`, `digest` and `provenance` of `manifest` are filled in (entries of `provenance` that are given stay). Raises
        PluginError for links in the output or a file named manifest.json, StoreError when the disk is full."""
        with explained("write the artifact", self.root):
            whole = self._complete(manifest)
            write_atomic(self.output / MANIFEST, whole.to_json())
            self.hit = publish(self.root, self.output)
            for entry in whole.files:
                self.digests.remember(self.hit.path / entry.path, entry.sha256)
        return self.hit

    def _complete(self, manifest: Manifest) -> Manifest:
        if manifest.fingerprint != self.fingerprint:
            message = f"the manifest is of fingerprint {manifest.fingerprint}, but {self.fingerprint} is being built"
            raise ValueError(message)
        if (self.output / MANIFEST).exists():
            message = (
                f"component '{manifest.component}' ({manifest.distribution}) wrote {MANIFEST}; that name is the store's own"
            )
            raise PluginError(message)
        entries, digest = digest_files(self.output, sync=True)
        for folder in [path for path in self.output.rglob("*") if path.is_dir()]:
            sync_folder(folder)
        provenance = {**self._provenance(manifest.distribution), **manifest.provenance}
        return replace(manifest, files=entries, digest=digest, provenance=provenance)

    def _provenance(self, distribution: str) -> dict[str, JSON]:
        return {
            "packages": dict(_versions(distribution)),
            "python": platform.python_version(),
            "platform": f"{sys.platform}-{platform.machine()}",
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._clock, 3),
        }

    def discard(self) -> None:
        """Ends the build: removes the output, and the scratch too once the artifact is there."""
        remove_tree(self.output if self.hit is None else self.folder)


def open_building(root: Path, fingerprint: str, hit: Artifact | None, digests: DigestCache) -> Building:
    """Folders for a build, the output empty; none are made for a hit."""
    building = Building(root, fingerprint, hit, digests, resumed=False)
    if hit is None:
        remove_tree(building.output)
        building.resumed = building.scratch.is_dir() and any(building.scratch.iterdir())
        for path in (building.output, building.scratch):
            path.mkdir(parents=True, exist_ok=True)
    return building


def adopt(root: Path, fingerprint: str) -> Artifact | None:
    """Finishes a commit that was killed between its manifest and its renaming: the work is not done twice."""
    output = root / "building" / fingerprint / "output"
    if not (output / MANIFEST).exists():
        return None
    try:
        whole = read_manifest(output).fingerprint == fingerprint and not verify(output)
    except CogumiError:
        return None
    return publish(root, output) if whole else None


def publish(root: Path, output: Path) -> Artifact:
    """Renames a folder with a complete manifest to its name in the store."""
    manifest = read_manifest(output)
    target = root / "artifacts" / f"{folder_prefix(manifest.stage_id, manifest.component)}-{manifest.fingerprint[:16]}"
    sync_folder(output)
    output.rename(target)
    sync_folder(target.parent)
    return Artifact.read(target)


def folder_prefix(stage_id: str, component: str) -> str:
    """How the names of the folders of a component's artifacts begin; other components' may begin like it."""
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", name) for name in (stage_id, component))


def _versions(distribution: str) -> Iterator[tuple[str, str]]:
    """Versions of the component's distribution and of what it requires, as far as it is installed."""
    for name in sorted({"cogumi-core", *_with_requirements(distribution)}):
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _with_requirements(distribution: str) -> Iterator[str]:
    try:
        required = metadata.requires(distribution) if distribution else None
    except metadata.PackageNotFoundError:
        return
    if distribution:
        yield distribution
    for requirement in required or ():
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        if match:
            yield match[0].lower()
