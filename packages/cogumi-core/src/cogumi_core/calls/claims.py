"""Who is asking what: one row for each call under way, with the money that is reserved for it.

A claim keeps two processes from paying for one answer: the second waits for the first's answer, or for the end of its claim. A
claim ends when it is settled or freed, when its lease runs out, or when its process is gone. The calls of a batch are claimed
by the batch, for as long as it takes.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Literal

from cogumi_core.calls.budget import Budget
from cogumi_core.calls.cache import CallCache, Outcome
from cogumi_core.calls.database import Database

Refused = Literal["held", "no room"]
"""Why a call cannot be claimed now: somebody else asks it, or its worst case does not fit the budget."""


class Claims:
    """The claims of one run on a database. Every method is short, so it may be called from the background loop."""

    def __init__(self, database: Database, cache: CallCache, budget: Budget) -> None:
        self.holder = f"{socket.gethostname()} {os.getpid()} {_born(os.getpid())} {uuid.uuid4().hex[:8]}"
        self._database = database
        self._cache = cache
        self._budget = budget

    def take(self, key: str, usd: float, lease: float) -> Outcome | Refused | None:
        """Claims a call and reserves `usd` for it, for `lease` seconds: None. Or the answer, if it has come meanwhile."""
        with self._database.transaction(durable=False):
            if (outcome := self._cache.get(key)) is not None:
                return outcome
            if self.held_by(key) is not None:
                return "held"
            if usd and usd > self._budget.room():
                self.bury()
                if usd > self._budget.room():
                    return "no room"
            self.put(key, self.holder, usd, time.time() + lease)
            return None

    def put(self, key: str, holder: str, usd: float, expires: float | None) -> None:
        """Writes a claim, inside a transaction that has seen that nobody holds it."""
        row = {"key": key, "holder": holder, "expires": expires, "root": self._budget.root, "run": self._budget.run, "usd": usd}
        self._database.insert("claims", row, otherwise="REPLACE")

    def lease(self, key: str, seconds: float) -> None:
        """Claims something that nobody can have claimed before, inside a transaction."""
        self.put(key, self.holder, 0.0, time.time() + seconds)

    def renew(self, key: str, lease: float) -> None:
        """The call takes another `lease` seconds."""
        with self._database.transaction(durable=False):
            self._database.change(
                "UPDATE claims SET expires = ? WHERE key = ? AND holder = ?", (time.time() + lease, key, self.holder)
            )

    def free(self, key: str) -> None:
        """Nobody asks this any more; nothing is reserved for it. Nothing happens when this run does not hold it."""
        with self._database.transaction(durable=False):
            self._database.change("DELETE FROM claims WHERE key = ? AND holder = ?", (key, self.holder))

    def free_all(self) -> None:
        """Ends all claims of this run, except those that its batches hold."""
        self._database.change("DELETE FROM claims WHERE holder = ?", (self.holder,))

    def held_by(self, key: str) -> str | None:
        """The living holder of a claim, a batch's tag among them; None when the call is free."""
        rows = self._database.rows("SELECT holder, expires FROM claims WHERE key = ?", (key,))
        return rows[0][0] if rows and _lives(*rows[0]) else None

    def in_batch(self, key: str) -> bool:
        """Whether a batch has this call."""
        return bool(self._database.rows("SELECT 1 FROM claims WHERE key = ? AND expires IS NULL", (key,)))

    def under_way(self) -> bool:
        """Whether money of the recipe is reserved for calls that will soon be settled, which batches will not."""
        sql = "SELECT count(*) FROM claims WHERE root = ? AND expires IS NOT NULL AND usd > 0"
        return bool(self._database.rows(sql, (self._budget.root,))[0][0])

    def bury(self) -> None:
        """Removes the claims of the dead, inside a transaction."""
        for holder, expires in self._database.rows("SELECT DISTINCT holder, expires FROM claims WHERE expires IS NOT NULL"):
            if not _lives(holder, expires):
                self._database.change("DELETE FROM claims WHERE holder = ? AND expires = ?", (holder, expires))


def _lives(holder: str, expires: float | None) -> bool:
    if expires is None:
        return True
    if expires < time.time():
        return False
    host, pid, born, _ = holder.rsplit(" ", 3)
    return host != socket.gethostname() or _born(int(pid)) == born


def _born(pid: int) -> str:
    """When a process of this machine began, in the system's own count, so that another one with its number is told apart;
    `gone` when there is none."""
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "gone" if fields[0] in "ZX" else fields[19]
    try:  # outside Linux only the number is known
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except OSError:
        pass
    return "unknown"
