"""The commands as a person types them: `cogumi ask`, `chat` and `serve`, run as the real program."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from processes import finished, running
from serve_support import write_system

pytestmark = pytest.mark.model

COGUMI = (sys.executable, "-m", "cogumi_core.cli.main")

TOOLS = [
    {
        "name": "ping",
        "description": "Pings",
        "parameters": {"type": "object", "properties": {"host": {"enum": ["a", "b"]}}, "required": ["host"]},
    }
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, base_path: Path, adapter_paths: dict[str, Path]) -> Path:
    return write_system(tmp_path_factory.mktemp("commands") / "system", base_path, adapter_paths)


def cogumi(*arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    return finished(*COGUMI, *arguments, input=text)


def test_ask_prints_the_answer_and_the_receipt_apart(system: Path) -> None:
    done = cogumi("ask", system, "Say hello.", "--max-tokens", "8")
    assert (done.returncode, bool(done.stdout.strip())) == (0, True)
    assert done.stderr.splitlines()[:2] == ["route: base", "why:   this system has no router, so the base answers"]


def test_ask_as_json_is_one_object(system: Path) -> None:
    done = cogumi("ask", system, "Say hello.", "--json", "--model", "alpha", "--max-tokens", "8")
    answer = json.loads(done.stdout)
    assert answer["receipt"]["route"] == "alpha"
    assert answer["answer"]
    assert answer["usage"]["completion_tokens"] <= 8
    assert done.stderr == ""


def test_ask_with_tools_answers_with_a_call(system: Path, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS))
    done = cogumi("ask", system, "Ping b.", "--tools", tmp_path / "tools.json")
    assert json.loads(done.stdout)["name"] == "ping"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "gamma"], "no model 'gamma'; it has auto, base, alpha, beta"),
        (["--tools", "missing.json"], "missing.json: no such file"),
        (["--tools", __file__], "not valid JSON"),
    ],
)
def test_ask_refuses_with_one_line(system: Path, arguments: list[str], said: str) -> None:
    done = cogumi("ask", system, "hi", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["ask", "PATH", "hi"], ["chat", "PATH"], ["serve", "PATH", "--port", "0"]])
def test_what_is_no_system_says_what_was_expected(tmp_path: Path, command: list[str]) -> None:
    done = cogumi(*[str(tmp_path) if part == "PATH" else part for part in command])
    assert done.returncode == 2
    assert "not a system folder" in done.stderr


def test_chat_answers_piped_lines_and_obeys_commands(system: Path) -> None:
    lines = "My name is Bob.\n/receipt\n/model alpha\nHello?\n/model nobody\n/new\n/what\n/quit\nnever read\n"
    done = cogumi("chat", system, "--max-tokens", "6", text=lines)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) >= 2
    for said in ("route: base", "(now alpha)", "no model 'nobody'", "(new conversation)", "there is no /what"):
        assert said in done.stderr


def test_chat_ends_with_its_input(system: Path) -> None:
    assert cogumi("chat", system, text="").returncode == 0


def test_interrupting_ends_the_answer_and_not_the_chat(system: Path) -> None:
    """On a terminal of its own: a long answer, Ctrl-C, then a command that is still obeyed."""
    controller, terminal = pty.openpty()
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    with running(*COGUMI, "chat", system, "--max-tokens", "3000", **streams) as chat:
        os.close(terminal)
        read_until(controller, "> ")
        # The answer is longer than a terminal holds unread, so that it is not finished before the signal comes.
        os.write(controller, b"Write a very long story about a king.\n")
        read_until(controller, "the", least=120)
        chat.send_signal(signal.SIGINT)
        read_until(controller, "(stopped)")
        os.write(controller, b"/receipt\n")
        read_until(controller, "route: base")
        os.write(controller, b"\x04")
        assert chat.wait() == 0
    os.close(controller)


def read_until(controller: int, text: str, least: int = 0) -> None:
    seen = ""
    while text not in seen or len(seen) < least:
        seen += os.read(controller, 1024).decode("utf-8", "replace")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_serve_says_when_the_port_is_in_use(system: Path, taken_port: int) -> None:
    done = cogumi("serve", system, "--port", str(taken_port))
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"cannot listen at 127.0.0.1:{taken_port}: Address already in use; stop what uses it, or choose"
    )


def test_serve_is_not_open_to_others_without_keys(system: Path, tmp_path: Path) -> None:
    done = cogumi("serve", system, "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, "add --keys FILE" in done.stderr) == (2, True)
    (tmp_path / "keys").write_text("# nothing yet\n")
    done = cogumi("serve", system, "--keys", tmp_path / "keys", "--port", "0")
    assert (done.returncode, "holds no key" in done.stderr) == (2, True)


def test_serve_answers_until_it_is_interrupted(system: Path) -> None:
    with running(*COGUMI, "serve", system, "--port", "0", stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        url = line.split()[3]
        assert "models: auto, base, alpha, beta" in line
        answer = httpx.post(
            f"{url}/chat/completions",
            timeout=None,
            json={"model": "auto", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4},
        )
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        rest = server.stderr.read()
    assert answer.json()["usage"]["completion_tokens"] == 4
    assert rest == ""
