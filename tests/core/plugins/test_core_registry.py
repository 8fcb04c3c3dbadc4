"""The registry: found by kind and name, checked, made; and what it says when that cannot be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from cogumi_core import (
    ByteSize,
    Component,
    ComponentConflict,
    Example,
    InputError,
    MissingDependency,
    ModelRef,
    PluginError,
    RecipeError,
    RowFilter,
    RunContext,
    Services,
    Settings,
    UnknownComponent,
    Verdict,
    hookimpl,
)
from cogumi_core.api.component import KINDS
from cogumi_core.plugins.catalogue import distribution_for
from cogumi_core.plugins.host import PluginHost
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing import IsolatedPlugins


class LengthSettings(Settings):
    max_words: int = Field(10, ge=1, le=1000, description="words at most")
    unit: str = Field("words", description="what is counted")
    name: str = Field("", description="shown in evidence")


class Length(RowFilter):
    def __init__(self, settings: LengthSettings, services: Services) -> None:
        self.settings, self.services = settings, services

    def judge(self, example: Example) -> Verdict:
        return Verdict(len(example.response.split()) <= self.settings.max_words, "too long")


def test_component_works_without_files_store_or_cli(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.offer("filter", "short", Length, LengthSettings)
    short = isolated_plugins.registry().create("filter", "short", max_words=2)
    examples = [Example.of("a", "?", "one two"), Example.of("b", "?", "one two three")]
    run = RunContext(0, Path(), isolated_plugins.registry().services)
    assert [verdict.keep for verdict in short.verdicts(examples, run)] == [True, False]


def test_settings_may_be_called_kind_or_name(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.offer("filter", "short", Length, LengthSettings)
    assert isolated_plugins.registry().create("filter", "short", name="mine").settings.name == "mine"


def test_every_wrong_setting_is_told_at_once(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.offer("filter", "short", Length, LengthSettings)
    with pytest.raises(RecipeError) as caught:
        isolated_plugins.registry().create("filter", "short", max_word=3, max_words=0, unit=7)
    assert str(caught.value).splitlines() == [
        "filter 'short': 3 problems",
        "  max_words: must be at least 1, not 0",
        "  unit: must be text, not 7; write it in quotes",
        "  max_word: unknown setting of 'short'. Did you mean 'max_words'?",
    ]


def test_component_gets_the_services_of_its_registry(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> None:
    isolated_plugins.offer("filter", "short", Length, LengthSettings)
    student = ModelRef(tmp_path, "hf", "sha256:0")
    registry = isolated_plugins.registry().with_services(base_dir=tmp_path, student=student, environ={"A": "1"})
    services = registry.create("filter", "short").services
    assert (services.registry, services.base_dir, services.student, services.environ) == (
        registry,
        tmp_path,
        student,
        {"A": "1"},
    )


def test_with_services_keeps_what_is_not_given(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> None:
    registry = isolated_plugins.registry(base_dir=tmp_path, environ={"A": "1"}).with_services(student=None)
    assert (registry.services.base_dir, registry.services.environ) == (tmp_path, {"A": "1"})


def test_unknown_name_gets_the_near_one_what_is_there_and_what_to_install(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.offer("compressor", "gguf", Length)
    isolated_plugins.offer("compressor", "zstd", Length)
    with pytest.raises(UnknownComponent) as caught:
        isolated_plugins.registry().get("compressor", "zstdd")
    assert str(caught.value) == (
        "no compressor named 'zstdd'. Did you mean 'zstd'? Installed: gguf, zstd (test-plugin 1.0). "
        "Or install: pip install cogumi-compress"
    )


def test_first_party_plugin_that_is_there_is_not_advised() -> None:
    plugins = IsolatedPlugins()
    plugins.add(
        Component("compressor", "gguf", "s", config=Settings, factory=Length), distribution="cogumi-compress", version="0.1.0"
    )
    with pytest.raises(UnknownComponent) as caught:
        plugins.registry().get("compressor", "ggu")
    assert str(caught.value) == "no compressor named 'ggu'. Did you mean 'gguf'? Installed: gguf (cogumi-compress 0.1.0)"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_to_install(kind: str) -> None:
    known = distribution_for(kind=kind)
    advice = f"No {kind} is installed; try: pip install {known}" if known else f"No {kind} is installed"
    with pytest.raises(UnknownComponent, match=advice):
        Registry(PluginHost()).get(kind, "any")


def test_unknown_kind_is_told_with_the_near_one() -> None:
    with pytest.raises(UnknownComponent, match=r"no kind of component called 'compresor'. Did you mean 'compressor'"):
        Registry(PluginHost()).names("compresor")


def test_plugin_that_failed_is_named_in_the_message() -> None:
    host = PluginHost()
    host.register(object(), "gguf-tools", "gguf-tools", "2.0")
    with pytest.raises(UnknownComponent, match=r"Plugin 'gguf-tools' \(gguf-tools 2.0\) failed: it implements no hook"):
        Registry(host).get("compressor", "gguf")


def test_conflict_is_raised_only_when_the_name_is_used() -> None:
    plugins = IsolatedPlugins()
    for distribution in ("one", "two"):
        twice = Component("filter", "both", "s", config=LengthSettings, factory=Length)
        other = Component("filter", f"only-{distribution}", "s", config=LengthSettings, factory=Length)
        plugins.add(twice, other, distribution=distribution)
    registry = plugins.registry()
    assert registry.create("filter", "only-one")
    with pytest.raises(ComponentConflict, match=r"filter 'both' is offered by one 1.0 and two 1.0; uninstall one"):
        registry.create("filter", "both")


def test_missing_extra_gives_the_pip_command() -> None:
    plugins = IsolatedPlugins()
    requires = (("awq", "no_such_module_a"), ("awq", "no_such_module_b"), ("here", "json"))
    plugins.add(Component("filter", "heavy", "s", Settings, Length, requires=requires), distribution="cogumi-compress")
    with pytest.raises(MissingDependency) as caught:
        plugins.registry().create("filter", "heavy")
    assert str(caught.value) == (
        "filter 'heavy' needs 'no_such_module_a', 'no_such_module_b', not installed here; "
        'try: pip install "cogumi-compress[awq]"'
    )


def _import_error(settings: Any, services: Any) -> Any:
    import no_such_module_c  # type: ignore[import-not-found]  # noqa: F401


def _attribute_error(settings: Any, services: Any) -> Any:
    return settings.no_such_setting


BROKEN_FACTORIES = {
    "import inside": (_import_error, "No module named 'no_such_module_c'"),
    "no such module": ("no_such_module_d:Filter", "No module named 'no_such_module_d'"),
    "no such name": ("json:Filter", "module 'json' has no attribute 'Filter'"),
    "bug": (_attribute_error, "no_such_setting"),
    "no method": (lambda settings, services: object(), "object lacks verdicts()"),
}


@pytest.mark.parametrize(("factory", "what"), BROKEN_FACTORIES.values(), ids=BROKEN_FACTORIES)
def test_broken_factory_names_its_distribution(factory: Any, what: str) -> None:
    plugins = IsolatedPlugins()
    plugins.add(Component("filter", "broken", "s", Settings, factory), distribution="their-plugin", version="3.1")
    with pytest.raises(PluginError, match=r"filter 'broken' of their-plugin 3\.1: ") as caught:
        plugins.registry().create("filter", "broken")
    assert what in str(caught.value)


def test_error_of_ours_passes_a_factory_as_it_is(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.offer("filter", "choosy", lambda settings, services: services.locate("no-such-file"))
    with pytest.raises(InputError, match="no such file or folder: no-such-file"):
        isolated_plugins.registry().create("filter", "choosy")


def test_settings_that_are_no_settings_class_are_told(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.offer("filter", "odd", Length, "json:JSONDecoder")
    with pytest.raises(PluginError, match=r"are not a cogumi_core.Settings class"):
        isolated_plugins.registry().create("filter", "odd")


def test_states_tell_missing_extras(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.offer("filter", "heavy", Length, requires=(("big", "no_such_module_a"),))
    (state,) = isolated_plugins.registry().states()
    assert (state.state, "pip install" in state.error) == ("failed", True)


def test_hooks_are_called_once_and_only_when_needed() -> None:
    calls: list[int] = []

    class Plugin:
        @hookimpl
        def cogumi_register_filters(self) -> Iterator[Component]:
            calls.append(1)
            yield Component("filter", "short", "s", LengthSettings, Length)

    host = PluginHost()
    host.register(Plugin(), "mine")
    assert calls == []
    for _ in range(3):
        assert Registry(host).names("filter") == ("short",)
    assert calls == [1]


class Nested(Settings):
    attention: int = Field(64, ge=1, description="rank")
    ffn: int = Field(32, ge=1, description="rank")


class Wide(Settings):
    lora_r: Nested | int = Field(8, description="rank, or ranks")
    target: ByteSize | None = Field(None, description="size")
    type: str = Field("Q4_0", pattern="^Q", description="type")
    rate: float = Field(0.1, gt=0, lt=1, description="rate")
    names: list[Nested] = Field(default_factory=list, max_length=2, description="several")
    path: str = Field(..., description="where the texts are")


SETTINGS = {
    "missing": ({}, "path: is required: where the texts are"),
    "nested": ({"path": "p", "lora_r": {"fnn": 3}}, "lora_r.fnn: unknown setting of 'wide'. Did you mean 'ffn'?"),
    "nested bound": ({"path": "p", "lora_r": {"ffn": 0}}, "lora_r.ffn: must be at least 1, not 0"),
    "union": (
        {"path": "p", "lora_r": "big"},
        "lora_r: must be a mapping (name: value), not 'big'; or must be a whole number, not 'big'",
    ),
    "in a list": ({"path": "p", "names": [{}, {"ffn": "x"}]}, "names[1].ffn: must be a whole number, not 'x'"),
    "too many": ({"path": "p", "names": [{}, {}, {}]}, "names: must be 2 or fewer items, not [{}, {}, {}]"),
    "size": (
        {"path": "p", "target": "9 parsecs"},
        "target: '9 parsecs' is not a size; write 140MB (10^6 bytes), 140MiB (2^20) or a number of bytes",
    ),
    "negative size": ({"path": "p", "target": -1}, "target: must be at least 0, not -1"),
    "pattern": ({"path": "p", "type": "F16"}, "type: must be text of the form ^Q, not 'F16'"),
    "exclusive": ({"path": "p", "rate": 1}, "rate: must be less than 1, not 1"),
    "none": ({"path": None}, "path: must be text, not nothing"),
    "bool": ({"path": True}, "path: must be text, not on; write it in quotes"),
    "long value": ({"path": "p", "type": "x" * 200}, f"type: must be text of the form ^Q, not '{'x' * 56}..."),
    "no near name": (
        {"path": "p", "zzz": 1},
        "zzz: unknown setting of 'wide'. Settings: lora_r, names, path, rate, target, type",
    ),
}


@pytest.mark.parametrize(("settings", "message"), SETTINGS.values(), ids=SETTINGS)
def test_wrong_setting_is_explained(isolated_plugins: IsolatedPlugins, settings: dict[str, Any], message: str) -> None:
    isolated_plugins.offer("filter", "wide", Length, Wide)
    with pytest.raises(RecipeError) as caught:
        isolated_plugins.registry().create("filter", "wide", **settings)
    assert caught.value.problems == (message,)
