"""`cogumi chat`: a conversation on the terminal."""

from __future__ import annotations

from pathlib import Path

import click

from cogumi_serve.commands import options


@click.command("chat")
@options.system
@options.model
@options.max_tokens
@click.pass_context
def command(context: click.Context, system: Path, model: str, max_tokens: int) -> None:
    """Talk with SYSTEM.

    /model NAME, /receipt, /new, /help, /quit. Ctrl-C ends an answer, Ctrl-D the chat."""
    from cogumi_serve.chat.terminal import Chat
    from cogumi_serve.system.routed import RoutedSystem

    with RoutedSystem.open(system, context.obj.registry) as opened:
        Chat(opened, model, max_tokens).run()
