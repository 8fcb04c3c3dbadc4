"""What was paid: one line for every call that was settled, by recipe, run, stage, teacher and model.

A price that is not known is null and stays null in every total it enters: shown as 0 it would be a lie.
"""

from __future__ import annotations

from dataclasses import dataclass

from cogumi_core.api.types import Price, Usage
from cogumi_core.calls.cache import now
from cogumi_core.calls.database import Database


@dataclass(frozen=True, slots=True)
class Entry:
    """One settled call. `recipe` is any text that stays the same from run to run, such as the recipe's name or path."""

    key: str
    recipe: str
    run: str
    stage: str
    teacher: str
    model: str
    usage: Usage
    usd: float | None


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over calls; `usd` is None when the price of any of them is not known."""

    recipe: str
    stage: str
    teacher: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float | None


_SUMS = "count(*), total(prompt_tokens), total(completion_tokens), total(cached_tokens), total(usd), count(usd)"


class Ledger:
    """The ledger in the same file as the call cache, so that an answer and its cost are stored together or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: Entry) -> None:
        """Writes one line; inside `Database.transaction`, part of it."""
        usage = entry.usage
        values = (
            *(entry.key, entry.recipe, entry.run, entry.stage, entry.teacher, entry.model),
            *(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, entry.usd, now()),
        )
        self._database.change(f"INSERT INTO ledger VALUES (NULL, {','.join('?' * len(values))})", values)

    def spent(self, recipe: str) -> float:
        """US dollars spent by all runs of a recipe; calls of unknown price do not count."""
        return float(self._database.rows("SELECT total(usd) FROM ledger WHERE recipe = ?", (recipe,))[0][0])

    def totals(self, recipe: str | None = None) -> list[Total]:
        """Sums by recipe, stage, teacher and model."""
        rows = self._database.rows(
            f"SELECT recipe, stage, teacher, model, {_SUMS} FROM ledger WHERE ?1 IS NULL OR recipe = ?1 "
            "GROUP BY recipe, stage, teacher, model ORDER BY min(id)",
            (recipe,),
        )
        return [_total(row[:4], row[4:]) for row in rows]

    def stage(self, recipe: str, stage: str) -> Total:
        """The sum over one stage, all its runs, teachers and models."""
        rows = self._database.rows(f"SELECT {_SUMS} FROM ledger WHERE recipe = ? AND stage = ?", (recipe, stage))
        return _total((recipe, stage, "", ""), rows[0])


def _total(labels: tuple[str, ...], sums: tuple[float, ...]) -> Total:
    recipe, stage, teacher, model = labels
    calls, prompt, completion, cached, usd, priced = sums
    known = usd if calls == priced else None
    return Total(recipe, stage, teacher, model, int(calls), int(prompt), int(completion), int(cached), known)


def cost(price: Price | None, usage: Usage) -> float | None:
    """US dollars of one call, None when the price is not known. Cached tokens are charged in full: providers differ in what
    they take off, and a budget must not be passed."""
    if price is None:
        return None
    return (usage.prompt_tokens * price.input_usd + usage.completion_tokens * price.output_usd) / 1_000_000
