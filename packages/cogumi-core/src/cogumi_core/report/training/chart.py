"""The plot of loss over steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cogumi_core.api.types import LossPoint
from cogumi_core.report.drawing import ACCENT, INK, MUTED, SECOND, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY = 40
"""Points above which a curve is drawn faint, with its running mean on top."""
LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
"""Curves differ by dash as well as by colour."""


def loss_curves(curves: Sequence[tuple[str, Sequence[LossPoint]]]) -> str:
    """Loss over steps: the logged values, and on long runs their running mean on top."""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for index, (name, points) in enumerate(curves):
            steps, losses = [point.step for point in points], [point.loss for point in points]
            colour = (ACCENT, SECOND, INK, MUTED)[index % 4]
            many = len(steps) > MANY
            axes.plot(
                steps,
                losses,
                color=colour,
                linewidth=0.7 if many else 1.6,
                alpha=0.4 if many else 1.0,
                linestyle=LINES[index % 4],
            )
            if many:
                axes.plot(steps, _smoothed(points), color=colour, linewidth=1.8, linestyle=LINES[index % 4])
            axes.annotate(
                name,
                (steps[-1], _smoothed(points)[-1] if many else losses[-1]),
                (5, 0),
                textcoords="offset points",
                color=colour,
                va="center",
                annotation_clip=False,
            )
        axes.grid(axis="y")
        axes.set_xlabel("training step")
        axes.set_ylabel("loss, nats per answer token")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
        axes.margins(x=0.02)

    return drawn("loss", 2.7, draw)


def _smoothed(points: Sequence[LossPoint], weight: float = 0.8) -> list[float]:
    """Exponential running mean, corrected for its start."""
    out: list[float] = []
    total = share = 0.0
    for point in points:
        total = weight * total + (1 - weight) * point.loss
        share = weight * share + (1 - weight)
        out.append(total / share)
    return out
