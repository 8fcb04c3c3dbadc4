"""How long a routing decision takes beyond its signals: milliseconds on a long query, median and 99th percentile of N.

`python benchmarks/route.py [--runs N] [--json]`. The router is fitted on made-up answers, which says nothing of its quality and
does not change how long it decides. The query is a HumanEval prompt twenty times over, the answer 800 tokens long.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cogumi_core import AdapterInfo, Message, Registry, RouteExample, RouteRequest, RunContext
from cogumi_core.api.locate import locate
from cogumi_core.formats.benchmarks.humaneval import PROBLEMS, read_humaneval

ADAPTERS = (AdapterInfo("code", "code"), AdapterInfo("automation", "automation", needs_schema=True))


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one decision."""

    router: str
    runs: int
    median_ms: float
    p99_ms: float


def measure(name: str, runs: int) -> Timing:
    """Fits the router `name` on 120 made-up rows of two domains, then decides `runs` times."""
    registry = Registry.installed()
    router = registry.create("router", name)
    prompts = [row.prompt for row in read_humaneval(locate(PROBLEMS))]
    with tempfile.TemporaryDirectory() as folder:
        output, scratch = Path(folder, "output"), Path(folder, "scratch")
        output.mkdir()
        scratch.mkdir()
        router.fit(_rows(prompts), output, RunContext(17, scratch, registry.services))
        decider = router.open(output)
    request = RouteRequest((Message("user", prompts[0] * 20),), "?", (-1.0, -2.0) * 400, ADAPTERS)
    seconds = [_once(decider, request) for _ in range(runs + 1)][1:]
    return Timing(name, runs, round(1e3 * float(np.median(seconds)), 4), round(1e3 * float(np.quantile(seconds, 0.99)), 4))


def _rows(prompts: list[str]) -> list[RouteExample]:
    rows = []
    for index, prompt in enumerate(prompts[:60]):
        for domain, text in (("code", prompt), ("automation", f"Book flight {index} to Oslo for {index % 5} adults")):
            correct = index % 2 == 0
            split = "fit" if index % 3 else "held-out"
            asked = (Message("user", text),)
            rows.append(RouteExample(asked, domain, split, "x", (-0.1 if correct else -2.0,) * 20, correct))
    return rows


def _once(decider: object, request: RouteRequest) -> float:
    start = time.perf_counter()
    decider.decide(request)  # type: ignore[attr-defined]
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="decisions (default 1000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    timings = [measure(name, given.runs) for name in Registry.installed().names("router")]
    if given.json:
        print(json.dumps([asdict(timing) for timing in timings], indent=2))
        return
    print(f"{'router':16}{'runs':>7}{'median ms':>11}{'p99 ms':>9}")
    for timing in timings:
        print(f"{timing.router:16}{timing.runs:7}{timing.median_ms:11.3f}{timing.p99_ms:9.3f}")


if __name__ == "__main__":
    main()
