"""A benchmark of a third party, named in the settings of a modifier of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import modifiers_domain_support as support
import pytest
import torch
from modifiers_domain_support import SETTINGS, FoxSettings, build, registry_with_foxes
from pydantic import Field

from cogumi_compress.gguf.export import export_gguf
from cogumi_core import Benchmark, Component, RecipeError, Use, parse_recipe, run
from cogumi_core.store.fingerprint import component_for_fingerprint, input_files
from cogumi_core.testing import IsolatedPlugins
from cogumi_modifiers.domains.settings import DomainSettings
from cogumi_modifiers.testing import tiny_llama


class ZooSettings(DomainSettings):
    """What a plugin writes to give a domain a name of its own."""

    benchmark: Use[Benchmark] = Field(Use("benchmark", "foxes"), description="the tasks")


ZOO = Component(
    "modifier",
    "zoo",
    "counts animals",
    config=ZooSettings,
    factory="cogumi_modifiers.domains.domain:DomainModifier",
    accepts=frozenset({"gguf"}),
)


def _key(version: str = "1", name: str = "domain", **benchmark: Any) -> dict[str, Any]:
    use = Use("modifier", name, {**SETTINGS, "benchmark": {"use": "foxes", "with": benchmark}})
    resolved = registry_with_foxes(version).resolved(use)
    assert resolved.provided is not None
    assert resolved.settings is not None
    return component_for_fingerprint(resolved.provided, resolved.settings)


def test_it_is_what_the_modifier_trains_on_and_is_graded_by(tmp_path: Path) -> None:
    export_gguf(tiny_llama(tmp_path / "hf"), tmp_path / "base.gguf", "F32")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    said: list[str] = []
    try:
        report = build(tmp_path / "base.gguf", tmp_path, lambda done, total, unit, **_: said.append(unit))
    finally:
        torch.set_num_threads(threads)
    foxes = support.MADE[-1]
    assert (report.domain, report.accepted) == ("foxes", True)
    assert sorted(foxes.asked) == ["mine", "train", "validate"]
    assert {task.partition("-")[0] for task in foxes.graded} == {"mine", "validate"}
    assert report.metrics["tasks"] == {"mine": 6, "train": 24, "validate": 12}
    assert "steps" in said


def test_its_version_is_part_of_the_modifiers_key() -> None:
    assert _key("1") != _key("2")
    assert _key("2")["settings"]["benchmark"]["version"] == "2"


def test_its_settings_are_part_of_the_modifiers_key() -> None:
    assert _key(validate_tasks=12) == _key()
    assert _key(validate_tasks=13) != _key()


def test_files_of_a_nested_benchmark_are_found() -> None:
    resolved = registry_with_foxes().resolved(Use("modifier", "automation", {}))
    assert resolved.settings is not None
    assert {"benchmark.with.path", "benchmark.with.answers"} <= input_files(resolved.settings).keys()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("benchmark: foxs", "no benchmark named 'foxs'. Did you mean 'foxes'?"),
        ("benchmark: {use: foxes, with: {word: 3}}", "unknown setting of 'foxes'. Did you mean 'words'?"),
        ("lora_r: 4", "benchmark"),
    ],
)
def test_what_is_wrong_with_it_has_its_line_in_the_recipe(tmp_path: Path, settings: str, problem: str) -> None:
    text = f"version: 1\nname: zoo\nstudent: base.gguf\nmodifiers:\n  - use: domain\n    with: {{{settings}}}\n"
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, base_dir=tmp_path, registry=registry_with_foxes())
    assert problem in str(caught.value)
    assert "line 6" in str(caught.value) or "line 5" in str(caught.value)


def test_a_plugin_gives_a_domain_a_name_of_its_own() -> None:
    plugins = IsolatedPlugins()
    plugins.host.register(support.zoo(), "zoo", "zoo", "1.0")
    plugins.add(ZOO)
    assert plugins.registry().create("modifier", "zoo").domain == "foxes"
    with_words = plugins.registry().create("modifier", "zoo", benchmark={"use": "foxes", "with": {"words": 3}})
    assert with_words._benchmark._settings == FoxSettings(words=3)


RECIPE = """
version: 1
name: zoo
seed: 17
student: base.gguf
engine: {{use: llama-cpp, with: {{threads: 1}}}}
budget: {{bytes: {limit}}}
modifiers:
  - use: domain
    with: {{benchmark: foxes, lora_r: [8, 2], learning_rate: 2.0e-2, epochs: 6, max_tokens: 12, max_prompt_tokens: 128}}
"""


def test_named_in_a_recipe_it_ends_in_a_system_with_the_adapter_that_fits(tmp_path: Path) -> None:
    export_gguf(tiny_llama(tmp_path / "hf"), tmp_path / "base.gguf", "F32")
    base = (tmp_path / "base.gguf").stat().st_size
    carried = {}
    for name, limit in (("roomy", 100 * base), ("tight", base)):
        recipe = parse_recipe(RECIPE.format(limit=limit), base_dir=tmp_path, registry=registry_with_foxes())
        done = run(recipe, out=tmp_path / name, store=tmp_path / "store", registry=registry_with_foxes())
        offers = done.artifacts["modifiers[0]:domain"].manifest.metrics["offers"]
        assert {offer["folder"] for offer in offers} == {"rank-2", "rank-8"}
        carried[name] = [path.stat().st_size for path in (tmp_path / name / "system" / "modifiers").glob("*/adapter.gguf")]
    assert carried == {"roomy": [offers[0]["bytes"]], "tight": []}
