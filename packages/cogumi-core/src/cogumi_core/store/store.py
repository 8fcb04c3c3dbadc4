"""The store: finished artifacts by fingerprint, each built once, whole or not at all.

    artifacts/<stage id>-<component>-<fingerprint[:16]>/    payload and manifest.json; a manifest means complete
    building/<fingerprint>/output, scratch              a build under way, or what a killed one left
    damaged/                                            what was found to differ from its manifest, kept for inspection
    roots/                                              which artifacts each recipe reaches
    locks/, .lock                                       flocks, which end with their holder
    digests.sqlite                                      a cache of file digests; may be deleted at any time
    calls.sqlite                                        every paid model call (see `cogumi_core.calls`)

A build writes into `building/`, its manifest last, and is renamed into `artifacts/`: a kill at any moment leaves either the
artifact or nothing by that name. Nothing is ever changed in place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from cogumi_core.api.errors import InputError, StoreError
from cogumi_core.api.types import JSON
from cogumi_core.store.artifacts import MANIFEST, Artifact, DigestCache, Manifest, read_manifest
from cogumi_core.store.atomic import Waiting, disk_full, explained, file_lock, is_disk_full
from cogumi_core.store.building import Building, adopt, folder_prefix, open_building
from cogumi_core.store.digests import list_files
from cogumi_core.store.fingerprint import explain_difference
from cogumi_core.store.roots import Roots

logger = logging.getLogger(__name__)
Notice = Callable[[str], None]


def default_store(environ: Mapping[str, str]) -> Path:
    """Where artifacts are kept unless said otherwise: `COGUMI_STORE`, or the user's cache folder."""
    chosen = environ.get("COGUMI_STORE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("cogumi")) / "store"


@dataclass(frozen=True, slots=True)
class Store:
    """Artifacts below `root`, which is made when first written to. `notice` receives what a person should know, such as a
    damaged artifact that will be built again. Safe with several threads and processes."""

    root: Path
    notice: Notice = logger.warning

    @property
    def calls_path(self) -> Path:
        """The database of model calls."""
        return self.root / "calls.sqlite"

    @property
    def digests(self) -> DigestCache:
        """The cache of file digests, for files outside the store too."""
        return DigestCache(self.root / "digests.sqlite")

    @property
    def roots(self) -> Roots:
        """Which artifacts each recipe reaches."""
        return Roots(self.root / "roots")

    def find(self, fingerprint: str, *, check: bool = False) -> Artifact | None:
        """The finished artifact, or None. Sizes are compared; `check` also compares the content of every file that changed
        since it was last read. A damaged artifact is noticed and not given; `building` replaces it."""
        for folder in self.folders(f"*-{fingerprint[:16]}"):
            problems = self.problems(folder, fingerprint, check=check)
            if not problems:
                return Artifact.read(folder)
            self.notice(f"{folder} is damaged and will be built again: {'; '.join(problems)}")
        return None

    def problems(self, folder: Path, fingerprint: str, *, check: bool) -> list[str]:
        """How the artifact in `folder` differs from its manifest, one line for each file."""
        try:
            manifest = read_manifest(folder)
            found = set(list_files(folder))
        except InputError as exc:
            return [str(exc)]
        if manifest.fingerprint != fingerprint:
            return [f"{MANIFEST}: it is of another fingerprint"]
        return list(self._differences(folder, manifest, found, check=check))

    def _differences(self, folder: Path, manifest: Manifest, found: set[str], *, check: bool) -> Iterator[str]:
        for entry in manifest.files:
            path = folder / entry.path
            if entry.path not in found:
                yield f"{entry.path}: missing"
            elif path.stat().st_size != entry.size:
                yield f"{entry.path}: {path.stat().st_size} bytes instead of {entry.size}"
            elif check and self.digests.sha256(path) != entry.sha256:
                yield f"{entry.path}: the content differs (sha256)"
        yield from (f"{name}: added" for name in sorted(found - {MANIFEST, *(entry.path for entry in manifest.files)}))

    def nearest(self, stage_id: str, component: str, inputs: Mapping[str, JSON]) -> Manifest | None:
        """The artifact of the same stage and component whose inputs differ least (the newest of equals), to explain a miss."""
        manifests = self._manifests(f"{folder_prefix(stage_id, component)}-*")
        found = [item for item in manifests if (item.stage_id, item.component) == (stage_id, component)]
        found.sort(key=lambda item: str(item.provenance.get("started", "")), reverse=True)
        return min(found, key=lambda item: len(explain_difference(item.fingerprint_inputs, inputs)), default=None)

    @contextmanager
    def building(self, fingerprint: str, *, waiting: Waiting | None = None) -> Iterator[Building]:
        """Where to build the artifact; `hit` holds it when it is there already, perhaps because another process built it while
        this one waited for the lock (`waiting` is called meanwhile, see `file_lock`).

        `output` is empty at the start. Whatever ends the body, nothing half-written stays in `output`; `scratch` is kept
        until the artifact is committed. Raises StoreError: disk full, a folder that cannot be written."""
        with explained("write to the store", self.root):
            self._prepare()
            lock = file_lock(self.root / "locks" / f"{fingerprint}.lock", remove=True, waiting=waiting)
        with self.in_use(), lock:
            with explained("write to the store", self.root):
                building = self._open(fingerprint)
            try:
                yield building
            except BaseException as exc:
                building.discard()
                if is_disk_full(exc, self.root) and not isinstance(exc, StoreError):
                    raise disk_full(self.root) from exc
                raise
            building.discard()

    def _open(self, fingerprint: str) -> Building:
        for folder in self.folders(f"*-{fingerprint[:16]}"):
            self._set_aside_added(folder)
            problems = self.problems(folder, fingerprint, check=True)
            if problems:
                self._quarantine(folder, problems)
        hit = self.find(fingerprint) or adopt(self.root, fingerprint)
        return open_building(self.root, fingerprint, hit, self.digests)

    def _set_aside_added(self, folder: Path) -> None:
        """A file that someone put beside a good payload is no reason to build for hours again."""
        with suppress(InputError):
            listed = {MANIFEST, *(entry.path for entry in read_manifest(folder).files)}
            for name in sorted(set(list_files(folder)) - listed):
                target = self._damaged(f"{folder.name}-{Path(name).name}")
                (folder / name).rename(target)
                self.notice(f"{folder.name} held a file that is not part of it, {name}; it is now {target}")

    def _damaged(self, name: str) -> Path:
        (self.root / "damaged").mkdir(exist_ok=True)
        return self.root / "damaged" / f"{name}-{time.time_ns()}"

    def _quarantine(self, folder: Path, problems: list[str]) -> None:
        target = self._damaged(folder.name)
        with suppress(FileNotFoundError):
            folder.rename(target)
            self.notice(
                f"{folder.name} was damaged and is built again ({'; '.join(problems)}); the damaged files are in {target}"
            )

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Held during a run, so that nothing is collected before the run has recorded what it reaches."""
        with explained("write to the store", self.root):
            self._prepare()
        with file_lock(self.root / ".lock", shared=True):
            yield

    def pin(self, recipe: str, fingerprints: Iterable[str]) -> None:
        """Records which artifacts a recipe reaches, in place of what was recorded before; `gc` keeps those."""
        with explained("write to the store", self.root):
            self._prepare()
            self.roots.write(recipe, fingerprints)

    def artifacts(self) -> Iterator[Artifact]:
        """Every readable artifact, by name of its folder."""
        for folder in self.folders():
            with suppress(InputError):
                yield Artifact.read(folder)

    def _manifests(self, pattern: str) -> Iterator[Manifest]:
        for folder in self.folders(pattern):
            with suppress(InputError):
                yield read_manifest(folder)

    def folders(self, pattern: str = "*") -> list[Path]:
        """Folders of artifacts, damaged ones too, by name."""
        return sorted(path for path in (self.root / "artifacts").glob(pattern) if path.is_dir())

    def _prepare(self) -> None:
        for name in ("artifacts", "building", "locks", "roots"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
