"""Child processes of tests: waited for whatever happens, killed when the test fails, never raced against a clock.

A test that needs its child to be at a certain point lets the child say so (a line, a file) or hold there. How long that takes
is nobody's business: pytest's own time limit ends a test that hangs, and leaving the block then kills the child.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PAUSE = 0.01


@contextmanager
def running(*command: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Starts a program with text pipes, in a process group of its own, of which nothing is left after the block."""
    words = [str(word) for word in command]
    with subprocess.Popen(words, **{"text": True, "start_new_session": True, **options}) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def python(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs Python code to its end, with this interpreter."""
    return finished(sys.executable, "-c", code, *arguments, **options)


def finished(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and keeps what it printed."""
    words = [str(word) for word in command]
    return subprocess.run(words, **{"capture_output": True, "text": True, "check": False, **options})


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[Any] | None = None) -> None:
    """Waits for something that is sure to come; fails if `process`, which should bring it about, has ended before."""
    while not happened():
        ended = process is not None and process.poll() is not None
        assert not ended or happened(), f"the process ended with {process and process.returncode} before it happened"
        time.sleep(PAUSE)


def children() -> dict[int, str]:
    """Command lines of this process's children, by process id; empty where the system does not tell (outside Linux)."""
    found: dict[int, str] = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found |= {int(pid): _command(int(pid)) for pid in listing.read_text().split()}
    return found


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip() or "(ended)"
    return "(gone)"
