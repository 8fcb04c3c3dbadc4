"""How long Cogumi takes to start: seconds from a new process to its end, minimum and median of N runs.

`python benchmarks/startup.py [--runs N] [--json]`. The limits are those of the design: `import cogumi_core` under 0.15 s on top
of Python's own start, `cogumi --help` under 0.4 s in all. Exit code 1 if the fastest run is over its limit: the fastest,
because slower ones measure what else the computer does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

CLI = "import sys; sys.argv[0] = 'cogumi'; from cogumi_core.cli.main import main; sys.exit(main({arguments!r}))"


@dataclass(frozen=True)
class Timing:
    """One row: seconds of `runs` runs; `limit_s` None where there is none."""

    what: str
    min_s: float
    median_s: float
    runs: int
    limit_s: float | None

    @property
    def within(self) -> bool:
        return self.limit_s is None or self.min_s <= self.limit_s


def measure(what: str, program: str, runs: int, limit_s: float | None) -> Timing:
    """Runs `program` in `runs` new processes, after one that is not counted (it fills the byte-code cache)."""
    seconds = [_once(program) for _ in range(runs + 1)][1:]
    return Timing(what, round(min(seconds), 4), round(statistics.median(seconds), 4), runs, limit_s)


def _once(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure_all(runs: int) -> list[Timing]:
    """Python alone, the import, and three commands."""
    bare = measure("python", "pass", runs, None)
    return [
        bare,
        measure("import cogumi_core", "import cogumi_core", runs, round(bare.min_s + 0.15, 4)),
        measure("cogumi --help", CLI.format(arguments=["--help"]), runs, 0.4),
        measure("cogumi --version", CLI.format(arguments=["--version"]), runs, None),
        measure("cogumi plugins --json", CLI.format(arguments=["plugins", "--json"]), runs, None),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, help="runs of each (default 10)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    timings = measure_all(arguments.runs)
    if arguments.json:
        print(json.dumps([{**asdict(timing), "within": timing.within} for timing in timings], indent=2))
    else:
        print(f"{'':24}{'min s':>8}{'median s':>10}{'runs':>6}{'limit s':>9}")
        for timing in timings:
            limit = "" if timing.limit_s is None else f"{timing.limit_s:.2f}{'' if timing.within else '  OVER'}"
            print(f"{timing.what:24}{timing.min_s:8.3f}{timing.median_s:10.3f}{timing.runs:6}{limit:>9}")
    return 0 if all(timing.within for timing in timings) else 1


if __name__ == "__main__":
    sys.exit(main())
