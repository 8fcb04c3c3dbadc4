"""The plugin host on real distributions: each test writes throw-away packages and asks a new process what is installed."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.api.events import Note, StageFailed, StageFinished, StageProgress, StageStarted
from cogumi_core.api.hookspecs import hookimpl
from cogumi_core.plugins.host import PluginHost
from cogumi_core.testing import write_distribution

GOOD = """
from cogumi_core import Component, RowFilter, Settings, hookimpl

class Mine(RowFilter):
    def __init__(self, settings, services): pass

@hookimpl
def cogumi_register_filters():
    yield Component("filter", "NAME", "keeps all", config=Settings, factory=Mine)
"""


def good(name: str) -> str:
    return GOOD.replace("NAME", name)


def cogumi(folder: Path, *args: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    """`cogumi` in a new process for which `folder` is on the path."""
    environment = {**os.environ, "PYTHONPATH": str(folder), **environ}
    command = [sys.executable, "-m", "cogumi_core.cli.main", *args]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code, done.stderr
    return done


def plugins(folder: Path, **environ: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(components by kind:name, plugins by distribution) as `cogumi plugins --json` has them."""
    found = json.loads(cogumi(folder, "plugins", "--json", **environ).stdout)
    components = {f"{item['kind']}:{item['name']}": item for item in found["components"]}
    return components, {item["distribution"]: item for item in found["plugins"]}


def test_component_of_another_distribution_is_there(tmp_path: Path) -> None:
    write_distribution(tmp_path, "aa-good", {"aa_good": good("aa")}, version="2.3")
    components, _ = plugins(tmp_path)
    expected = {"distribution": "aa-good", "version": "2.3", "state": "ok", "error": "", "summary": "keeps all"}
    assert expected.items() <= components["filter:aa"].items()


BROKEN = {
    "missing import": ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
    "error at import": ("1 / 0", "ZeroDivisionError"),
    "exit at import": ("import sys; sys.exit(4)", "SystemExit: 4"),
    "syntax error": ("def (", "SyntaxError"),
    "misspelt hook": (
        "from cogumi_core import hookimpl\n@hookimpl\ndef cogumi_register_filtres(): return []",
        "unknown hook 'cogumi_register_filtres'. Did you mean 'cogumi_register_filters'?",
    ),
    "unknown argument": (
        "from cogumi_core import hookimpl\n@hookimpl\ndef cogumi_register_filters(config): return []",
        "{'config'} are declared in the hookimpl but can not be found in the hookspec",
    ),
    "hookimpl forgotten": ("def cogumi_register_filters(): return []", "@hookimpl is missing above cogumi_register_filters"),
    "no hook": ("x = 1", "it implements no hook"),
    "raising hook": (
        "from cogumi_core import hookimpl\n@hookimpl\ndef cogumi_register_filters(): raise ValueError('no luck')",
        "cogumi_register_filters raised ValueError: no luck",
    ),
    "not a component": (
        "from cogumi_core import hookimpl\n@hookimpl\ndef cogumi_register_filters(): return ['gguf']",
        "cogumi_register_filters gave str 'gguf', not a Component",
    ),
    "raising commands": (
        "from cogumi_core import hookimpl\n@hookimpl\ndef cogumi_register_commands(cli): cli.no_such_thing()",
        "cogumi_register_commands raised AttributeError",
    ),
    "hook wrapper": (
        "from cogumi_core import hookimpl\n@hookimpl(wrapper=True)\ndef cogumi_register_filters(): return (yield)",
        "'cogumi_register_filters' is a hook wrapper",
    ),
}


@pytest.mark.parametrize(("source", "error"), BROKEN.values(), ids=BROKEN)
def test_broken_plugin_costs_only_itself(tmp_path: Path, source: str, error: str) -> None:
    write_distribution(tmp_path, "aa-good", {"aa_good": good("aa")})
    write_distribution(tmp_path, "bb-broken", {"bb_broken": source})
    write_distribution(tmp_path, "zz-good", {"zz_good": good("zz")})
    components, found = plugins(tmp_path)
    assert found["bb-broken"]["state"] == "failed"
    assert error in found["bb-broken"]["error"]
    assert components["filter:aa"]["state"] == components["filter:zz"]["state"] == "ok"


def test_one_raising_hook_leaves_the_plugins_other_components(tmp_path: Path) -> None:
    source = good("aa") + "\n@hookimpl\ndef cogumi_register_sources():\n    raise OSError('gone')\n"
    write_distribution(tmp_path, "aa-half", {"aa_half": source})
    components, found = plugins(tmp_path)
    assert components["filter:aa"]["state"] == "ok"
    assert found["aa-half"] == {
        "name": "aa-half",
        "distribution": "aa-half",
        "state": "failed",
        "error": "cogumi_register_sources raised OSError: gone",
    }


REJECTED = {
    "wrong kind": ('Component("teacher", "x", "s", config=Settings, factory=Mine)', "belongs in cogumi_register_teachers"),
    "unknown kind": ('Component("fliter", "x", "s", config=Settings, factory=Mine)', "gave 'x' of kind 'fliter'"),
    "later API": ('Component("filter", "x", "s", config=Settings, factory=Mine, api_version=99)', "upgrade cogumi-core"),
    "earlier API": ('Component("filter", "x", "s", config=Settings, factory=Mine, api_version=0)', "upgrade the plugin"),
}


@pytest.mark.parametrize(("component", "error"), REJECTED.values(), ids=REJECTED)
def test_rejected_component_costs_only_itself(tmp_path: Path, component: str, error: str) -> None:
    write_distribution(tmp_path, "aa-half", {"aa_half": f"{good('aa')}    yield {component}\n"})
    components, _ = plugins(tmp_path)
    rejected = next(item for name, item in components.items() if name.endswith(":x"))
    assert (rejected["state"], rejected["distribution"]) == ("failed", "aa-half")
    assert error in rejected["error"]
    assert components["filter:aa"]["state"] == "ok"


def test_settings_that_do_not_import_are_told(tmp_path: Path) -> None:
    source = good("aa").replace("config=Settings", "config='aa_gone:Settings'")
    write_distribution(tmp_path, "aa-half", {"aa_half": source})
    components, _ = plugins(tmp_path)
    assert components["filter:aa"]["state"] == "failed"
    assert "aa-half 1.0: its settings 'aa_gone:Settings' do not load" in components["filter:aa"]["error"]


def test_conflict_names_both_distributions(tmp_path: Path) -> None:
    for name in ("aa-one", "aa-two"):
        write_distribution(tmp_path, name, {name.replace("-", "_"): good("both")})
    found = json.loads(cogumi(tmp_path, "plugins", "--json").stdout)["components"]
    twice = [item for item in found if item["name"] == "both"]
    assert [item["state"] for item in twice] == ["conflict", "conflict"]
    assert all("aa-one 1.0 and aa-two 1.0" in item["error"] for item in twice)


def test_conflict_stops_a_recipe_that_uses_the_name(tmp_path: Path) -> None:
    for name in ("aa-one", "aa-two"):
        write_distribution(tmp_path, name, {name.replace("-", "_"): good("both")})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("dataset: d.jsonl\nfilter:\n  - {use: both}\n")
    error = cogumi(tmp_path, "plan", str(recipe), code=2).stderr
    assert "line 3, filter[0].use: filter 'both' is offered by aa-one 1.0 and aa-two 1.0; uninstall one" in error


def test_one_entry_point_name_in_two_distributions_works(tmp_path: Path) -> None:
    for name in ("aa-one", "aa-two"):
        module = name.replace("-", "_")
        write_distribution(tmp_path, name, {module: good(name)}, entry_points={"plugin": module})
    components, found = plugins(tmp_path)
    assert {"filter:aa-one", "filter:aa-two"} <= components.keys()
    assert found["aa-one"]["name"] == found["aa-two"]["name"] == "plugin"


@pytest.mark.parametrize("allowed", ["aa-good", "AA_Good", " other , aa.good ", "aa-entry"])
def test_allow_list_takes_names_of_distributions_and_entry_points(tmp_path: Path, allowed: str) -> None:
    write_distribution(tmp_path, "aa-good", {"aa_good": good("aa")}, entry_points={"aa-entry": "aa_good"})
    components, found = plugins(tmp_path, COGUMI_PLUGINS=allowed)
    assert list(components) == ["filter:aa"]
    assert found["cogumi-teachers"] | {"name": ""} == {
        "name": "",
        "distribution": "cogumi-teachers",
        "state": "skipped",
        "error": "not in COGUMI_PLUGINS",
    }


def test_left_out_plugin_is_not_imported(tmp_path: Path) -> None:
    write_distribution(tmp_path, "aa-noisy", {"aa_noisy": "open(__file__ + '.imported', 'w').close()"})
    plugins(tmp_path, COGUMI_PLUGINS="")
    assert not (tmp_path / "aa_noisy.py.imported").exists()


def test_unknown_name_in_the_allow_list_is_told(tmp_path: Path) -> None:
    _, found = plugins(tmp_path, COGUMI_PLUGINS="cogumi-teachrs")
    assert found[""]["state"] == "failed"
    assert "Did you mean 'cogumi-teachers'?" in found[""]["error"]


def test_printing_plugin_does_not_spoil_json(tmp_path: Path) -> None:
    write_distribution(tmp_path, "aa-noisy", {"aa_noisy": "print('hello')\n" + good("aa")})
    components, _ = plugins(tmp_path)
    assert components["filter:aa"]["state"] == "ok"


COMMAND = """
import click
from cogumi_core import hookimpl

@hookimpl
def cogumi_register_commands(cli):
    @cli.command("NAME")
    def command():
        \"\"\"Says hello.\"\"\"
        click.echo("hello from MODULE")
"""


def test_plugin_command_runs_and_is_listed(tmp_path: Path) -> None:
    write_distribution(tmp_path, "aa-hello", {"aa_hello": COMMAND.replace("NAME", "hello").replace("MODULE", "aa")})
    assert cogumi(tmp_path, "hello").stdout == "hello from aa\n"
    assert "Says hello." in cogumi(tmp_path, "--help").stdout


def test_plugin_cannot_take_a_built_in_command(tmp_path: Path) -> None:
    write_distribution(tmp_path, "aa-thief", {"aa_thief": COMMAND.replace("NAME", "plugins")})
    _, found = plugins(tmp_path)
    assert "its command 'plugins' is left out" in found["aa-thief"]["error"]


def test_two_plugins_with_one_command_keep_the_first(tmp_path: Path) -> None:
    for name in ("aa_one", "aa_two"):
        source = COMMAND.replace("NAME", "hello").replace("MODULE", name)
        write_distribution(tmp_path, name.replace("_", "-"), {name: source})
    assert cogumi(tmp_path, "hello").stdout == "hello from aa_one\n"
    assert "its command 'hello' is left out" in plugins(tmp_path)[1]["aa-two"]["error"]


@pytest.mark.packaging
def test_plugin_that_pip_installs_is_found(tmp_path: Path) -> None:
    project, target = tmp_path / "project", tmp_path / "target"
    project.mkdir()
    (project / "aa_pip.py").write_text(good("aa"))
    (project / "pyproject.toml").write_text(
        textwrap.dedent("""
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [project]
        name = "aa-pip"
        version = "0.3"
        [project.entry-points.cogumi]
        aa = "aa_pip"
        [tool.hatch.build.targets.wheel]
        include = ["aa_pip.py"]
        """)
    )
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
        str(project),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    components, _ = plugins(target)
    assert components["filter:aa"]["distribution"] == "aa-pip"
    assert components["filter:aa"]["version"] == "0.3"


class Listener:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @hookimpl
    def cogumi_stage_started(self, event: Any) -> None:
        self.heard.append(event)

    @hookimpl
    def cogumi_stage_progress(self) -> None:
        self.heard.append("progress")

    @hookimpl
    def cogumi_stage_finished(self, event: Any) -> None:
        self.heard.append(event)

    @hookimpl
    def cogumi_stage_failed(self, event: Any) -> None:
        self.heard.append(event)


EVENTS = (
    StageStarted("gguf", "gguf", 0, 1),
    StageProgress("gguf", 1, 2, "tensors"),
    StageFinished("gguf", 1.0, False, "sha256:0"),
    StageFailed("gguf", 1.0, "no disk space"),
)


def test_listeners_hear_every_event_with_the_arguments_they_take() -> None:
    host, listener = PluginHost(), Listener()
    host.register(listener, "listener")
    for event in (*EVENTS, Note("gguf", "for people only")):
        host.notify(event)
    assert listener.heard == [EVENTS[0], "progress", *EVENTS[2:]]


class Fragile:
    calls = 0

    @hookimpl
    def cogumi_stage_started(self, event: Any) -> None:
        Fragile.calls += 1
        message = "broken listener"
        raise RuntimeError(message)


def test_raising_listener_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    host, listener = PluginHost(), Listener()
    host.register(Fragile(), "fragile")
    host.register(listener, "listener")
    for _ in range(3):
        host.notify(EVENTS[0])
    assert (len(listener.heard), Fragile.calls) == (3, 1)
    assert "RuntimeError: broken listener" in caplog.text
