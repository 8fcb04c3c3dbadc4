"""`cogumi serve`: the OpenAI-compatible server."""

from __future__ import annotations

from pathlib import Path

import click

from cogumi_serve.commands import options


@click.command("serve")
@options.system
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; others than loopback need --keys.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option("--keys", type=click.Path(path_type=Path), help="File with one API key per line.")
@click.option(
    "--context", "context_tokens", default=4096, show_default=True, type=click.IntRange(64), help="Tokens of context."
)
@click.option(
    "--parallel", default=4, show_default=True, type=click.IntRange(1), help="Answers to compute at once, where the engine can."
)
@click.option("--queue", default=16, show_default=True, type=click.IntRange(0), help="Requests that may wait for the model.")
@options.check
@click.pass_context
def command(
    context: click.Context,
    system: Path,
    host: str,
    port: int,
    keys: Path | None,
    context_tokens: int,
    parallel: int,
    queue: int,
    check: bool,
) -> None:
    """Serve SYSTEM with an OpenAI-compatible API."""
    from cogumi_serve.api.server import Server

    server = Server.bind(host, port, keys)
    opened = {"context_tokens": context_tokens, "parallel": parallel, "check": check}
    server.load(system, context.obj.registry, queue=queue, **opened)
    click.echo(f"serving {server.name} at {server.url}/v1 (models: {', '.join(server.models)}); Ctrl-C stops", err=True)
    server.run()
