"""A run's events for a person: bars on a terminal, plain lines elsewhere. Everything goes to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from cogumi_core.api.events import Event, Listener, Note, StageFailed, StageFinished, StageProgress, StageStarted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 10.0


@contextmanager
def progress_listener() -> Iterator[Listener]:
    """A listener for `run`, fit for what standard error is."""
    if not sys.stderr.isatty():
        yield _Plain()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[detail]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars)


@dataclass
class _Plain:
    """One line when a stage starts and ends, and one now and then in between."""

    last: float = field(default_factory=time.monotonic)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageProgress):
            if time.monotonic() - self.last < PLAIN_SECONDS:
                return
            self.last = time.monotonic()
            _say(f"  {event.stage}: {amount(event)}")
        elif isinstance(event, StageStarted):
            self.last = time.monotonic()
            _say(_started(event))
        else:
            _say(_ended(event))


@dataclass
class _Bars:
    """One bar for the stage under way; finished stages become lines above it."""

    bars: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self.tasks[event.stage] = self.bars.add_task(_started(event), total=None, detail="")
        elif isinstance(event, StageProgress):
            if event.stage in self.tasks:
                self.bars.update(self.tasks[event.stage], completed=event.done, total=event.total, detail=amount(event))
        else:
            task = self.tasks.pop(event.stage, None) if isinstance(event, StageFinished | StageFailed) else None
            if task is not None:
                self.bars.remove_task(task)
            self.bars.console.print(_ended(event), markup=False, highlight=False, soft_wrap=True)


def _started(event: StageStarted) -> str:
    resumed = ", going on where it was stopped" if event.resumed else ""
    return f"[{event.index}/{event.count}] {event.stage}{resumed}"


def _ended(event: Event) -> str:
    if isinstance(event, StageFinished):
        seconds = "in the store" if event.hit else f"{event.seconds:.1f} s"
        return f"  {event.stage}: {seconds}{'; ' if event.summary else ''}{event.summary}"
    if isinstance(event, StageFailed):
        return f"  {event.stage}: stopped after {event.seconds:.1f} s"
    return f"  {event.stage}: {event.message}" if isinstance(event, Note) else ""


def amount(event: StageProgress) -> str:
    """`12/80 answers, loss 1.234`."""
    total = "" if event.total is None else f"/{event.total:g}"
    figures = "".join(f", {name} {value:.4g}" for name, value in event.figures.items())
    return f"{event.done:g}{total} {event.unit}{figures}".rstrip()


def _say(line: str) -> None:
    click.echo(line, err=True)
