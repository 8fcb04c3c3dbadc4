"""What was paid: one line for every call that was settled, by recipe, run, stage, teacher and model.

A recipe is its `root`, the path of its file, because two recipes may have one name. A price that is not known is null and stays
null in every total it enters: shown as 0 it would be a lie. A line whose cost is `assumed` stands for the most that the call
can have cost, because the teacher did not say what it used.
"""

from __future__ import annotations

from dataclasses import dataclass

from cogumi_core.api.types import Price, Usage
from cogumi_core.calls.database import Database, now


@dataclass(frozen=True, slots=True)
class Payer:
    """On whose account a call is made. `root`: the recipe's file, or any text that stays the same from run to run; `run`: this
    one of its runs; `teacher`: its name for people."""

    root: str
    recipe: str
    run: str
    stage: str
    teacher: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One settled call."""

    key: str
    payer: Payer
    model: str
    usage: Usage
    usd: float | None
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over calls; `usd` is None when the price of any of them is not known. `assumed`: of how many the cost is the worst
    case."""

    recipe: str
    stage: str
    teacher: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float | None
    assumed: int


_SUMS = "count(*), total(prompt_tokens), total(completion_tokens), total(cached_tokens), total(usd), count(usd), total(assumed)"


class Ledger:
    """The ledger in the same file as the call cache, so that an answer and its cost are stored together or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: Entry) -> None:
        """Writes one line; inside `Database.transaction`, part of it."""
        payer, usage = entry.payer, entry.usage
        row = {
            "key": entry.key,
            "root": payer.root,
            "recipe": payer.recipe,
            "run": payer.run,
            "stage": payer.stage,
            "teacher": payer.teacher,
            "model": entry.model,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
            "usd": entry.usd,
            "assumed": entry.assumed,
            "created": now(),
        }
        self._database.insert("ledger", row)

    def spent(self, root: str) -> float:
        """US dollars spent by all runs of a recipe; calls of unknown price do not count."""
        return float(self._database.rows("SELECT total(usd) FROM ledger WHERE root = ?", (root,))[0][0])

    def totals(self, root: str | None = None) -> list[Total]:
        """Sums by recipe, stage, teacher and model."""
        rows = self._database.rows(
            f"SELECT recipe, stage, teacher, model, {_SUMS} FROM ledger WHERE ?1 IS NULL OR root = ?1 "
            "GROUP BY root, recipe, stage, teacher, model ORDER BY min(id)",
            (root,),
        )
        return [_total(row[:4], row[4:]) for row in rows]

    def stage(self, root: str, stage: str) -> Total:
        """The sum over one stage, all its runs, teachers and models."""
        rows = self._database.rows(f"SELECT {_SUMS} FROM ledger WHERE root = ? AND stage = ?", (root, stage))
        return _total(("", stage, "", ""), rows[0])


def _total(labels: tuple[str, ...], sums: tuple[float, ...]) -> Total:
    recipe, stage, teacher, model = labels
    calls, prompt, completion, cached, usd, priced, assumed = sums
    known = usd if calls == priced else None
    return Total(recipe, stage, teacher, model, int(calls), int(prompt), int(completion), int(cached), known, int(assumed))


def cost(price: Price | None, usage: Usage) -> float | None:
    """US dollars of one call, None when the price is not known. Cached tokens are charged in full: providers differ in what
    they take off, and a budget must not be passed."""
    if price is None:
        return None
    return (usage.prompt_tokens * price.input_usd + usage.completion_tokens * price.output_usd) / 1_000_000
