"""Where the boxes of the chain stand and how the arrows run. The template draws it as inline SVG.

Boxes go left to right and wrap like text, in the order in which the stages ran.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cogumi_core.report.wording import shortened

Text = tuple[str, str, str, str]
"""Label, title, figure and digest of one box."""
WIDTH, HEIGHT = 148, 82
GAP_X, GAP_Y = 28, 30
EDGE = 1
"""Room for the outline at the border."""
LETTERS = 19
"""That fit into a box."""


@dataclass(frozen=True, slots=True)
class Box:
    """A stage, its upper left corner at (x, y)."""

    x: int
    y: int
    label: str
    title: str
    figure: str
    digest: str
    last: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """`arrows` are SVG path data."""

    width: int
    height: int
    boxes: Sequence[Box]
    arrows: Sequence[str]


def picture(texts: Sequence[Text], columns: int) -> Picture:
    """Rows of at most `columns` boxes, as even as can be, for at least one text."""
    columns = math.ceil(len(texts) / math.ceil(len(texts) / columns))
    places = [_place(index, columns) for index in range(len(texts))]
    boxes = [_box(place, text, last=text is texts[-1]) for place, text in zip(places, texts, strict=True)]
    arrows = [_arrow(start, end) for start, end in pairwise(places)]
    width = max(x for x, _ in places) + WIDTH + EDGE
    return Picture(width, places[-1][1] + HEIGHT + EDGE, boxes, arrows)


def _box(place: tuple[int, int], text: Text, *, last: bool) -> Box:
    label, title, figure, digest = (shortened(part, LETTERS) for part in text)
    return Box(*place, label, title, figure, digest, last)


def _place(index: int, columns: int) -> tuple[int, int]:
    row, column = divmod(index, columns)
    return EDGE + column * (WIDTH + GAP_X), EDGE + row * (HEIGHT + GAP_Y)


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    """Straight along a row; from the end of one row below the box and back to the start of the next."""
    if start[1] == end[1]:
        middle = start[1] + HEIGHT // 2
        return f"M{start[0] + WIDTH} {middle} H{end[0] - 2}"
    across, down = start[0] + WIDTH // 2, start[1] + HEIGHT
    return f"M{across} {down} V{down + GAP_Y // 2} H{end[0] + WIDTH // 2} V{end[1] - 2}"
