"""The batches that providers were handed, and the requests in them that have no answer yet.

A row is written before its batch is handed over, under a tag that nobody has used before, and gets the provider's id
afterwards. A row without an id is therefore one that the provider may or may not have taken when the run died, and its tag is
what to ask for.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cogumi_core.api.types import JSON
from cogumi_core.calls.budget import Budget
from cogumi_core.calls.claims import Claims
from cogumi_core.calls.database import Database, now
from cogumi_core.calls.ledger import Payer
from cogumi_core.store.fingerprint import canonical_json

_COLUMNS: Final = "tag, id, root, recipe, run, stage, teacher, requests, created, until"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch under way. `id`: the provider's, None as long as it is not known whether it took the batch. `until`: when it
    should be done, as far as the provider has said."""

    tag: str
    id: str | None
    payer: Payer
    requests: int
    created: str
    until: datetime | None

    def sentence(self) -> str:
        """What a person should know of it."""
        when = f"; it should be done at {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""
        return (
            f"{self.requests} requests of stage '{self.payer.stage}' are in a batch at '{self.payer.teacher}' "
            f"(id {self.id or 'not known yet'}, since {self.created}){when}. "
            "The same command then takes the answers in and goes on; nothing is paid twice"
        )


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a batch, as canonical JSON, with its worst case in US dollars; `attempt` counts from 1."""

    key: str
    request: str
    usd: float
    attempt: int = 1


@dataclass(slots=True)
class Opened:
    """What became of requests that were to make a batch: those it has, those that somebody else is asking, and those whose
    worst case did not fit the budget. What was answered meanwhile, or is in another batch, is in none."""

    tag: str
    items: list[Item] = field(default_factory=list)
    elsewhere: list[Item] = field(default_factory=list)
    unpaid: list[Item] = field(default_factory=list)


class Batches:
    """The tables of batches and their items. Methods that write are one transaction, but for those that say otherwise."""

    def __init__(self, database: Database, claims: Claims, budget: Budget) -> None:
        self._database = database
        self._claims = claims
        self._budget = budget

    def open(self, payer: Payer, identity: Mapping[str, JSON], items: Sequence[Item], lease: float) -> Opened:
        """Claims the requests for a new batch and reserves their worst case, as far as the budget goes; nobody else touches the
        batch for `lease` seconds."""
        opened = Opened(uuid.uuid4().hex)
        with self._database.transaction():
            self._claims.bury()
            room = self._budget.room()
            for item in items:
                if opened.unpaid or item.usd > max(room, 0.0):
                    opened.unpaid.append(item)
                elif self._claims.held_by(item.key) is not None:
                    if not self._claims.in_batch(item.key):
                        opened.elsewhere.append(item)
                elif not self._database.rows("SELECT 1 FROM calls WHERE key = ?", (item.key,)):
                    room -= item.usd
                    opened.items.append(item)
            if opened.items:
                self._write(opened, payer, identity, lease)
        return opened

    def _write(self, opened: Opened, payer: Payer, identity: Mapping[str, JSON], lease: float) -> None:
        row = {
            "tag": opened.tag,
            "identity": canonical_json(identity),
            "root": payer.root,
            "recipe": payer.recipe,
            "run": payer.run,
            "stage": payer.stage,
            "teacher": payer.teacher,
            "requests": len(opened.items),
            "created": now(),
        }
        self._database.insert("batches", row)
        self._claims.lease(lease_key(opened.tag), lease)
        for item in opened.items:
            row = {
                "tag": opened.tag,
                "key": item.key,
                "request": item.request,
                "usd": item.usd,
                "attempt": item.attempt,
            }
            self._database.insert("batch_items", row)
            self._claims.put(item.key, opened.tag, item.usd, expires=None)

    def accepted(self, tag: str, id: str) -> None:
        """The provider has taken the batch, and calls it `id`."""
        with self._database.transaction():
            self._database.change("UPDATE batches SET id = ? WHERE tag = ?", (id, tag))

    def expect(self, tag: str, seconds: float) -> None:
        """The provider wants to be asked again after so many seconds."""
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self._database.change("UPDATE batches SET until = ? WHERE tag = ?", (until.isoformat(timespec="seconds"), tag))

    def items(self, tag: str) -> list[Item]:
        """The requests of a batch whose answers have not been taken in, in order."""
        rows = self._database.rows("SELECT key, request, usd, attempt FROM batch_items WHERE tag = ? ORDER BY rowid", (tag,))
        return [Item(*row) for row in rows]

    def take(self, tag: str, key: str) -> bool:
        """Inside a transaction: marks an answer as taken in; False when it was before, maybe by another process."""
        return bool(self._database.change("DELETE FROM batch_items WHERE tag = ? AND key = ?", (tag, key)))

    def close(self, tag: str) -> None:
        """The batch has given all it will give; what it did not answer is free to be asked."""
        with self._database.transaction():
            self._database.change("DELETE FROM batch_items WHERE tag = ?", (tag,))
            self._database.change("DELETE FROM claims WHERE holder = ?", (tag,))
            self._database.change("UPDATE batches SET collected = ? WHERE tag = ?", (now(), tag))

    def get(self, tag: str) -> Batch | None:
        """A batch under way, by its tag."""
        return next(iter(self._open("tag = ?", tag)), None)

    def of_teacher(self, identity: Mapping[str, JSON]) -> list[Batch]:
        """The batches of a teacher that are under way, whichever recipe pays for them."""
        return self._open("identity = ?", canonical_json(identity))

    def of_root(self) -> list[Batch]:
        """The batches of this recipe that are under way."""
        return self._open("root = ?", self._budget.root)

    def _open(self, condition: str, value: str) -> list[Batch]:
        sql = f"SELECT {_COLUMNS} FROM batches WHERE collected IS NULL AND {condition} ORDER BY rowid"
        return [
            Batch(row[0], row[1], Payer(*row[2:7]), row[7], row[8], datetime.fromisoformat(row[9]) if row[9] else None)
            for row in self._database.rows(sql, (value,))
        ]


def lease_key(tag: str) -> str:
    """Under which a process claims a batch itself while it hands it over or takes it in."""
    return f"batch {tag}"
