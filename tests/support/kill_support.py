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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from processes import running, wait_until

BUILT = re.compile(r"^  (?P<stage>[^\s:]+(?::[\w-]+)*): \d+\.\d s", re.MULTILINE)


@dataclass
class Runs:
    """All runs of one recipe on one store."""

    recipe: Path
    folder: Path
    logs: list[str] = field(default_factory=list)
    kills: int = 0

    @contextmanager
    def start(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "cogumi_core.cli.main", "run", str(self.recipe)]
        command += ["--store", str(self.folder / "store"), "--out", str(self.folder / "out")]
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            self.log.open("w", encoding="utf-8") as lines,
            running(*command, stderr=lines, stdout=subprocess.DEVNULL) as process,
        ):
            yield process

    @property
    def log(self) -> Path:
        """What the run under way writes on standard error."""
        return self.folder / f"log-{len(self.logs)}.txt"

    def finish(self, process: subprocess.Popen[str]) -> int:
        code = process.wait()
        self.logs.append(self.log.read_text(encoding="utf-8"))
        return code

    def complete(self) -> float:
        """One undisturbed run, which must end well; its seconds."""
        started = time.monotonic()
        with self.start() as process:
            code = self.finish(process)
        assert code == 0, self.logs[-1]
        return time.monotonic() - started

    def kill_at_random(self, times: int, longest: float, seed: int) -> None:
        """Kills `times` runs: the first as soon as it builds something, each further one a random time of at most `longest`
        seconds after it has said its first word. The clock only chooses: whatever it chooses must end well, and a run that
        ends before its time is no kill."""
        rng = random.Random(seed)
        with self.start() as process:
            wait_until(lambda: any((self.folder / "store" / "building").glob("*")), process)
            self._kill(process)
        while self.kills < times:
            with self.start() as process:
                wait_until(lambda: self.log.stat().st_size > 0 or process.poll() is not None)
                time.sleep(rng.uniform(0.0, longest))
                self._kill(process)
            if process.returncode == 0:
                return

    def _kill(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            self.kills += 1
        self.finish(process)

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
