"""Content digests of files and folders, and a cache of them for files that did not change.

A folder's digest is the sha256 of its sorted (relative path, file sha256) pairs, so it says nothing of times, owners or where
the folder is. The cache saves re-reading a 16 GB model at every plan; it is never part of a fingerprint, and losing it costs
only time.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from cogumi_core.api.errors import InputError
from cogumi_core.store.fingerprint import canonical_json, sha256_text

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, order=True)
class FileEntry:
    """One file of an artifact; `path` is relative to the artifact, with `/` between its parts."""

    path: str
    size: int
    sha256: str


def digest_entries(entries: Iterable[FileEntry]) -> str:
    """The digest of a folder that holds exactly these files."""
    return sha256_text(canonical_json([[entry.path, entry.sha256] for entry in sorted(entries)]))


def digest_files(folder: Path, *, sync: bool = False) -> tuple[tuple[FileEntry, ...], str]:
    """(the files sorted by path, the digest) of an artifact's folder; its own `manifest.json` does not count.

    `sync` also flushes each file to the disk. Raises InputError for links and special files."""
    names = [name for name in list_files(folder) if name != MANIFEST]
    entries = tuple(sorted(_entry(folder, name, sync=sync) for name in names))
    return entries, digest_entries(entries)


def _entry(folder: Path, name: str, *, sync: bool) -> FileEntry:
    path = folder / name
    sha256 = hash_file(path, sync=sync)
    return FileEntry(name, path.stat().st_size, sha256)


def hash_file(path: Path, *, sync: bool = False) -> str:
    """Hexadecimal sha256 of a file, read in pieces."""
    with path.open("rb") as data:
        found = hashlib.file_digest(data, "sha256").hexdigest()
        if sync:
            os.fsync(data.fileno())
    return found


def list_files(folder: Path, *, outside: bool = False) -> Iterator[str]:
    """Relative paths of all files below `folder`. Links and special files raise InputError.

    `outside` is for folders that are not artifacts: links to files count as those files (a Hugging Face cache is made of
    them), and hidden files and folders do not count (download tools keep times in them)."""
    yield from _walk(folder, "", outside=outside)


def _walk(folder: Path, prefix: str, *, outside: bool) -> Iterator[str]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if outside and entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{name}/", outside=outside)
        elif entry.is_file(follow_symlinks=outside):
            yield _checked(name, folder)
        else:
            what = "a link" if entry.is_symlink() else "not a plain file"
            message = f"{entry.path} is {what}; only plain files and folders can be hashed: replace it by what it stands for"
            raise InputError(message)


def _checked(name: str, folder: Path) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as exc:
        message = f"{folder}: the file name {name!a} is not valid UTF-8; rename the file"
        raise InputError(message) from exc
    return name


class DigestCache:
    """Remembers the sha256 of files by absolute path, size, inode and times of change; a `path` of None remembers nothing.

    Safe with several processes. Every failure of the cache itself (damage, a read-only folder) means hashing again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def sha256(self, path: Path) -> str:
        """sha256 of the file, hashed only if it changed since it was last hashed."""
        path = path.resolve()
        before = _state(path)
        known = self._recall(path, before)
        if known is not None:
            return known
        found = hash_file(path)
        if _state(path) == before:
            self.remember(path, found)
        return found

    def remember(self, path: Path, sha256: str) -> None:
        """Notes a digest that the caller computed just now."""
        path = path.resolve()
        state = _state(path)
        if self._path is None or _could_change_unseen(path):
            return
        with suppress(sqlite3.Error, OSError), closing(self._open()) as database, database:
            database.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", (str(path), state, sha256))

    def _recall(self, path: Path, state: str) -> str | None:
        if self._path is None or not self._path.exists():
            return None
        try:
            with closing(self._open()) as database:
                row = database.execute("SELECT sha256 FROM digests WHERE path = ? AND state = ?", (str(path), state)).fetchone()
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError:
            with suppress(OSError):
                self._path.unlink()
            return None
        return str(row[0]) if row else None

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(str(self._path), timeout=5)
        database.execute("PRAGMA synchronous = OFF")
        database.execute(
            "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, state TEXT NOT NULL, sha256 TEXT NOT NULL)"
        )
        return database


def _state(path: Path) -> str:
    found = path.stat()
    # The time of the last change of the inode cannot be set by hand, so a file put back with its old mtime is seen too.
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"


def _could_change_unseen(path: Path) -> bool:
    """Whether a write from now on could leave the same time stamp: clocks of file systems tick every few milliseconds, or
    every one or two seconds where they keep whole seconds."""
    changed = path.stat().st_ctime_ns
    tick = 2_500_000_000 if changed % 1_000_000_000 == 0 else 50_000_000
    return time.time_ns() - changed < tick


def digest_path(path: Path, cache: DigestCache) -> str:
    """Content digest of a file or folder from outside the store. For a file it is its sha256: name and place do not count; for
    a folder the names inside do, and for an artifact's folder it is the artifact's digest. Raises InputError."""
    try:
        if not path.is_dir():
            return cache.sha256(_plain_file(path))
        names = [name for name in list_files(path, outside=True) if name != MANIFEST or not _is_manifest(path / name)]
        return digest_entries(FileEntry(name, 0, cache.sha256(path / name)) for name in names)
    except OSError as exc:
        message = f"{exc.filename or path}: cannot be read ({exc.strerror or exc}); check the path and its permissions"
        raise InputError(message) from exc


def _plain_file(path: Path) -> Path:
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        message = f"{path} is neither a file nor a folder"
        raise InputError(message)
    return path


def _is_manifest(path: Path) -> bool:
    # A manifest holds times, which must not count; some other program's file of that name must.
    head = path.read_bytes()
    return b'"fingerprint_inputs"' in head and b'"digest"' in head
