"""Paying for model calls: a cache of every answer, a ledger of every dollar, a limit, and the engine that uses them.

`open_calls` gives `PaidCalls`, one for a run; `PaidCalls.stage` gives what components see as `run.calls`. Read `paid`, then
`online` or `batched`; `run` and `desk` hold what these share; beneath them each file holds one table or one idea. Which
teacher is asked what is for the stages to say."""

from cogumi_core.calls.batches import Batch
from cogumi_core.calls.budget import Budget, worst_case
from cogumi_core.calls.cache import CallCache
from cogumi_core.calls.database import Database
from cogumi_core.calls.ledger import Entry, Ledger, Payer, Total, cost
from cogumi_core.calls.paid import Answers, PaidCalls, StageCalls, open_calls
from cogumi_core.calls.request import Call, request_key
from cogumi_core.calls.retry import RetryPolicy

__all__ = [
    "Answers",
    "Batch",
    "Budget",
    "Call",
    "CallCache",
    "Database",
    "Entry",
    "Ledger",
    "PaidCalls",
    "Payer",
    "RetryPolicy",
    "StageCalls",
    "Total",
    "cost",
    "open_calls",
    "request_key",
    "worst_case",
]
