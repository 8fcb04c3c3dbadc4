"""A hard limit in dollars: the worst a call can cost is reserved before it is sent, and settled when its real cost is known.

A recipe's limit holds over all its runs, and its recipe is its file. What was spent is in the ledger and what is reserved is in
the claims, both in the database, so that runs beside each other and batches that take a day count too.

The limit holds as long as a teacher reports its usage and obeys `max_tokens`. What cannot be known: a call that was under way
when the process was killed may have been charged, and no line of the ledger says so.
"""

from __future__ import annotations

import math
from typing import Final

from cogumi_core.api.errors import BudgetExceeded
from cogumi_core.api.types import CompletionRequest, Price
from cogumi_core.calls.database import Database
from cogumi_core.calls.request import plain
from cogumi_core.store.fingerprint import canonical_json

_OVERHEAD_TOKENS: Final = 64
_OVERHEAD_PER_MESSAGE: Final = 16
_ROUNDING: Final = 1e-9


def worst_case(price: Price | None, request: CompletionRequest) -> float:
    """The most this call can cost, in US dollars; 0 when the price is not known (which a budget refuses beforehand).

    Each token of a prompt stands for at least one byte of it, so bytes bound the tokens for any tokenizer that works on bytes;
    the chat template's own tokens are the overhead."""
    if price is None:
        return 0.0
    row = plain(request)
    size = sum(len(canonical_json(row.get(part)).encode()) for part in ("messages", "schema", "tools"))
    tokens = size + _OVERHEAD_PER_MESSAGE * len(request.messages) + _OVERHEAD_TOKENS
    return (tokens * price.input_usd + request.sampling.max_tokens * price.output_usd) / 1_000_000


class Budget:
    """What the recipe `root` and its present `run` may spend. `usd`: over all runs of the recipe; `max_cost`: in this run;
    None: no limit. `recipe` is its name, under which versions before this one wrote what they spent."""

    def __init__(
        self,
        database: Database,
        root: str,
        run: str,
        *,
        recipe: str = "",
        usd: float | None = None,
        max_cost: float | None = None,
    ) -> None:
        self.root, self.run, self.usd, self.max_cost = root, run, usd, max_cost
        self._database = database
        earlier = "SELECT total(usd) FROM ledger WHERE root IS NULL AND recipe = ?"
        self._spent = float(database.rows(earlier, (recipe,))[0][0])
        self._spent_in_run = 0.0
        self._read_to = 0

    @property
    def limited(self) -> bool:
        return self.usd is not None or self.max_cost is not None

    @property
    def spent(self) -> float:
        """US dollars that all runs of the recipe have paid so far, other processes' included."""
        # The ledger only grows, so each look reads on from where the last one ended.
        sums = "SELECT max(id), total(usd), total(CASE WHEN run = ? THEN usd END) FROM ledger WHERE root = ? AND id > ?"
        with self._database.lock:
            last, spent, in_run = self._database.rows(sums, (self.run, self.root, self._read_to))[0]
            self._read_to = last or self._read_to
            self._spent += spent
            self._spent_in_run += in_run
            return self._spent

    def reserved(self) -> tuple[float, float]:
        """US dollars set aside for what is under way: by all runs of the recipe, and by this one."""
        sums = "SELECT total(usd), total(CASE WHEN run = ? THEN usd END) FROM claims WHERE root = ?"
        everywhere, in_run = self._database.rows(sums, (self.run, self.root))[0]
        return float(everywhere), float(in_run)

    def room(self) -> float:
        """US dollars that can still be reserved; ask inside the transaction that reserves them."""
        if not self.limited:
            return math.inf
        spent, (reserved, reserved_in_run) = self.spent, self.reserved()
        overall = math.inf if self.usd is None else self.usd - spent - reserved
        in_run = math.inf if self.max_cost is None else self.max_cost - self._spent_in_run - reserved_in_run
        return min(overall, in_run) + _ROUNDING

    def exceeded(self, usd: float) -> BudgetExceeded:
        """The error that stops a run at its budget, before a call of at most `usd`."""
        spent, (reserved, _) = self.spent, self.reserved()
        under_way = f", ${reserved:.4f} is reserved for what is under way" if reserved else ""
        of_run = self.usd is None or (self.max_cost is not None and self.max_cost - self._spent_in_run < self.usd - spent)
        which = f"the ${self.max_cost:.4f} that --max-cost allows" if of_run else f"the budget of ${self.usd:.4f}"
        return BudgetExceeded(
            f"stopped before a call of at most ${usd:.4f}: ${self._spent_in_run if of_run else spent:.4f} of {which} is spent"
            f"{under_way}. Every answer so far is stored. Raise `budget.usd` in the recipe, or --max-cost; "
            "the same command then goes on from here"
        )
