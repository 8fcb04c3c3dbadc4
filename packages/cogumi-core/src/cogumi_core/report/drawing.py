"""How the plots of the report are drawn: by matplotlib, as SVG that stands inside the page.

Two things make them belong to it: text stays text in the page's own font, and colours are names of the style sheet, so that
one drawing serves light, dark and paper. The same data gives the same bytes: no dates, no random ids. matplotlib is imported
when something is drawn.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cogumi_core.api.errors import MissingDependency

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


def drawn(name: str, height: float, draw: Callable[[Axes], None], width: float = WIDTH) -> str:
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
