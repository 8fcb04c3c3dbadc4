"""Answers by the key of their call. What was answered once is never asked again, by any run.

A refusal is an answer too: it may have been charged, and it would come again. `forget_refusals` is for the day a provider
changes its mind.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from cogumi_core.api.errors import TeacherRefusal
from cogumi_core.api.types import JSON, Completion, ToolCall, Usage
from cogumi_core.calls.database import Database, now
from cogumi_core.calls.request import Call
from cogumi_core.store.fingerprint import canonical_json, sha256_text

Outcome = Completion | TeacherRefusal


class CallCache:
    """The answers in a database. Safe with several threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Outcome | None:
        """What was answered, or None when it never was. Raises StoreError when the stored answer is damaged."""
        rows = self._database.rows("SELECT outcome, check_sum FROM calls WHERE key = ?", (key,))
        if not rows:
            return None
        outcome, check_sum = rows[0]
        if sha256_text(outcome) != check_sum:
            why = f"the answer with key {key} changed"
            raise self._database.damaged(why)
        return _outcome(json.loads(outcome))

    def __contains__(self, key: str) -> bool:
        return bool(self._database.rows("SELECT 1 FROM calls WHERE key = ?", (key,)))

    def put(self, call: Call, outcome: Outcome, usd: float | None) -> Outcome:
        """Stores an answer; returns what is stored under its key, which is another process's answer if that came first."""
        text = canonical_json(_row(outcome))
        row = {
            "key": call.key,
            "identity": canonical_json(call.identity),
            "request": call.text,
            "sample": 0,
            "outcome": text,
            "check_sum": sha256_text(text),
            "refused": isinstance(outcome, TeacherRefusal),
            "model": "" if isinstance(outcome, TeacherRefusal) else outcome.model,
            "usd": usd,
            "created": now(),
        }
        added = self._database.insert("calls", row, otherwise="IGNORE")
        return outcome if added else self.get(call.key) or outcome

    def forget_refusals(self) -> int:
        """Removes refusals, so that those requests are asked again; returns how many."""
        return self._database.change("DELETE FROM calls WHERE refused = 1")

    def __len__(self) -> int:
        return int(self._database.rows("SELECT count(*) FROM calls")[0][0])


def _row(outcome: Outcome) -> dict[str, JSON]:
    return {"refusal": str(outcome)} if isinstance(outcome, TeacherRefusal) else asdict(outcome)


def _outcome(row: dict[str, Any]) -> Outcome:
    if "refusal" in row:
        return TeacherRefusal(row["refusal"])
    calls = tuple(ToolCall(**call) for call in row.get("tool_calls", ()))
    return Completion(**{**row, "usage": Usage(**row["usage"]), "tool_calls": calls})
