"""Paying for model calls: a cache of every answer, a ledger of every dollar, a limit, and the dispatcher that uses them."""

from cogumi_core.calls.budget import Budget, worst_case
from cogumi_core.calls.cache import Call, CallCache
from cogumi_core.calls.dispatcher import Dispatcher, open_dispatcher
from cogumi_core.calls.ledger import Entry, Ledger, Total, cost
from cogumi_core.calls.request import request_key
from cogumi_core.calls.retry import RetryPolicy
from cogumi_core.calls.window import Counts

__all__ = [
    "Budget",
    "Call",
    "CallCache",
    "Counts",
    "Dispatcher",
    "Entry",
    "Ledger",
    "RetryPolicy",
    "Total",
    "cost",
    "open_dispatcher",
    "request_key",
    "worst_case",
]
