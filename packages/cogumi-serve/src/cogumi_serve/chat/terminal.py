"""The interactive chat of `cogumi chat`, on a terminal or on piped lines."""

from __future__ import annotations

import sys
from typing import Final

import click

from cogumi_core import CogumiError, GenerateRequest, Message, Sampling
from cogumi_serve.system.receipt import Receipt
from cogumi_serve.system.routed import AUTO, RoutedSystem

HELP: Final = "/model NAME  /receipt  /new  /help  /quit"

# A model may print anything; on a terminal, control characters could move the cursor or retitle the window.
_CONTROL: Final = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class Chat:
    """A conversation. Everything said by the model goes to standard output, everything else to standard error."""

    def __init__(self, system: RoutedSystem, model: str, max_tokens: int) -> None:
        self._system, self._max_tokens = system, max_tokens
        self._messages: list[Message] = []
        self._receipt: Receipt | None = None
        self._model = AUTO
        self._choose(model)

    def run(self) -> None:
        """Until /quit or the end of the input."""
        self._note(f"{self._system.manifest.name}: models {', '.join(self._system.models)}. {HELP}")
        while (line := self._read()) is not None:
            text = line.strip()
            if text == "/quit":
                return
            if text.startswith("/"):
                self._command(text)
            elif text:
                self._turn(text)

    def _read(self) -> str | None:
        """The next line, None at the end of the input."""
        while True:
            try:
                if not sys.stdin.isatty():
                    return sys.stdin.readline() or None
                return input("> ")
            except EOFError:
                self._note("")
                return None
            except KeyboardInterrupt:
                self._note("\n(/quit or Ctrl-D ends the chat)")

    def _command(self, text: str) -> None:
        name, _, argument = text.partition(" ")
        if name == "/model" and argument.strip():
            self._try_choose(argument.strip())
        elif name == "/model":
            self._note(f"{self._model}; there are {', '.join(self._system.models)}")
        elif name == "/receipt":
            self._note("\n".join(self._receipt.lines()) if self._receipt else "nothing was answered yet")
        elif name == "/new":
            self._messages.clear()
            self._note("(new conversation)")
        else:
            self._note(HELP if name == "/help" else f"there is no {name}. {HELP}")

    def _turn(self, text: str) -> None:
        self._messages.append(Message("user", text))
        said: list[str] = []
        try:
            self._answer(said)
        except KeyboardInterrupt:
            self._note("\n(stopped)")
        except CogumiError as exc:
            self._note(str(exc))
        if said:
            self._messages.append(Message("assistant", "".join(said)))
        else:
            # A question without an answer would make two user turns in a row.
            self._messages.pop()

    def _answer(self, said: list[str]) -> None:
        request = GenerateRequest(tuple(self._messages), Sampling(max_tokens=self._max_tokens))
        reply = self._system.begin(request, self._model)
        try:
            for token in reply:
                said.append(token.text)
                click.echo(token.text.translate(_CONTROL) if sys.stdout.isatty() else token.text, nl=False)
            click.echo()
        finally:
            reply.close()
            self._receipt = reply.receipt

    def _try_choose(self, model: str) -> None:
        try:
            self._choose(model)
            self._note(f"(now {model})")
        except CogumiError as exc:
            self._note(str(exc))

    def _choose(self, model: str) -> None:
        self._system.require_model(model)
        self._model = model

    def _note(self, text: str) -> None:
        click.echo(text, err=True)
