"""Writing that is never seen half done, locks that a killed process cannot leave behind, and disk errors in plain words.

Every file Cogumi writes outside a component's own output goes through `write_atomic`; locks are `flock`s, which the kernel
drops when their holder dies. Left out: Windows, which has no `flock`, and network file systems that ignore it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cogumi_core.api.errors import StoreError

Waiting = Callable[[float], None]
"""Called again and again while a lock is held by another process, with the seconds waited so far (0.0 first). May raise."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_ADVICE = {
    errno.EROFS: "it is on a read-only file system; choose another folder with --store DIR or COGUMI_STORE",
    errno.EACCES: "this user may not write there; choose another folder with --store DIR or COGUMI_STORE",
    errno.EPERM: "this user may not write there; choose another folder with --store DIR or COGUMI_STORE",
    errno.ENOTDIR: "a file stands where a folder is needed; remove it or choose another folder with --store DIR",
    errno.EEXIST: "a file stands where a folder is needed; remove it or choose another folder with --store DIR",
}
_NEARLY_FULL = 64 * 1024


def write_atomic(path: Path, text: str) -> None:
    """Replaces `path` by `text` in UTF-8: after a crash it holds the old text or the new one. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Makes names created, renamed or removed in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(path: Path) -> None:
    """Removes a folder with all it holds; nothing happens when it is not there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def is_disk_full(exc: BaseException, folder: Path) -> bool:
    """Whether a full disk lies behind `exc`, also when a library hid the cause in an error of its own."""
    seen: BaseException | None = exc
    passed: set[int] = set()  # a library may raise an error from itself
    while seen is not None and id(seen) not in passed:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        passed.add(id(seen))
        seen = seen.__cause__ or seen.__context__
    if not isinstance(exc, Exception):
        return False
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free < _NEARLY_FULL
    return False


def disk_full(folder: Path) -> StoreError:
    """The error for a full disk."""
    return StoreError(
        f"could not write: no space left on the disk of {folder}. Free some space (cogumi store gc removes what no recipe "
        "reaches) or choose another folder with --store DIR; the same command then goes on from here"
    )


@contextlib.contextmanager
def explained(doing: str, folder: Path) -> Iterator[None]:
    """Turns an OSError of the body into a StoreError that says what could not be done, where, and what to do."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise disk_full(folder) from exc
        advice = _ADVICE.get(exc.errno or 0, "check the folder, or choose another with --store DIR")
        where = exc.filename if exc.filename is not None else folder
        message = f"could not {doing}: {where}: {exc.strerror or exc}; {advice}"
        raise StoreError(message) from exc


@contextlib.contextmanager
def file_lock(path: Path, *, shared: bool = False, remove: bool = False, waiting: Waiting | None = None) -> Iterator[None]:
    """Holds the lock at `path`, waiting for other processes and threads. `remove`: the file goes when the lock is released.

    Raises StoreError when the lock file cannot be made."""
    handle = _acquire(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, waiting)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def try_lock(path: Path, *, remove: bool = False) -> Iterator[bool]:
    """Like `file_lock`, without waiting: gives False when another holds it."""
    handle = _attempt(path, fcntl.LOCK_EX)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            if remove:
                path.unlink(missing_ok=True)
            os.close(handle)


def _acquire(path: Path, mode: int, waiting: Waiting | None) -> int:
    began, waited = time.monotonic(), 0.0
    while (handle := _attempt(path, mode)) is None:
        if waiting is not None:
            waiting(waited)
        waited = time.monotonic() - began
        time.sleep(0.1)
    return handle


def _attempt(path: Path, mode: int) -> int | None:
    with explained("lock the store", path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, mode | fcntl.LOCK_NB)
        # A holder may have removed the file between our open and our lock; then the lock is on a file nobody else sees.
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None
