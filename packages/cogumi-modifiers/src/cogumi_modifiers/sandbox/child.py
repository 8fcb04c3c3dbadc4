"""The inside of the sandbox: `python -I child.py`, with the limits and the program as JSON on standard input.

A script on the standard library alone, run as a process of its own by `cogumi_modifiers.sandbox.runner`; nothing imports it.
There are three processes: the watcher (this one) keeps the wall clock; the keeper is the first process of a new process
namespace, so that everything below dies with it; the program runs in a third, where its limits are set.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
TIMEOUT_EXIT, SIGNAL_BASE = 124, 128
ISOLATED_MARK = b"\x00isolated\x00"
KEEPERS = 2  # watcher and keeper count as processes of the same user
SPAWNING = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen", "pty.spawn")


def main() -> int:
    order = json.loads(sys.stdin.buffer.read())
    isolated = enter_namespaces()
    os.write(1, ISOLATED_MARK if isolated else b"")
    keeper = os.fork()
    if keeper == 0:
        keep(order)
    code = watch(keeper, order["wall_seconds"])
    kill_orphans()
    return code


def enter_namespaces() -> bool:
    """Whether what is forked next gets users, processes and a network (without any device) of its own."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.geteuid() == 0:
        # The kernel does not limit root's number of processes. It looks at the real user, so that one is given away; the
        # effective user stays, because the interpreter's own files may be readable by root alone.
        with contextlib.suppress(OSError):
            os.setresuid(200_000 + os.getpid() % 1_000_000, 0, 0)
    return bool(libc.unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC) == 0)


def watch(keeper: int, seconds: float) -> int:
    """The program's exit code (128 and the signal's number if one ended it), or TIMEOUT_EXIT."""

    def ring(signum: int, frame: object) -> NoReturn:
        raise TimeoutError

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        _, status = os.waitpid(keeper, 0)
    except TimeoutError:
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        return TIMEOUT_EXIT
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return exit_code(status)


def exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNAL_BASE - code


def kill_orphans() -> None:
    """Without a process namespace, what the program left behind has become this process's child: kill until none is left."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(OSError):
        while pids := children.read_text().split():
            for pid in map(int, pids):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def keep(order: dict[str, Any]) -> NoReturn:
    """Starts the program and reaps whatever ends, until the program does."""
    die_with_parent()
    program = os.fork()
    if program == 0:
        run_program(order)
    while True:
        pid, status = os.wait()
        if pid == program:
            os._exit(exit_code(status))


def die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run_program(order: dict[str, Any]) -> NoReturn:
    """Takes the limits, then becomes the program."""
    die_with_parent()
    set_limits(order)
    sys.addaudithook(refuse_with(SPAWNING if order["processes"] <= 1 else ()))
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["program.py"]
    code = 0
    try:
        exec(compile(order["program"], "program.py", "exec"), module.__dict__)
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:  # noqa: BLE001 - whatever a model's program raises is its answer
        sys.excepthook(*sys.exc_info())
        code = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(code & 0xFF)


def set_limits(order: dict[str, Any]) -> None:
    cpu = order["cpu_seconds"]
    wanted = [
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_AS, order["memory_bytes"], order["memory_bytes"]),
        (resource.RLIMIT_FSIZE, order["file_bytes"], order["file_bytes"]),
        (resource.RLIMIT_NPROC, order["processes"] + KEEPERS, order["processes"] + KEEPERS),
        (resource.RLIMIT_NOFILE, order["open_files"], order["open_files"]),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    for kind, soft, hard in wanted:
        # macOS refuses some of these; the others still hold.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (soft, hard))


def refuse_with(names: tuple[str, ...]) -> Any:
    """An audit hook, which Python code cannot take away again: the second fence, and the only one without namespaces."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith("socket.") or event in names:
            raise PermissionError(f"the sandbox does not allow {event}")  # noqa: EM102
        if event == "open" and str(arguments[0]).startswith("/proc"):
            raise PermissionError("the sandbox does not allow reading /proc")  # noqa: EM101

    return refuse


if __name__ == "__main__":
    sys.exit(main())
