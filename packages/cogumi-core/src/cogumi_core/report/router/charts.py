"""The plots of a router: how reliable its confidence is, and what handing over brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cogumi_core.api.types import ReliabilityBin
from cogumi_core.report.drawing import ACCENT, LINE, SECOND, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reliability(bins: Sequence[ReliabilityBin], threshold: float) -> str:
    """Share right over stated confidence, a dot a bin, as large as its rows are many and labelled with their number."""
    most = max(entry.n for entry in bins)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1.2)
        axes.axvline(threshold, color=SECOND, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(
            f"threshold {threshold:.2f}",
            (threshold, 0.015),
            (-4, 0),
            textcoords="offset points",
            ha="right",
            color=SECOND,
            fontsize=9,
        )
        axes.plot(
            [entry.confidence for entry in bins], [entry.accuracy for entry in bins], color=ACCENT, linewidth=1, alpha=0.5
        )
        for entry in bins:
            axes.plot([entry.confidence], [entry.accuracy], "o", color=ACCENT, markersize=4 + 8 * (entry.n / most) ** 0.5)
            above = entry.accuracy < 0.9
            axes.annotate(
                f"{entry.n}",
                (entry.confidence, entry.accuracy),
                (0, 9 if above else -9),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
                fontsize=9,
            )
        _unit_square(axes, "confidence the router stated", "share of these answers that were right")

    return drawn("reliability", 4.0, draw, width=4.4)


def _unit_square(axes: Axes, x_label: str, y_label: str) -> None:
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), xticks=ticks, yticks=ticks, xlabel=x_label, ylabel=y_label, aspect="equal")
    axes.grid()


def deferral(points: Sequence[Mapping[str, float]], escalated: float | None) -> str:
    """Share of tasks the system solves over the share it hands to the adapter."""

    def draw(axes: Axes) -> None:
        shares, solved = [100 * point["share"] for point in points], [100 * point["accuracy"] for point in points]
        axes.plot([shares[0], shares[-1]], [solved[0], solved[-1]], color=LINE, linewidth=1.2)
        axes.plot(shares, solved, color=ACCENT, linewidth=1.8, marker="o", markersize=4)
        if escalated is not None:
            axes.axvline(100 * escalated, color=SECOND, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set(xlim=(-2, 102), xlabel="answers handed to the adapter, least confident first, %", ylabel="tasks solved, %")
        axes.set_ylim(0, max(10, min(100, 1.25 * max(solved))))
        axes.grid(axis="y")

    return drawn("deferral", 2.7, draw)
