"""The SQLite file behind the call cache and the ledger: every paid answer, shared by all runs.

Written ahead (WAL) and flushed at every commit (`synchronous=FULL`), so that a committed answer survives a power cut; any
number of processes may use it. A file that is damaged, foreign or from a newer version is an error and never an empty cache,
because an empty cache would buy every answer again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.errors import StoreError
from cogumi_core.store.atomic import explained

VERSION: Final = 1
APPLICATION: Final = 0x436F6775  # "Cogu", so that another program's database is not taken for ours
_SCHEMA = """
CREATE TABLE calls (
    key TEXT PRIMARY KEY, identity TEXT NOT NULL, request TEXT NOT NULL, sample INTEGER NOT NULL,
    outcome TEXT NOT NULL, check_sum TEXT NOT NULL, refused INTEGER NOT NULL,
    model TEXT NOT NULL, usd REAL, created TEXT NOT NULL
);
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, recipe TEXT NOT NULL, run TEXT NOT NULL, stage TEXT NOT NULL,
    teacher TEXT NOT NULL, model TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL, usd REAL, created TEXT NOT NULL
);
CREATE INDEX ledger_recipe ON ledger (recipe, stage);
"""


class Database:
    """One connection, usable from several threads. Raises StoreError for everything that goes wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with explained("open the call cache", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._guarded():
            if not path.exists():
                _create(path)
            self._connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            try:
                self._connection.execute("PRAGMA synchronous = FULL")
                self._check()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock, self._guarded():
            return self._connection.execute(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Runs one statement and returns how many rows it changed; inside `transaction`, part of it."""
        with self._lock, self._guarded():
            return self._connection.execute(sql, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes of the body, or none; on the disk when the body has ended."""
        with self._lock:
            with self._guarded():
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                with self._guarded():
                    self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def _check(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if self._connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            why = "it is not a database of Cogumi"
            raise self.damaged(why)
        if version > VERSION:
            message = (
                f"{self.path} was written by a newer version of Cogumi (calls {version}, this one reads {VERSION}); "
                "upgrade with: pip install --upgrade cogumi-core"
            )
            raise StoreError(message)
        problem = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise self.damaged(problem.splitlines()[-1])

    def damaged(self, why: object) -> StoreError:
        """The error for a file that cannot be trusted."""
        return StoreError(
            f"the call cache {self.path} is damaged ({why}); nothing was asked. Put back a copy of it; or, if paying "
            f"for its answers again is acceptable, move it away with {self.path.name}-wal and -shm beside it"
        )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as exc:
            message = f"the call cache {self.path} cannot be used: {exc}; {_advice(str(exc))}"
            raise StoreError(message) from exc
        except sqlite3.DatabaseError as exc:
            raise self.damaged(exc) from exc


def _create(path: Path) -> None:
    """The file appears complete or not at all: an empty file by this name is damage, and is seen to be."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with explained("make the call cache", path.parent):
        draft.unlink(missing_ok=True)
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.executescript(
                f"PRAGMA journal_mode = WAL; {_SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            )
        finally:
            connection.close()
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()


def _advice(text: str) -> str:
    if "full" in text:
        return "free some space on its disk; answers already stored are kept, and the same command goes on from here"
    if "locked" in text:
        return "another process has held it for over a minute; wait for it to end"
    if "malformed" in text:
        return "it is damaged: put back a copy of it"
    return "check that the file and its folder can be written, or choose another store with --store DIR"
