"""Answers by the key of their call. What was answered once is never asked again, by any run.

A refusal is an answer too: it may have been charged, and it would come again. `forget_refusals` is for the day a provider
changes its mind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cogumi_core.api.errors import TeacherRefusal
from cogumi_core.api.types import JSON, Completion, CompletionRequest, Usage
from cogumi_core.calls.database import Database
from cogumi_core.store.fingerprint import canonical_json, sha256_text

Outcome = Completion | TeacherRefusal


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it is asked; `key` is `request_key` of the rest."""

    key: str
    identity: Mapping[str, JSON]
    request: CompletionRequest
    sample: int = 0


class CallCache:
    """The cache in the SQLite file at `path`, made when it is not there. Safe with several threads and processes."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)

    def close(self) -> None:
        self.database.close()

    def get(self, key: str) -> Outcome | None:
        """What was answered, or None when it never was. Raises StoreError when the stored answer is damaged."""
        rows = self.database.rows("SELECT outcome, check_sum FROM calls WHERE key = ?", (key,))
        if not rows:
            return None
        outcome, check_sum = rows[0]
        if sha256_text(outcome) != check_sum:
            why = f"the answer with key {key} changed"
            raise self.database.damaged(why)
        return _outcome(json.loads(outcome))

    def put(self, call: Call, outcome: Outcome, usd: float | None) -> Outcome:
        """Stores an answer; returns what is stored under its key, which is another process's answer if that came first."""
        text = canonical_json(_row(outcome))
        refused = isinstance(outcome, TeacherRefusal)
        values = (
            call.key,
            canonical_json(call.identity),
            canonical_json(asdict(call.request)),
            call.sample,
            text,
            sha256_text(text),
            refused,
            "" if isinstance(outcome, TeacherRefusal) else outcome.model,
            usd,
            now(),
        )
        added = self.database.change(f"INSERT OR IGNORE INTO calls VALUES ({','.join('?' * len(values))})", values)
        return outcome if added else self.get(call.key) or outcome

    def forget_refusals(self) -> int:
        """Removes refusals, so that those requests are asked again; returns how many."""
        return self.database.change("DELETE FROM calls WHERE refused = 1")

    def __len__(self) -> int:
        return int(self.database.rows("SELECT count(*) FROM calls")[0][0])


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _row(outcome: Outcome) -> dict[str, JSON]:
    return {"refusal": str(outcome)} if isinstance(outcome, TeacherRefusal) else asdict(outcome)


def _outcome(row: dict[str, Any]) -> Outcome:
    if "refusal" in row:
        return TeacherRefusal(row["refusal"])
    return Completion(**{**row, "usage": Usage(**row["usage"])})
