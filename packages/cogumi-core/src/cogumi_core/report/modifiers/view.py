"""What the page shows of a modifier beyond its figures: the configurations as a plot, the pairs, the tasks in reading order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogumi_core.api.types import AdapterOffer, Interval, ModifierReport
from cogumi_core.report.drawing import ACCENT, INK, MUTED, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ADAPTER, BASELINE = "with the adapter", "strongest untrained"
Row = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class ModifierView:
    """`pairs`: (both, only the adapter, only the baseline, neither), None where the counts do not fit together. `samples`:
    heading and tasks."""

    chart: str
    pairs: tuple[int, int, int, int] | None
    samples: Sequence[tuple[str, Sequence[Row]]]


def modifier_view(name: str, report: ModifierReport, offer: AdapterOffer) -> ModifierView:
    """`offer` is the adapter that the figures are of."""
    headed = (("Tasks that the adapter fixed", report.fixed), ("Tasks that still fail", report.failing))
    samples = [(title, [ordered(row) for row in rows]) for title, rows in headed if rows]
    return ModifierView(_configurations(name, report, offer), _pairs(report.baseline, offer), samples)


def _pairs(baseline: Interval, offer: AdapterOffer) -> tuple[int, int, int, int] | None:
    n = offer.result.n
    both = round(offer.result.share * n) - offer.won
    neither = n - both - offer.won - offer.lost
    fits = n == baseline.n and min(both, neither) >= 0 and both + offer.lost == round(baseline.share * n)
    return (both, offer.won, offer.lost, neither) if fits else None


_READING_ORDER = (
    "id",
    "task",
    "question",
    "prompt",
    "instruction",
    "baseline",
    "adapter",
    "answer",
    "expected",
    "reference",
    "reason",
)


def ordered(row: Mapping[str, Any]) -> Row:
    """The fields of a row as a person would read them: what was asked, what was answered, what was right, why not."""
    known = [(key, row[key]) for key in _READING_ORDER if key in row]
    return known + sorted((key, value) for key, value in row.items() if key not in _READING_ORDER)


def _configurations(name: str, report: ModifierReport, offer: AdapterOffer) -> str:
    """Each configuration's share of tasks solved as a dot with its interval, best on top. The baseline and the adapter are
    added where the modifier did not list them itself."""
    shares: dict[str, Interval] = dict(report.configurations)
    strong = next((label for label, interval in shares.items() if interval == offer.result), ADAPTER)
    shares.setdefault(strong, offer.result)
    if report.baseline not in shares.values():
        shares[BASELINE] = report.baseline
    places = sorted(shares.items(), key=lambda item: item[1].share)

    def draw(axes: Axes) -> None:
        for place, (label, interval) in enumerate(places):
            colour = ACCENT if label == strong else MUTED
            edges = [100 * interval.low, 100 * interval.high]
            axes.plot(edges, [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot([100 * interval.share], [place], "o", color=colour, markersize=7)
            axes.annotate(
                f"{100 * interval.share:.1f}",
                (100 * interval.share, place),
                (0, 8),
                textcoords="offset points",
                ha="center",
                color=colour,
                fontsize=9,
            )
        axes.set_yticks(range(len(places)), [label for label, _ in places])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.6, len(places) - 0.3)
        axes.set_xlim(0, 100)
        axes.grid(axis="x")
        axes.set_xlabel("held-out tasks solved, %")

    return drawn(f"configurations {name}", 0.85 + 0.42 * len(places), draw, width=4.9)
