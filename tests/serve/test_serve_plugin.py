"""What installing this package brings: an engine, three commands, and nothing heavy until they are used."""

from __future__ import annotations

import subprocess
import sys

from cogumi_core import Registry


def test_the_engine_and_the_commands_are_found() -> None:
    registry = Registry.installed()
    assert "llama-cpp" in registry.names("engine")
    assert registry.create("engine", "llama-cpp", threads=1).formats == {"gguf"}


def test_the_plugin_module_and_its_commands_import_nothing_heavy() -> None:
    program = (
        "import sys, cogumi_serve.plugin, cogumi_serve.config, cogumi_serve.commands\n"
        "print([name for name in ('numpy', 'fastapi', 'uvicorn', 'llama_cpp', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
