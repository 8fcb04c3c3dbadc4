"""The commands `cogumi ask`, `cogumi chat` and `cogumi serve`. They parse, call and print; the work is elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from cogumi_core.api.types import GenerateRequest

MAX_TOKENS: Final = 512

_system = click.argument("system", type=click.Path(path_type=Path))
_model = click.option("--model", "-m", default="auto", show_default=True, help="auto, base, or a modifier's name.")
_max_tokens = click.option(
    "--max-tokens", default=MAX_TOKENS, show_default=True, type=click.IntRange(1), help="Longest answer, in tokens."
)


@click.command("ask")
@_system
@click.argument("question")
@_model
@_max_tokens
@click.option(
    "--tools", type=click.Path(path_type=Path), help="JSON file with OpenAI-style tools; the answer is then one call."
)
@click.option("--json", "as_json", is_flag=True, help="Answer, receipt and usage as JSON.")
@click.option("--check", is_flag=True, help="Compare every file of the system with its manifest first.")
@click.pass_context
def ask(
    context: click.Context,
    system: Path,
    question: str,
    model: str,
    max_tokens: int,
    tools: Path | None,
    as_json: bool,
    check: bool,
) -> None:
    """Ask SYSTEM one QUESTION.

    The answer goes to standard output, the receipt to standard error."""
    from cogumi_serve.system.routed import RoutedSystem

    request = _request(question, max_tokens, tools)
    with RoutedSystem.open(system, context.obj.registry, check=check) as opened:
        answer = opened.answer(request, model)
    if as_json:
        usage = {"prompt_tokens": answer.usage.prompt_tokens, "completion_tokens": answer.usage.completion_tokens}
        row = {"answer": answer.text, "finish_reason": answer.finish_reason, "usage": usage}
        click.echo(json.dumps({**row, "receipt": answer.receipt.to_json()}, indent=2, ensure_ascii=False))
        return
    click.echo(answer.text)
    for line in answer.receipt.lines():
        click.echo(line, err=True)


def _request(question: str, max_tokens: int, tools: Path | None) -> GenerateRequest:
    from cogumi_core.api.types import GenerateRequest, Message, Sampling
    from cogumi_serve.api.tool_calls import calling, functions_of

    request = GenerateRequest((Message("user", question),), Sampling(max_tokens=max_tokens))
    return request if tools is None else calling(request, functions_of(_read_tools(tools)))


def _read_tools(path: Path) -> Any:
    from cogumi_core.api.errors import InputError

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        message = f"{path}: cannot be read ({exc.strerror}); a JSON file with a list of tools is expected"
        raise InputError(message) from exc
    except ValueError as exc:
        message = f"{path}: not valid JSON ({exc}); a list of tools is expected"
        raise InputError(message) from exc
    return data.get("tools", data) if isinstance(data, dict) and "name" not in data else data


@click.command("chat")
@_system
@_model
@_max_tokens
@click.pass_context
def chat(context: click.Context, system: Path, model: str, max_tokens: int) -> None:
    """Talk with SYSTEM.

    /model NAME, /receipt, /new, /help, /quit. Ctrl-C ends an answer, Ctrl-D the chat."""
    from cogumi_serve.chat.terminal import Chat
    from cogumi_serve.system.routed import RoutedSystem

    with RoutedSystem.open(system, context.obj.registry) as opened:
        Chat(opened, model, max_tokens).run()


@click.command("serve")
@_system
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; others than loopback need --keys.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option("--keys", type=click.Path(path_type=Path), help="File with one API key per line.")
@click.option(
    "--context", "context_tokens", default=4096, show_default=True, type=click.IntRange(64), help="Tokens of context."
)
@click.option("--queue", default=16, show_default=True, type=click.IntRange(0), help="Requests that may wait for the model.")
@click.option("--check", is_flag=True, help="Compare every file of the system with its manifest first.")
@click.pass_context
def serve(
    context: click.Context,
    system: Path,
    host: str,
    port: int,
    keys: Path | None,
    context_tokens: int,
    queue: int,
    check: bool,
) -> None:
    """Serve SYSTEM with an OpenAI-compatible API."""
    from cogumi_serve.api.server import Server

    server = Server.bind(host, port, keys)
    server.load(system, context.obj.registry, context_tokens=context_tokens, queue=queue, check=check)
    click.echo(f"serving {server.name} at {server.url}/v1 (models: {', '.join(server.models)}); Ctrl-C stops", err=True)
    server.run()


def register(cli: click.Group) -> None:
    """Adds the commands of this package to `cogumi`."""
    for command in (ask, chat, serve):
        cli.add_command(command)
