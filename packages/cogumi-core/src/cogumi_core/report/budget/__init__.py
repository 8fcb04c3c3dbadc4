"""What the system weighs and what building it cost, against the recipe's limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cogumi_core.report.context import ReportContext
from cogumi_core.report.section import Highlight, PageSection
from cogumi_core.report.spend import Spend, spend_of
from cogumi_core.report.wording import size, usd


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the system and its size in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Paid:
    """What one stage paid for model calls."""

    stage: str
    spend: Spend


@dataclass(frozen=True, slots=True)
class Budget:
    """`paid` has a line for each stage that asked a teacher, whichever it is. No limit: None."""

    parts: Sequence[Part] = ()
    limit_bytes: int | None = None
    paid: Sequence[Paid] = ()
    limit_usd: float | None = None

    @property
    def bytes(self) -> int:
        """Of the system as it is carried elsewhere."""
        return sum(part.bytes for part in self.parts)

    @property
    def usd(self) -> float:
        """As far as prices are known."""
        return sum(item.spend.usd or 0.0 for item in self.paid)

    @property
    def unpriced(self) -> Sequence[str]:
        """Stages that asked a teacher whose price is not known."""
        return [item.stage for item in self.paid if item.spend.usd is None]


def collect(context: ReportContext) -> Budget:
    parts = tuple(Part(name, count) for name, count in context.shipped.items())
    spends = ((stage.name, spend_of(artifact)) for stage, artifact in context.built)
    limits = context.recipe.budget
    paid = tuple(Paid(name, spend) for name, spend in spends if spend is not None)
    return Budget(parts, limits.bytes if parts else None, paid, limits.usd)


@dataclass(frozen=True, slots=True)
class BudgetView:
    """`segments`: name, bytes, and width in percent of the larger of budget and total, largest first."""

    segments: Sequence[tuple[str, int, float]]
    limit_at: float | None


def view(budget: Budget) -> BudgetView | None:
    if not budget.parts and not budget.paid:
        return None
    whole = max(budget.bytes, budget.limit_bytes or 0, 1)
    parts = sorted(budget.parts, key=lambda part: (-part.bytes, part.name))
    segments = [(part.name, part.bytes, round(100 * part.bytes / whole, 3)) for part in parts]
    limit_at = None if budget.limit_bytes is None else round(100 * budget.limit_bytes / whole, 3)
    return BudgetView(segments, limit_at)


def highlights(budget: Budget) -> Iterator[Highlight]:
    """What a person asks first: how big, and how dear."""
    if budget.parts:
        limit = f" the recipe allows {size(budget.limit_bytes)}" if budget.limit_bytes is not None else " no limit was set"
        within = None if budget.limit_bytes is None else budget.bytes <= budget.limit_bytes
        yield Highlight("Size", size(budget.bytes), f"the system as it is carried elsewhere;{limit}", within)
    limit = f"the recipe allows {usd(budget.limit_usd)}" if budget.limit_usd is not None else "no limit was set"
    within = None if budget.limit_usd is None else budget.usd <= budget.limit_usd
    unknown = f"; what {', '.join(budget.unpriced)} cost is not known" if budget.unpriced else ""
    yield Highlight("Cost", usd(budget.usd), f"paid for model calls; {limit}{unknown}", within)


SECTION: PageSection[Budget] = PageSection("budget", Budget, collect, view, highlights, leads=True)
