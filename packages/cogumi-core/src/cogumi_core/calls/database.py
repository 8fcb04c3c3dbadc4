"""The SQLite file behind the paid-call engine: every paid answer, every dollar, and what is under way, shared by all runs.

Written ahead (WAL) and flushed at every commit that records money, so that a committed answer survives a power cut; any number
of processes may use it. A file that is damaged, foreign or from a newer version is an error and never an empty cache, because
an empty cache would buy every answer again. An older file is migrated when it is opened, with all it holds.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.errors import StoreError
from cogumi_core.store.atomic import explained

APPLICATION: Final = 0x436F6775  # "Cogu", so that another program's database is not taken for ours
MIGRATIONS: Final = (
    (  # 0 to 1: answers and what they cost
        """CREATE TABLE calls (
            key TEXT PRIMARY KEY, identity TEXT NOT NULL, request TEXT NOT NULL, sample INTEGER NOT NULL,
            outcome TEXT NOT NULL, check_sum TEXT NOT NULL, refused INTEGER NOT NULL,
            model TEXT NOT NULL, usd REAL, created TEXT NOT NULL
        )""",
        """CREATE TABLE ledger (
            id INTEGER PRIMARY KEY, key TEXT NOT NULL, recipe TEXT NOT NULL, run TEXT NOT NULL, stage TEXT NOT NULL,
            teacher TEXT NOT NULL, model TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL, usd REAL, created TEXT NOT NULL
        )""",
        "CREATE INDEX ledger_recipe ON ledger (recipe, stage)",
    ),
    (  # 1 to 2: budgets by the recipe's file, claims on what is being asked, and batches
        "ALTER TABLE ledger ADD COLUMN root TEXT",  # null: paid before roots were written down
        "ALTER TABLE ledger ADD COLUMN assumed INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX ledger_root ON ledger (root, stage)",
        """CREATE TABLE claims (
            key TEXT PRIMARY KEY, holder TEXT NOT NULL, expires REAL, root TEXT NOT NULL, run TEXT NOT NULL, usd REAL NOT NULL
        )""",
        "CREATE INDEX claims_root ON claims (root)",
        """CREATE TABLE batches (
            tag TEXT PRIMARY KEY, id TEXT, identity TEXT NOT NULL, root TEXT NOT NULL, recipe TEXT NOT NULL, run TEXT NOT NULL,
            stage TEXT NOT NULL, teacher TEXT NOT NULL, requests INTEGER NOT NULL, created TEXT NOT NULL, until TEXT,
            collected TEXT
        )""",
        "CREATE INDEX batches_open ON batches (identity) WHERE collected IS NULL",
        """CREATE TABLE batch_items (
            tag TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, usd REAL NOT NULL, attempt INTEGER NOT NULL,
            PRIMARY KEY (tag, key)
        )""",
    ),
)
"""What makes a database of version n one of version n + 1; never changed once released, only added to."""
VERSION: Final = len(MIGRATIONS)


class Database:
    """One connection, usable from several threads. Raises StoreError for everything that goes wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()  # held by a transaction from its beginning to its end
        with explained("open the call cache", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._guarded():
            if not path.exists():
                _create(path)
            self._connection = _connect(path)
            try:
                self._check()
                _migrate(self._connection)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        with self.lock:
            self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.lock, self._guarded():
            return self._connection.execute(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Runs one statement and returns how many rows it changed; inside `transaction`, part of it."""
        with self.lock, self._guarded():
            return self._connection.execute(sql, values).rowcount

    def insert(self, table: str, row: dict[str, Any], *, otherwise: str = "ABORT") -> int:
        """Adds a row by column names; `otherwise` is SQLite's word for what to do when it is there: IGNORE, REPLACE."""
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        return self.change(f"INSERT OR {otherwise} INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All changes of the body, or none; on the disk when the body has ended. Not `durable`: other processes see them, but a
        power cut may undo them, which is enough for what means nothing once its process is dead, and spares a flush."""
        with self.lock:
            with self._guarded():
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                with self._guarded():
                    self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                with suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA synchronous = FULL")

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
        except sqlite3.ProgrammingError as exc:
            message = f"the call cache {self.path} is closed: its run has ended ({exc})"
            raise StoreError(message) from exc
        except sqlite3.DatabaseError as exc:
            raise self.damaged(exc) from exc


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables to `VERSION` in one transaction; of several processes that open an old file, one does it."""
    if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[connection.execute("PRAGMA user_version").fetchone()[0] :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _create(path: Path) -> None:
    """The file appears complete or not at all: an empty file by this name is damage, and is seen to be."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with explained("make the call cache", path.parent):
        draft.unlink(missing_ok=True)
        connection = _connect(draft)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            _migrate(connection)
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
