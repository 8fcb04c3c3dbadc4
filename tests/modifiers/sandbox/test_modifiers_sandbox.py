"""What a program in the sandbox cannot do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from processes import finished

from cogumi_modifiers.sandbox.runner import Limits, SandboxResult, run_python

PATIENT = {"wall_seconds": 300.0, "cpu_seconds": 60}
"""Limits that no program here comes near, on however busy a machine; where a limit is the claim, the test sets its own."""
FORK_BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError as error:
        print("refused", error.errno, flush=True)
        os._exit(0)
"""
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
    os._exit(0)
print("done")
"""


def _run(program: str, **limits: object) -> SandboxResult:
    return run_python(program, Limits(**{**PATIENT, **limits}))  # type: ignore[arg-type]


def _processes_with(mark: str) -> list[str]:
    lines = finished("ps", "-eo", "pid,args").stdout.splitlines()
    return [line for line in lines if mark in line and "ps -eo" not in line]


def test_a_program_runs_and_its_output_comes_back() -> None:
    result = _run("import heapq\nprint(heapq.nsmallest(1, [3, 1]))")
    assert (result.status, result.output) == ("ok", "[1]\n")


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("raise SystemExit(3)", "error"),
        ("1 / 0", "error"),
        ("x ==== 1", "error"),
        ("print('\\ud800')", "error"),
        ("import os; os.abort()", "killed"),
        ("import os; os._exit(0)", "ok"),
        ("raise SystemExit(124)", "error"),
    ],
)
def test_every_end_has_its_status(program: str, status: str) -> None:
    assert _run(program).status == status


def test_an_endless_loop_ends_at_the_cpu_limit() -> None:
    assert _run("while True: pass", cpu_seconds=1).status == "killed"


def test_sleeping_ends_at_the_wall_clock_limit() -> None:
    assert _run("import time; time.sleep(3600)", wall_seconds=0.5).status == "timeout"


def test_starting_processes_is_refused() -> None:
    assert "does not allow os.fork" in _run("import os\nos.fork()").output


def test_a_fork_bomb_stays_within_the_number_of_processes() -> None:
    result = _run(FORK_BOMB, processes=6)
    assert "refused 11" in result.output


def test_a_memory_hog_gets_a_memory_error() -> None:
    assert "MemoryError" in _run("x = []\nwhile True: x.append(bytearray(10**7))", memory_bytes=1 << 28).output


def test_a_huge_file_is_refused() -> None:
    result = _run("open('a', 'wb').write(b'x' * 10**7)", file_bytes=1 << 16)
    assert "File too large" in result.output


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('127.0.0.1', 22), 1)",
        "import socket; socket.socket()",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')",
    ],
)
def test_the_network_is_out_of_reach(program: str) -> None:
    result = _run(program)
    assert result.status == "error"
    assert "does not allow socket" in result.output


def test_a_flood_of_output_is_cut_and_the_program_still_ends() -> None:
    result = _run("print('x' * 10**7)\nraise SystemExit(5)", output_bytes=1000)
    assert (len(result.output), result.truncated, result.exit_code) == (1000, True, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux's process list")
def test_what_a_program_leaves_running_dies_with_it() -> None:
    assert _run(DAEMON, processes=6).output == "done\n"
    assert not _processes_with("sandbox_child")


@pytest.mark.parametrize(
    "place", ["os.environ", "open(f'/proc/{os.getppid()}/environ').read()", "open('/proc/1/environ').read()"]
)
def test_the_environment_with_its_secrets_is_not_seen(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hush")
    assert "hush" not in _run(f"import os\nprint({place})").output


def test_the_folder_is_empty_and_gone_afterwards() -> None:
    program = "import os; print(os.getcwd(), os.listdir()); os.mkdir('d'); open('d/f', 'w').close(); os.chmod('d', 0)"
    folder, _, listed = _run(program).output.strip().partition(" ")
    assert listed == "[]"
    assert not Path(folder).exists()


def test_the_callers_own_limits_and_folder_are_untouched() -> None:
    before = (Path.cwd(), os.getuid(), os.umask(0o022))
    _run("import os; os.chdir('/')")
    assert (Path.cwd(), os.getuid(), os.umask(before[2])) == (before[0], before[1], 0o022)
