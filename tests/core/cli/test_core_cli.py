"""The command line: what it prints where, and how it ends."""

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from processes import finished
from section_support import COMPONENT, SECTION

import cogumi_core
from cogumi_core import BudgetExceeded, InputError, Interrupted, Pending, StageError, hookimpl
from cogumi_core.cli.context import Cli
from cogumi_core.cli.main import BUILT_IN, main
from cogumi_core.cli.output import print_table
from cogumi_core.plugins import catalogue
from cogumi_core.plugins.host import PluginHost
from cogumi_core.recipe.sections import OWN
from cogumi_core.testing import IsolatedPlugins

LATER = [section.name for section in OWN[4:]]


class Commands:
    """A plugin with one command that does what the test says."""

    def __init__(self, body: Callable[[], Any]) -> None:
        self.body = body

    @hookimpl
    def cogumi_register_commands(self, cli: click.Group) -> None:
        cli.command("try-it", help="Does it.")(lambda: self.body())


@pytest.fixture
def try_it(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs `cogumi try-it`, a command with the given body, and returns the exit code."""

    def run(body: Callable[[], Any], *options: str) -> int:
        host = PluginHost()
        host.register(Commands(body), "test", "test-plugin")
        monkeypatch.setattr(PluginHost, "discover", lambda environ=None: host)
        return main([*options, "try-it"])

    return run


@pytest.fixture
def installed(isolated_plugins: IsolatedPlugins, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's section and its component are all that is installed."""
    isolated_plugins.add(COMPONENT, sections=[SECTION], distribution="their-plugin")
    monkeypatch.setattr(PluginHost, "discover", lambda environ=None: isolated_plugins.host)


def raise_(error: BaseException) -> Callable[[], Any]:
    def body() -> None:
        raise error

    return body


ENDS = {
    "usage": (InputError("no such file: x. Write a path"), 2, "no such file: x. Write a path\n"),
    "stage": (StageError("gguf", "no disk space"), 1, "stage 'gguf' failed: no disk space\n"),
    "budget": (BudgetExceeded("the next call could pass 5 dollars"), 3, "the next call could pass 5 dollars\n"),
    "pending": (Pending("a batch is under way; run again at 9:30"), 4, "a batch is under way; run again at 9:30\n"),
    "interrupted": (Interrupted("stopped; the same command goes on"), 130, "stopped; the same command goes on\n"),
    "Ctrl-C": (KeyboardInterrupt(), 130, "interrupted\n"),
    "system": (OSError(28, "No space left on device", "/mnt/x"), 1, "/mnt/x: No space left on device\n"),
}


@pytest.mark.parametrize(("error", "code", "message"), ENDS.values(), ids=ENDS)
def test_error_gives_a_message_and_an_exit_code(
    try_it: Callable[..., int], capfd: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    assert try_it(raise_(error)) == code
    out, err = capfd.readouterr()
    assert (out, err.lstrip("\n")) == ("", message)


def test_debug_shows_the_traceback(try_it: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    assert try_it(raise_(InputError("no such file")), "--debug") == 2
    assert "Traceback (most recent call last)" in capfd.readouterr().err


def test_what_a_command_returns_is_no_exit_code(try_it: Callable[..., int]) -> None:
    assert try_it(lambda: 7) == 0
    assert try_it(lambda: click.get_current_context().exit(7)) == 7


def test_log_messages_go_to_standard_error(try_it: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers.clear()
    try_it(lambda: logging.getLogger("cogumi").warning("careful"))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "WARNING cogumi: careful\n")


@pytest.mark.parametrize("command", catalogue.commands())
def test_command_of_a_plugin_that_is_not_there_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(PluginHost, "discover", lambda environ=None: PluginHost())
    distribution = catalogue.distribution_for(command=command)
    assert main([command]) == 2
    assert (
        f"there is no command '{command}'. It comes with {distribution}; try: pip install {distribution}"
        in capsys.readouterr().err
    )


def test_command_of_a_plugin_that_failed_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    host = PluginHost()
    host.register(object(), "serve", "cogumi-serve", "0.1.0")
    monkeypatch.setattr(PluginHost, "discover", lambda environ=None: host)
    assert main(["ask"]) == 2
    assert "It comes with cogumi-serve, whose plugin is failed: it implements no hook" in capsys.readouterr().err


def test_command_that_an_older_plugin_lacks_says_to_upgrade(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = PluginHost()
    host.register(Commands(lambda: None), "serve", "cogumi-serve", "0.0.1")
    monkeypatch.setattr(PluginHost, "discover", lambda environ=None: host)
    assert main(["ask"]) == 2
    assert "cogumi-serve 0.0.1 has it not; try: pip install --upgrade cogumi-serve" in capsys.readouterr().err


def test_mistyped_command_of_a_plugin_that_is_not_there_gets_the_near_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PluginHost, "discover", lambda environ=None: PluginHost())
    assert main(["serv"]) == 2
    assert "Did you mean 'serve'?" in capsys.readouterr().err


def test_mistyped_command_gets_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin"]) == 2
    assert "there is no command 'plugin'. Did you mean 'plugins'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_command_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: cogumi {name}")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in BUILT_IN)


def test_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "cogumi 0.1.0\n"


def test_plugins_json_has_the_promised_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"components", "plugins", "kinds", "sections"} <= found.keys()
    assert {frozenset(item) for item in found["components"]} == {
        frozenset({"kind", "name", "summary", "distribution", "version", "state", "error"})
    }
    assert {frozenset(item) for item in found["plugins"]} == {frozenset({"name", "distribution", "state", "error"})}


def test_plugins_are_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    out = capsys.readouterr().out
    assert "minhash" in out
    assert "\x1b" not in out


def test_table_on_a_terminal_keeps_brackets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(["NAME"], [["pip install x[red]"]])
    assert "pip install x[red]" in capsys.readouterr().out


def test_plugins_lists_every_kind_and_every_section(installed: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kinds"] == [*cogumi_core.KINDS, "counter"]
    assert [row["name"] for row in found["sections"]] == [*(section.name for section in OWN[:4]), "count", *LATER]
    assert main(["plugins"]) == 0
    out = capsys.readouterr().out
    assert "counts the words of the rows" in out
    assert "no engine is there; try: pip install" in out


def test_schema_has_the_sections_of_plugins(installed: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    found = json.loads(capsys.readouterr().out)["properties"]["count"]
    assert found["items"]["oneOf"][0]["properties"]["use"]["const"] == "words"


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Cogumi recipe"


def test_reader_that_leaves_is_no_error() -> None:
    program = "import sys; from cogumi_core.cli.main import main; sys.exit(main(['schema']))"
    done = finished("bash", "-c", f"{sys.executable} -c {program!r} | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode in {0, 1}, done.stderr) == (True, "")


def test_wrong_recipe_ends_with_two_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("student: m\ncompres: []\n")
    assert main(["plan", str(recipe)]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "recipe.yaml: 1 problem\n  line 2, compres: unknown section. Did you mean 'compress'?\n")


def test_registry_is_made_once_for_an_invocation() -> None:
    cli = Cli(os.environ)
    assert cli.registry is cli.registry


def test_public_names_load_and_are_listed() -> None:
    assert set(cogumi_core.__all__) == set(cogumi_core._HOME)
    assert all(getattr(cogumi_core, name) is not None for name in cogumi_core.__all__)
    assert set(cogumi_core.__all__) <= set(dir(cogumi_core))
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = cogumi_core.no_such_name
