"""Runs a program that a model wrote, in a limited subprocess.

Limited are CPU time, memory, file size, number of processes and of open files, wall-clock time and captured output; the program
gets a temporary folder, a clean environment and no network. This is process isolation, NOT a security boundary: it stops
mistakes (endless loops, exhausted memory, stray files, accidental calls out), not an attacker who knows the kernel. Run
untrusted models inside a container or a virtual machine as well.

How strong it is depends on the system. On Linux with user namespaces the program lives in its own user, process and network
namespaces: it has no network device, cannot read other processes' environments, and everything it started dies with it. Without
them (`SandboxResult.isolated` False) an audit hook inside the interpreter refuses sockets and new processes, which native code
could get around. Windows has no resource limits of this kind and is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final, Literal

from cogumi_core import InputError

Status = Literal["ok", "error", "timeout", "killed"]
CHILD: Final = Path(__file__).with_name("child.py")
GRACE_SECONDS: Final = 2.0
TIMEOUT_EXIT: Final = 124
"""What the child ends with when the wall-clock time is up, as `timeout(1)` does."""
ISOLATED_MARK: Final = b"\x00isolated\x00"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes and counts. `processes` are those the program may have at one time, itself included."""

    wall_seconds: float = 5.0
    cpu_seconds: int = 4
    memory_bytes: int = 1 << 30
    file_bytes: int = 1 << 20
    processes: int = 1
    open_files: int = 32
    output_bytes: int = 64 << 10


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """`ok`: ended with exit code 0. `error`: another exit code. `killed`: by a signal, such as a limit's. `output` is standard
    output and error together, cut at the limit. `isolated`: ran in namespaces of its own."""

    status: Status
    exit_code: int
    output: str
    truncated: bool
    seconds: float
    isolated: bool


def run_python(program: str, limits: Limits | None = None) -> SandboxResult:
    """Runs `program` as `__main__`. Never raises for what the program does; raises InputError on a system without limits."""
    if os.name != "posix":
        message = "programs can only be run with resource limits on Linux and macOS; grade this benchmark there or in WSL"
        raise InputError(message)
    limits = limits or Limits()
    folder = Path(tempfile.mkdtemp(prefix="cogumi-sandbox-"))
    try:
        return _run(program, limits, folder)
    finally:
        _remove(folder)


def _run(program: str, limits: Limits, folder: Path) -> SandboxResult:
    started = time.monotonic()
    order = json.dumps({**asdict(limits), "program": program}).encode("utf-8", "surrogatepass")
    with _start(folder) as process:
        try:
            output, truncated, timed_out = _talk(process, order, limits, started + limits.wall_seconds + GRACE_SECONDS)
        finally:
            _kill_group(process)
    seconds = time.monotonic() - started
    timed_out = timed_out or (process.returncode == TIMEOUT_EXIT and seconds >= limits.wall_seconds)
    isolated = output.startswith(ISOLATED_MARK)
    text = output.removeprefix(ISOLATED_MARK)[: limits.output_bytes].decode("utf-8", "replace")
    return SandboxResult(_status(process.returncode, timed_out), process.returncode, text, truncated, seconds, isolated)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-B", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={"HOME": str(folder), "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
        start_new_session=True,
    )


def _talk(process: subprocess.Popen[bytes], order: bytes, limits: Limits, deadline: float) -> tuple[bytes, bool, bool]:
    """Sends the order and reads to the end: (first bytes of the output, was there more, did time run out)."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(order)
        process.stdin.close()
    kept, truncated, ended = _drain(process.stdout, limits.output_bytes + len(ISOLATED_MARK), deadline)
    if not ended:
        return kept, truncated, True
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return kept, truncated, True
    return kept, truncated, False


def _drain(pipe: IO[bytes], keep: int, deadline: float) -> tuple[bytes, bool, bool]:
    # Past the limit the pipe is still emptied: a program that prints too much is graded, not blocked until its time is up.
    kept, truncated = bytearray(), False
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                continue
            chunk = os.read(pipe.fileno(), 1 << 16)
            if not chunk:
                return bytes(kept), truncated, True
            truncated = truncated or len(kept) + len(chunk) > keep
            kept += chunk[: keep - len(kept)]
    return bytes(kept), truncated, False


def _status(code: int, timed_out: bool) -> Status:
    if timed_out:
        return "timeout"
    if code == 0:
        return "ok"
    return "killed" if code < 0 or code > 128 else "error"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _remove(folder: Path) -> None:
    # A program may have taken its own permissions away.
    for path in (folder, *(item for item in folder.rglob("*") if item.is_dir() and not item.is_symlink())):
        with contextlib.suppress(OSError):
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
