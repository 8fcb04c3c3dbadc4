"""The process that calls `llama_model_quantize`: `python -m cogumi_compress.gguf.native_quantize JOB`, JOB as JSON.

A process of its own, because the library prints on the terminal, aborts on some inputs, and cannot be told to stop. Here an
abort is an exit code, and the parent can end the work at any moment; if the parent dies, standard input closes and this process
goes with it, so that nobody writes on after a kill. Progress goes to standard output as `done total`, messages to standard
error.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
import threading
from typing import Any, Final

_WARNING, _ERROR = 2, 3
_STEP: Final = re.compile(rb"\[\s*(\d+)/\s*(\d+)\]")


def main(job: str) -> int:
    """Quantises as the job says and returns the exit code: 0 done, 1 refused by the library."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import llama_cpp

    callback = llama_cpp.llama_log_callback(_on_log)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    wanted: dict[str, Any] = json.loads(job)
    params = llama_cpp.llama_model_quantize_default_params()
    for name, value in wanted["params"].items():
        setattr(params, name, value)
    result: int = llama_cpp.llama_model_quantize(
        os.fsencode(wanted["input"]), os.fsencode(wanted["output"]), ctypes.byref(params)
    )
    return 1 if result else 0


def _on_log(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    step = _STEP.match(text)
    if step:
        sys.stdout.write(f"{int(step[1])} {int(step[2])}\n")
        sys.stdout.flush()
    elif level in (_WARNING, _ERROR):
        sys.stderr.write(text.decode("utf-8", "replace"))
        sys.stderr.flush()


def _end_with_parent() -> None:
    # Not sys.stdin: its lock, held by a waiting thread, would make the interpreter abort at exit.
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
