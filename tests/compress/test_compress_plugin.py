"""What the package offers, and that offering it costs nothing."""

from __future__ import annotations

import subprocess
import sys

from cogumi_compress import plugin
from cogumi_core import Component

HEAVY = ("numpy", "gguf", "zstandard", "llama_cpp", "torch", "transformers", "pydantic", "click")


def components() -> dict[str, Component]:
    return {component.name: component for component in plugin.cogumi_register_compressors()}


def test_formats_of_the_components_chain() -> None:
    found = components()
    assert found["gguf"].accepts == {"hf", "gguf"}
    assert found["zstd"].accepts == {found["gguf"].produces}
    assert found["zstd"].produces == "zstd"


def test_the_packer_and_the_exact_exporter_say_what_they_are() -> None:
    found = components()
    assert {name for name, component in found.items() if component.packs} == {"zstd"}
    exact = found["gguf"].exact
    assert exact is not None
    assert found["gguf"].load_config().model_validate(dict(exact)).model_dump()["type"] == "exact"


def test_factories_settings_and_estimates_load() -> None:
    from cogumi_core.api.component import load_object

    for component in components().values():
        made = component.load_factory()(component.load_config()(), None)
        assert callable(made.compress)
        if isinstance(component.estimate, str):
            assert callable(load_object(component.estimate))


def test_the_plugin_module_brings_no_heavy_library() -> None:
    code = f"import sys, cogumi_compress.plugin; print([n for n in {HEAVY!r} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_exporter_brings_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, cogumi_compress.gguf.export, cogumi_compress.zstd.compressor;"
        "print([n for n in ('torch', 'transformers', 'llama_cpp') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
