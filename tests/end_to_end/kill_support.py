"""Runs `cogumi run`, kills it with SIGKILL at random moments, runs it again, and looks at what was left and done twice."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

BUILT = re.compile(r"^  (?P<stage>[^\s:]+(?::[\w-]+)*): \d+\.\d s", re.MULTILINE)


@dataclass
class Runs:
    """All runs of one recipe on one store."""

    recipe: Path
    folder: Path
    logs: list[str] = field(default_factory=list)
    kills: int = 0

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cogumi_core.cli.main", "run", str(self.recipe)]
        command += ["--store", str(self.folder / "store"), "--out", str(self.folder / "out")]
        self.folder.mkdir(parents=True, exist_ok=True)
        log = (self.folder / f"log-{len(self.logs)}.txt").open("w", encoding="utf-8")
        with log:
            return subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL, text=True, start_new_session=True)

    def finish(self, process: subprocess.Popen[str]) -> int:
        code = process.wait(timeout=3000)
        self.logs.append((self.folder / f"log-{len(self.logs)}.txt").read_text(encoding="utf-8"))
        return code

    def complete(self) -> float:
        """One undisturbed run, which must end well; its seconds."""
        started = time.monotonic()
        code = self.finish(self.start())
        assert code == 0, self.logs[-1]
        return time.monotonic() - started

    def kill_at_random(self, times: int, longest: float, seed: int) -> None:
        """Kills `times` runs, each after a random time of at most `longest` seconds. A run that ends before is no kill."""
        rng = random.Random(seed)
        while self.kills < times:
            process = self.start()
            try:
                process.wait(timeout=rng.uniform(0.5, longest))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                self.kills += 1
            if self.finish(process) == 0:
                return

    def built_twice(self) -> list[str]:
        """Stages that finished more than once over all runs."""
        counts = Counter(match["stage"] for log in self.logs for match in BUILT.finditer(log))
        return [stage for stage, count in counts.items() if count > 1]

    def answered_twice(self) -> int:
        """Calls that were settled more than once."""
        with sqlite3.connect(self.folder / "store" / "calls.sqlite") as database:
            rows = database.execute("SELECT count(*) FROM (SELECT key FROM ledger GROUP BY key HAVING count(*) > 1)")
            return int(rows.fetchone()[0])

    def digests(self) -> dict[str, tuple[str, bool]]:
        """Stage -> (payload digest, whether it is deterministic)."""
        manifests = [json.loads(path.read_text()) for path in (self.folder / "store" / "artifacts").glob("*/manifest.json")]
        return {row["stage"]: (row["digest"], row["deterministic"]) for row in manifests}
