"""After `kill -9` nothing half written is in the output, nobody writes on, and the same call goes through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from compress_support import write_tiny
from processes import running, wait_until

SCRIPT = """
import sys, time
from pathlib import Path
from cogumi_compress.gguf.settings import GgufSettings
from cogumi_compress.zstd.settings import ZstdSettings
from cogumi_compress.gguf.compressor import GgufCompressor
from cogumi_compress.zstd.compressor import ZstdCompressor
from cogumi_core import RunContext, Services
from cogumi_core import ModelRef

def progress(done, total=None, unit=""):
    print(unit, flush=True)
    if unit == hold:
        time.sleep(3600)

kind, model, folder, hold = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
made = GgufCompressor(GgufSettings(type="Q4_K_M", threads=1)) if kind == "gguf" else ZstdCompressor(ZstdSettings(level=19))
run = RunContext(1, folder / "scratch", Services(None), progress)
made.compress(ModelRef(model, "hf", ""), folder / "output", run)
"""


def start(kind: str, model: Path, folder: Path, hold: str = "") -> AbstractContextManager[subprocess.Popen[str]]:
    """A compression that holds for ever where its progress is in the unit `hold`."""
    for name in ("scratch", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-c", SCRIPT, kind, model, folder, hold)
    return running(*command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})


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
    with start(kind, model, tmp_path, hold=unit) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.strip() == unit)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert list((tmp_path / "output").iterdir()) == []
        wait_until(lambda: not users_of(tmp_path / "scratch"))
    with start(kind, model, tmp_path) as process:
        process.communicate()
    assert process.returncode == 0
    assert len(list((tmp_path / "output").iterdir())) == 1
