"""The `cogumi` command: finds the command, runs it, and turns errors into messages and exit codes.

Built-in commands are a table of modules, imported when they are used; plugin commands are asked for only when the table does
not have the name, or to list them. That keeps `cogumi --help` quick.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

import click

from cogumi_core.api.errors import CogumiError
from cogumi_core.cli.context import Cli
from cogumi_core.plugins.near import did_you_mean

__all__ = ["BUILT_IN", "commands", "main"]

BUILT_IN: Final = {
    "plugins": "List what is installed: kinds, names, distributions, state.",
    "plan": "Show the stages of a recipe, what is in the store, and a forecast.",
    "run": "Build what a recipe describes.",
    "doctor": "Check keys, models, extras, disk and memory for a recipe.",
    "verify": "Compare an artifact, system or packed file with its manifest.",
    "why": "Tell what became of one input row.",
    "store": "List what the store holds; remove what no recipe reaches.",
    "schema": "Print the JSON schema of a recipe for the plugins installed now.",
    "report": "Write the HTML report of a system.",
}
"""Command to its line of help. Each is the object `command` in the module `cogumi_core.cli.commands.NAME`."""

_INTERRUPTED: Final = 130


class _Commands(click.Group):
    """Built-in commands from the table, then those of plugins."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._asked_plugins = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._ask_plugins(ctx)
        return [*BUILT_IN, *sorted(name for name in self.commands if name not in BUILT_IN)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in BUILT_IN:
            command: click.Command = importlib.import_module(f"cogumi_core.cli.commands.{cmd_name}").command
            return command
        self._ask_plugins(ctx)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, BUILT_IN.get(name) or self.commands[name].get_short_help_str(80)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(_unknown_command(ctx.obj, args[0], self.list_commands(ctx)), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> None:
        # What a command returns is not an exit code; `ctx.exit(code)` is.
        super().invoke(ctx)

    def _ask_plugins(self, ctx: click.Context) -> None:
        if not self._asked_plugins:
            self._asked_plugins = True
            ctx.obj.host.add_commands(self, reserved=BUILT_IN)


def _unknown_command(cli: Cli, name: str, known: Sequence[str]) -> str:
    from cogumi_core.plugins.catalogue import commands as elsewhere
    from cogumi_core.plugins.catalogue import distribution_for

    message = f"there is no command '{name}'."
    distribution = distribution_for(command=name)
    if distribution is None:
        return message + did_you_mean(name, [*known, *elsewhere()])
    state = next((state for state in cli.host.plugins if state.distribution == distribution), None)
    if state is None:
        return f"{message} It comes with {distribution}; try: pip install {distribution}"
    if state.state == "ok":
        upgrade = f"pip install --upgrade {distribution}"
        return f"{message} It comes with {distribution}, and {state.provider} has it not; try: {upgrade}"
    return f"{message} It comes with {distribution}, whose plugin is {state.state}: {state.error}"


def commands() -> click.Group:
    """The `cogumi` group, anew: plugins add to it, so it is not shared."""

    @click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
    @click.option("--debug", is_flag=True, help="Show tracebacks and all log messages.")
    @click.version_option(package_name="cogumi-core", prog_name="cogumi", message="%(prog)s %(version)s")
    @click.pass_obj
    def cogumi(cli: Cli, debug: bool) -> None:
        """Build small-model systems from a recipe.

        Exit codes: 0 done, 1 a stage failed or a check did not hold, 2 wrong usage or recipe, 3 stopped at a budget, 4 a
        provider's batch is under way: come back later.
        """
        cli.debug = debug
        level = logging.DEBUG if debug else logging.WARNING
        logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s")

    return cogumi


def main(args: Sequence[str] | None = None) -> int:
    """Runs `cogumi` with `args` (default: the process's) and returns the exit code."""
    cli = Cli(os.environ)
    try:
        code = commands().main(args=None if args is None else list(args), prog_name="cogumi", standalone_mode=False, obj=cli)
        sys.stdout.flush()
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except CogumiError as exc:
        return _tell(cli, exc, str(exc), exc.exit_code)
    except OSError as exc:
        return _tell(cli, exc, f"{exc.filename or 'the system'}: {exc.strerror or exc}", 1)
    return code if isinstance(code, int) else 0


def _tell(cli: Cli, exc: Exception, message: str, code: int) -> int:
    if cli.debug:
        traceback.print_exception(exc)
    else:
        click.echo(message, err=True)
    return code


def _reader_left() -> int:
    """`cogumi plugins | head -1`: nobody reads any more, which is no error; keeps Python from complaining at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
