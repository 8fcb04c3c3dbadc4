"""What every component owes, whatever its kind: a light plugin, described and bounded settings, a factory that works."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cogumi_core.api.component import Provided, load_object
from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.settings import Settings
from cogumi_core.plugins.guard import stage_running
from cogumi_core.plugins.registry import Registry
from cogumi_core.plugins.validation import check
from cogumi_core.testing.context import a_run

__all__ = ["HEAVY", "ComponentSuite"]

HEAVY = frozenset(
    {"accelerate", "bitsandbytes", "datasets", "datasketch", "fastapi", "gguf", "huggingface_hub", "llama_cpp", "matplotlib"}
    | {
        "numpy",
        "pandas",
        "peft",
        "scipy",
        "sklearn",
        "tokenizers",
        "torch",
        "transformers",
        "trl",
        "uvicorn",
        "vllm",
        "zstandard",
    }
)
"""Libraries that a plugin's light modules must not import: `cogumi --help` would wait for them."""

INPUTS = frozenset({"student", "calibration", "reference"})
"""What `Component.uses` may name."""

_NUMBER_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "const", "multipleOf"})
_PYDANTIC_BOUNDS = frozenset({"ge", "gt", "le", "lt"})  # how pydantic writes the bounds of a type with a validator before it


class ComponentSuite:
    """Base of the suites. Subclasses name the component, and settings if it needs some:

    >>> class TestMine(ComponentSuite):
    ...     kind = "filter"
    ...     component = "my-filter"
    ...     settings = {"max_words": 50}

    Fixtures to replace where needed: `registry` (which plugins), `component_settings` (settings that need a path), and what the
    suite of the kind names.
    """

    kind: ClassVar[str] = ""
    component: ClassVar[str] = ""
    settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def registry(self, cogumi_registry: Registry) -> Registry:
        return cogumi_registry

    @pytest.fixture
    def provided(self, registry: Registry) -> Provided:
        return registry.get(self.kind, self.component)

    @pytest.fixture
    def model(self, registry: Registry, provided: Provided) -> type[Settings]:
        return registry.settings_model(provided)

    @pytest.fixture
    def component_settings(self) -> Mapping[str, Any]:
        return self.settings

    @pytest.fixture
    def make(self, registry: Registry, component_settings: Mapping[str, Any]) -> Callable[[], Any]:
        """Makes the component anew at each call."""
        return lambda: registry.create(self.kind, self.component, **component_settings)

    @pytest.fixture
    def made(self, make: Callable[[], Any]) -> Any:
        return make()

    @pytest.fixture
    def run(self, registry: Registry, tmp_path: Path) -> RunContext:
        """Its `calls` are the paid-call engine, on a store of this test's."""
        return a_run(tmp_path / "run", registry=registry)

    @pytest.fixture(autouse=True)
    def _as_in_a_stage(self) -> Iterator[None]:
        """A teacher that is called past `run.calls` refuses, as it does in a run."""
        with stage_running("conformance"):
            yield

    def test_name_and_summary_fit_one_line(self, provided: Provided) -> None:
        component = provided.component
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", component.name), f"'{component.name}' is not lower-case-with-hyphens"
        assert component.summary.strip(), "the summary is empty"
        assert "\n" not in component.summary, "the summary is longer than a line"
        assert component.version, "the version is empty"

    def test_says_why_it_is_not_deterministic(self, provided: Provided) -> None:
        component = provided.component
        assert component.deterministic or component.why_not, "deterministic=False needs why_not"

    def test_uses_inputs_that_there_are(self, provided: Provided) -> None:
        unknown = provided.component.uses - INPUTS
        assert not unknown, f"`uses` names {', '.join(sorted(unknown))}; there are: {', '.join(sorted(INPUTS))}"

    def test_estimate_loads(self, provided: Provided) -> None:
        estimate = provided.component.estimate
        assert estimate is None or callable(load_object(estimate) if isinstance(estimate, str) else estimate)

    def test_factory_makes_the_kind(self, made: Any) -> None:
        assert made is not None, "the factory gave nothing"

    def test_unknown_setting_is_refused(self, model: type[Settings], component_settings: Mapping[str, Any]) -> None:
        _, problems = check(model, {**component_settings, "no_such_setting": 1}, "it")
        assert any(problem.path == ("no_such_setting",) for problem in problems), "an unknown setting passes unnoticed"

    def test_every_setting_is_described(self, model: type[Settings]) -> None:
        bare = [name for name, schema in _properties(model) if not schema.get("description")]
        assert not bare, f"settings without a description: {', '.join(bare)}"

    def test_every_number_is_bounded(self, model: type[Settings]) -> None:
        unbounded = [name for name, schema in _properties(model) if _unbounded(schema)]
        assert not unbounded, f"numbers without a bound (ge, gt, le, lt): {', '.join(unbounded)}"

    def test_settings_go_into_json(self, model: type[Settings], component_settings: Mapping[str, Any]) -> None:
        values = model.model_validate(dict(component_settings)).model_dump(mode="json")
        assert json.loads(json.dumps(values, allow_nan=False)) == values, (
            "settings are not plain JSON: they have no fingerprint"
        )

    def test_extras_exist(self, provided: Provided) -> None:
        if not provided.component.requires:
            return
        known = {_normal(extra) for extra in metadata.metadata(provided.distribution).get_all("Provides-Extra") or ()}
        named = {_normal(extra) for extra, _ in provided.component.requires}
        assert named <= known, f"{provided.distribution} has no extra {', '.join(sorted(named - known))}"

    def test_plugin_and_settings_are_light(self, provided: Provided) -> None:
        modules = [point.module for point in metadata.entry_points(group="cogumi") if _is_of(point, provided)]
        if isinstance(provided.component.config, str):
            modules.append(provided.component.config.partition(":")[0])
        if not modules:
            pytest.skip("the plugin is no module")
        assert not _heavy_imports(modules), f"importing {', '.join(modules)} brings {', '.join(_heavy_imports(modules))}"


def files_below(folder: Path) -> dict[str, bytes]:
    """Relative path to content of every file: to see what was written and whether it is the same."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _heavy_imports(modules: list[str]) -> list[str]:
    program = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"importing {', '.join(modules)} fails: {done.stderr.strip()}"
    return sorted(HEAVY & {name.partition(".")[0] for name in done.stdout.split()})


def _is_of(point: metadata.EntryPoint, provided: Provided) -> bool:
    return point.dist is not None and point.dist.name == provided.distribution


def _properties(model: type[Settings]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, JSON schema) of every setting, those of nested models included."""
    schema = model.model_json_schema()
    owners = [schema, *schema.get("$defs", {}).values()]
    return ((name, found) for owner in owners for name, found in owner.get("properties", {}).items())


def _unbounded(schema: dict[str, Any]) -> bool:
    branches = [schema, *(branch for key in ("anyOf", "oneOf") for branch in schema.get(key, ()))]
    numbers = [branch for branch in branches if branch.get("type") in {"integer", "number"}]
    return not _PYDANTIC_BOUNDS & set(schema) and any(not _NUMBER_BOUNDS & set(number) for number in numbers)


def _normal(extra: str) -> str:
    return re.sub(r"[-_.]+", "-", extra).lower()
