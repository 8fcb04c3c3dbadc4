"""After `kill -9` nothing half written is in the output, nobody writes on, and the same call goes through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compress_support import write_tiny

SCRIPT = """
import sys
from pathlib import Path
from cogumi_compress.config import GgufSettings, ZstdSettings
from cogumi_compress.gguf_compressor import GgufCompressor
from cogumi_compress.zstd_compressor import ZstdCompressor
from cogumi_core.interfaces import RunContext, Services
from cogumi_core.types import ModelRef

def progress(done, total=None, unit=""):
    print(unit, flush=True)

kind, model, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
made = GgufCompressor(GgufSettings(type="Q4_K_M", threads=1)) if kind == "gguf" else ZstdCompressor(ZstdSettings(level=19))
run = RunContext(1, folder / "scratch", Services(None), progress)
made.compress(ModelRef(model, "hf", ""), folder / "output", iter(()), run)
"""


def start(kind: str, model: Path, folder: Path) -> subprocess.Popen[str]:
    for name in ("scratch", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", SCRIPT, kind, str(model), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def users_of(folder: Path) -> list[str]:
    """Processes that name the folder on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to see other processes")
@pytest.mark.parametrize(("kind", "unit"), [("gguf", "bytes"), ("gguf", "tensors"), ("zstd", "bytes")])
def test_a_kill_leaves_nothing_and_the_next_run_completes(kind: str, unit: str, tmp_path: Path, tiny_gguf: Path) -> None:
    wide = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8}
    model = write_tiny(tmp_path / "model", **wide) if kind == "gguf" else tiny_gguf
    with start(kind, model, tmp_path) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.strip() == unit)
        process.send_signal(signal.SIGKILL)
    assert list((tmp_path / "output").iterdir()) == []
    deadline = time.monotonic() + 10
    while users_of(tmp_path / "scratch") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert users_of(tmp_path / "scratch") == []
    with start(kind, model, tmp_path) as process:
        process.communicate()
    assert process.returncode == 0
    assert len(list((tmp_path / "output").iterdir())) == 1
