"""What installing this package brings: an engine, three commands, and nothing heavy until they are used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from processes import python

from cogumi_core import Registry


def test_the_engine_and_the_commands_are_found() -> None:
    registry = Registry.installed()
    assert "llama-cpp" in registry.names("engine")
    assert registry.get("engine", "llama-cpp").component.accepts == {"gguf"}
    assert callable(registry.create("engine", "llama-cpp", threads=1).open)


@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's OpenMP, which llama.cpp uses on Linux")
@pytest.mark.parametrize(
    ("own", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
    ids=["ours", "the person's count", "the person's policy"],
)
def test_threads_of_llama_cpp_spin_shortly_unless_the_person_chose(own: dict[str, str], spins: str) -> None:
    environ = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    program = (
        "import os, cogumi_serve.engines.llama_cpp.native\nprint(*map(os.environ.get, ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY')))"
    )
    done = python(program, env={**environ, **own, "OMP_DISPLAY_ENV": "verbose"})
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr
    assert done.stdout.split() == [own.get(name, "None") for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")]


@pytest.mark.model
@pytest.mark.parametrize("amx", [True, False])
def test_buffers_that_would_use_amx_are_left_alone(amx: bool, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cogumi_serve.engines.llama_cpp import native as llama_native

    asked: list[bool] = []
    real = llama_native.lib.llama_model_load_from_file
    info = b"AVX512 = 1 | AMX_INT8 = %d | " % amx
    monkeypatch.setattr(llama_native.lib, "llama_print_system_info", lambda: info)
    monkeypatch.setattr(
        llama_native.lib, "llama_model_load_from_file", lambda path, p: (asked.append(p.use_extra_bufts), real(path, p))[1]
    )
    llama_native.Model(smollm2, vocab_only=True, mmap=True).close()
    assert asked == [not amx]


def test_the_plugin_module_and_its_commands_import_nothing_heavy() -> None:
    program = (
        "import sys, cogumi_serve.plugin, cogumi_serve.engines.settings\n"
        "import cogumi_serve.commands.ask, cogumi_serve.commands.chat, cogumi_serve.commands.serve\n"
        "print([name for name in ('numpy', 'fastapi', 'uvicorn', 'llama_cpp', 'jinja2') if name in sys.modules])"
    )
    done = python(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
