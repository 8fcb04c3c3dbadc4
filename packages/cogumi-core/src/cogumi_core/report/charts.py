"""The plots of the report, drawn by matplotlib as SVG that stands inside the page.

Two things make them belong to it: text stays text in the page's own font, and colours are names of the style sheet, so that
one drawing serves light, dark and paper. The same data gives the same bytes: no dates, no random ids. matplotlib is imported
when something is drawn.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cogumi_core.api.errors import MissingDependency
from cogumi_core.api.types import Interval, LossPoint, ReliabilityBin
from cogumi_core.report.data import Training

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, LINE, ACCENT, SECOND, PAPER = (f"#0{digit}0{digit}0{digit}" for digit in range(1, 7))
"""Colours nobody would choose, exchanged below for the style sheet's names."""
_VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", ACCENT: "--accent", SECOND: "--second", PAPER: "--paper"}
WIDTH = 5.9
"""Inches; 425 units of the picture, so that its text stays legible on a telephone."""
_SETTINGS = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
MANY = 40
"""Points above which a curve is drawn faint, with its running mean on top."""
LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
"""Curves differ by dash as well as by colour."""


def _drawn(name: str, height: float, draw: Callable[[Axes], None], width: float = WIDTH) -> str:
    """The SVG of one set of axes. `name` keeps the ids of two plots on one page apart."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as exc:
        message = "drawing the report needs matplotlib; try: pip install 'cogumi-core[report]'"
        raise MissingDependency(message) from exc
    settings: dict[str, Any] = {**_SETTINGS, "svg.hashsalt": f"cogumi {name}"}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Letters that the measuring font lacks are drawn by the browser's.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _as_part_of_a_page(out.getvalue())


def _as_part_of_a_page(svg: str) -> str:
    """Without what only a file of its own needs, and with the page's font and colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'font: (?:[0-9]+ )?([0-9.]+px) [^;"]*', r"font: \1 var(--sans)", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", svg)
    svg = re.sub(r' (?:width|height)="[0-9.]+pt"', "", svg, count=2)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg", '<svg role="img"', 1)


def loss_curves(trainings: Sequence[Training]) -> str:
    """Loss over steps: the logged values, and on long runs their running mean on top."""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for index, training in enumerate(trainings):
            steps, losses = [point.step for point in training.losses], [point.loss for point in training.losses]
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
                axes.plot(steps, _smoothed(training.losses), color=colour, linewidth=1.8, linestyle=LINES[index % 4])
            axes.annotate(
                training.name,
                (steps[-1], _smoothed(training.losses)[-1] if many else losses[-1]),
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

    return _drawn("loss", 2.7, draw)


def _smoothed(points: Sequence[LossPoint], weight: float = 0.8) -> list[float]:
    """Exponential running mean, corrected for its start."""
    out: list[float] = []
    total = share = 0.0
    for point in points:
        total = weight * total + (1 - weight) * point.loss
        share = weight * share + (1 - weight)
        out.append(total / share)
    return out


def configurations(name: str, shares: Mapping[str, Interval], strong: str) -> str:
    """Each configuration's share of tasks solved as a dot with its interval, best on top; `strong` is the adapter."""
    ordered = sorted(shares.items(), key=lambda item: item[1].share)

    def draw(axes: Axes) -> None:
        for place, (label, interval) in enumerate(ordered):
            colour = ACCENT if label == strong else MUTED
            axes.plot(
                [100 * interval.low, 100 * interval.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round"
            )
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
        axes.set_yticks(range(len(ordered)), [label for label, _ in ordered])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.6, len(ordered) - 0.3)
        axes.set_xlim(0, 100)
        axes.grid(axis="x")
        axes.set_xlabel("held-out tasks solved, %")

    return _drawn(f"configurations {name}", 0.85 + 0.42 * len(ordered), draw, width=4.9)


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

    return _drawn("reliability", 4.0, draw, width=4.4)


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

    return _drawn("deferral", 2.7, draw)
