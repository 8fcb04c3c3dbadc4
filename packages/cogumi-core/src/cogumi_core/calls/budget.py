"""A hard limit in dollars: the worst a call can cost is reserved before it is sent, and settled when its real cost is known.

The limit holds as long as a teacher reports its usage and obeys `max_tokens`. What cannot be known: a call that was under way
when the process was killed may have been charged, and no line of the ledger says so.
"""

from __future__ import annotations

import json
import threading
from typing import Final

from cogumi_core.api.errors import BudgetExceeded
from cogumi_core.api.types import CompletionRequest, Price

_OVERHEAD_TOKENS: Final = 64
_OVERHEAD_PER_MESSAGE: Final = 16
_ROUNDING: Final = 1e-9


def worst_case(price: Price | None, request: CompletionRequest) -> float:
    """The most this call can cost, in US dollars; 0 when the price is not known (which a budget refuses beforehand).

    Each token of a prompt stands for at least one byte of it, so bytes bound the tokens for any tokenizer that works on bytes;
    the chat template's own tokens are the overhead."""
    if price is None:
        return 0.0
    size = sum(len(message.content.encode()) + _OVERHEAD_PER_MESSAGE for message in request.messages)
    schema = 0 if request.schema is None else len(json.dumps(request.schema).encode())
    tokens = size + schema + _OVERHEAD_TOKENS
    return (tokens * price.input_usd + request.sampling.max_tokens * price.output_usd) / 1_000_000


class Budget:
    """`usd` None: no limit. `spent`: what earlier runs of the recipe paid, from the ledger. Thread-safe."""

    def __init__(self, usd: float | None = None, spent: float = 0.0) -> None:
        self.usd = usd
        self.spent = spent
        self.reserved = 0.0
        self._open = 0
        self._lock = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether nothing is reserved, so that waiting will not make room."""
        return self._open == 0

    def fits(self, usd: float) -> bool:
        """Whether `usd` more can be reserved."""
        return self.usd is None or self.spent + self.reserved + usd <= self.usd + _ROUNDING

    def reserve(self, usd: float) -> None:
        """Sets `usd` aside. Raises BudgetExceeded when that could pass the limit."""
        with self._lock:
            if not self.fits(usd):
                raise self.exceeded(usd)
            self.reserved += usd
            self._open += 1

    def settle(self, reserved: float, usd: float | None) -> None:
        """The call that `reserved` was set aside for cost `usd`."""
        with self._lock:
            self._end(reserved)
            self.spent += usd or 0.0

    def release(self, reserved: float) -> None:
        """The call failed and cost nothing."""
        with self._lock:
            self._end(reserved)

    def _end(self, reserved: float) -> None:
        self._open -= 1
        self.reserved = self.reserved - reserved if self._open else 0.0

    def exceeded(self, usd: float) -> BudgetExceeded:
        """The error that stops a run at its budget."""
        return BudgetExceeded(
            f"stopped before a call of at most ${usd:.4f}: ${self.spent:.4f} of the budget of ${self.usd or 0:.4f} is spent. "
            "Every answer so far is stored. Raise `budget.usd` in the recipe, or --max-cost; "
            "the same command then goes on from here"
        )
