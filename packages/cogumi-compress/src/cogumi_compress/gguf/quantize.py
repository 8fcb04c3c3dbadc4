"""Quantises a GGUF file with llama.cpp in a child process, with progress, interruption and readable errors."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cogumi_compress.gguf.allocation import Mix
from cogumi_core import EngineError

Progress = Callable[[float, float | None, str], None]
_LAST_LINES: Final = 4


def quantize_gguf(source: Path, target: Path, mix: Mix, *, threads: int = 0, progress: Progress | None = None) -> None:
    """Writes `source` with the types of `mix` to `target`, which appears only when it is complete. `threads` 0: all cores;
    the bytes do not depend on it. Raises EngineError with the library's own message."""
    temporary = target.with_name(f".{target.name}.part")
    job = {"input": str(source), "output": str(temporary), "params": _params(mix, threads)}
    command = [sys.executable, "-m", "cogumi_compress.gguf.native_quantize", json.dumps(job)]
    messages = target.with_name(f".{target.name}.log")
    try:
        with messages.open("wb") as log:
            code = _run(command, log, progress)
        if code:
            raise EngineError(_explain(source, mix, code, messages.read_text(encoding="utf-8", errors="replace")))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        messages.unlink(missing_ok=True)


def _params(mix: Mix, threads: int) -> dict[str, Any]:
    params: dict[str, Any] = {"ftype": mix.type.number, "nthread": threads, "allow_requantize": True, "pure": mix.pure}
    if mix.embedding:
        params["token_embedding_type"] = mix.embedding.number
    if mix.output:
        params["output_tensor_type"] = mix.output.number
    return params


def _run(command: list[str], log: Any, progress: Progress | None) -> int:
    # A session of its own: Ctrl-C reaches only this process, which then ends the child in its own time.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
    ) as child:
        try:
            for line in child.stdout or ():
                done, _, total = line.partition(" ")
                if progress:
                    progress(float(done), float(total), "tensors")
            return child.wait()
        finally:
            child.kill()


def _explain(source: Path, mix: Mix, code: int, messages: str) -> str:
    lines = [line.strip() for line in messages.splitlines() if line.strip(" =")]
    said = "; ".join(lines[-_LAST_LINES:]) or "it gave no reason"
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else "refused"
    what = f"llama.cpp could not quantise {source} to {mix.type.name} ({how}): {said}"
    return f"{what}. Check free memory and disk, or try another type"
