"""`cogumi ask`: one answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cogumi_serve.commands import options

if TYPE_CHECKING:
    from cogumi_core import GenerateRequest


@click.command("ask")
@options.system
@click.argument("question")
@options.model
@options.max_tokens
@click.option(
    "--tools", type=click.Path(path_type=Path), help="JSON file with OpenAI-style tools; the answer is then one call."
)
@click.option("--json", "as_json", is_flag=True, help="Answer, receipt and usage as JSON.")
@options.check
@click.pass_context
def command(
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
    from cogumi_core import GenerateRequest, Message, Sampling
    from cogumi_serve.api.tool_calls import calling, functions_of

    request = GenerateRequest((Message("user", question),), Sampling(max_tokens=max_tokens))
    return request if tools is None else calling(request, functions_of(_read_tools(tools)))


def _read_tools(path: Path) -> Any:
    from cogumi_core.formats.json_files import read_json

    data = read_json(path, "a list of tools is expected")
    return data.get("tools", data) if isinstance(data, dict) and "name" not in data else data
