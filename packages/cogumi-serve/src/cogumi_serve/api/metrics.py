"""Counters in Prometheus' text form. Own, because three counters and a histogram need no library.

Used from the event loop only, and so without a lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds."""

_HELP: Final = {
    "cogumi_requests_total": "HTTP requests to the API, by endpoint and status.",
    "cogumi_answers_total": "Answers begun, by who answered.",
    "cogumi_tokens_total": "Tokens of answered requests, by kind.",
    "cogumi_cancelled_total": "Requests whose client left before the end.",
}


class Metrics:
    """What happened since the start."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._buckets = [0] * len(BUCKETS)
        self._seconds, self._answers = 0.0, 0

    def count(self, name: str, amount: int = 1, **labels: str | int) -> None:
        self._counts[name, ",".join(f'{key}="{_escape(str(value))}"' for key, value in labels.items())] += amount

    def observe(self, seconds: float) -> None:
        """The whole time of one answer."""
        self._seconds += seconds
        self._answers += 1
        for index, bound in enumerate(BUCKETS):
            self._buckets[index] += seconds <= bound

    def text(self, load: int) -> str:
        """The page for Prometheus; `load`: requests under way and waiting."""
        return "\n".join([*self._counters(), *self._histogram(), *_gauge("cogumi_load", "Requests under way.", load), ""])

    def _counters(self) -> Iterator[str]:
        for name, text in _HELP.items():
            yield f"# HELP {name} {text}"
            yield f"# TYPE {name} counter"
            for (counted, labels), value in sorted(self._counts.items()):
                if counted == name:
                    yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"

    def _histogram(self) -> Iterator[str]:
        name = "cogumi_answer_seconds"
        yield f"# HELP {name} Whole time of an answer."
        yield f"# TYPE {name} histogram"
        for bound, value in zip(BUCKETS, self._buckets, strict=True):
            yield f'{name}_bucket{{le="{bound}"}} {value}'
        yield f'{name}_bucket{{le="+Inf"}} {self._answers}'
        yield f"{name}_sum {self._seconds:.6f}"
        yield f"{name}_count {self._answers}"


def _gauge(name: str, text: str, value: int) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name} {value}"]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
