"""The server as a program meets it: a real one on a free port, asked by the real `openai` client and by raw HTTP."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from processes import wait_until
from serve_support import GatedEngine, ThrowAwayRegistry, write_system

from cogumi_core import JSON, RouteDecision, RouteRequest
from cogumi_serve.api.server import Server

pytestmark = pytest.mark.model

KEY = "test-key-0123456789"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Rome", "Oslo"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["city"],
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"enum": ["Ada", "Bob"]}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
    "required": ["name", "age"],
}


def decide(request: RouteRequest) -> RouteDecision:
    """Sends questions about poems to an adapter."""
    route = "alpha" if "poem" in request.messages[-1].content else "base"
    return RouteDecision(route, 0.5, 0.8, f"routed to {route}", {"tokens": float(len(request.logprobs))})


@pytest.fixture(scope="module")
def gate() -> GatedEngine:
    return GatedEngine()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, base_path: Path, adapter_paths: dict[str, Path], gate: GatedEngine
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    keys = folder / "keys"
    keys.write_text(f"# comment\n\nanother-key\n{KEY}\n")
    system = write_system(folder / "system", base_path, adapter_paths, router=True)
    running = Server.bind("127.0.0.1", 0, keys)
    running.load(system, ThrowAwayRegistry(decide, gate), context_tokens=512, queue=2)
    thread = threading.Thread(target=running.run)
    thread.start()
    with httpx.Client() as client:
        wait_until(lambda: _is_up(client, running.url))
    yield running
    running.stop()
    thread.join()


def _is_up(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=None) as made:
        yield made


@pytest.fixture
def raw(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {KEY}"}, timeout=None) as made:
        yield made


def user(text: str) -> list[JSON]:
    return [{"role": "user", "content": text}]


def call_of(arguments: str) -> JSON:
    return {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


# --- answers ---


def test_an_answer_has_text_usage_and_receipt(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=user("What is rain?"), max_tokens=12)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (12, answer.usage.prompt_tokens + 12)
    assert answer.cogumi["route"] == "base"
    assert answer.cogumi["confidence"] == 0.5


def test_the_route_and_confidence_are_in_the_headers(client: openai.OpenAI) -> None:
    response = client.chat.completions.with_raw_response.create(model="auto", messages=user("A poem!"), max_tokens=4)
    assert response.headers["x-cogumi-route"] == "alpha"
    assert response.headers["x-cogumi-confidence"] == "0.500000"


def test_a_stream_is_the_same_text_in_pieces_with_usage_last(client: openai.OpenAI) -> None:
    asked = {"model": "base", "messages": user("What is rain?"), "max_tokens": 12}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole
    assert len(chunks) > 8
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-2].cogumi["route"] == "base"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 12)


def test_without_being_asked_a_stream_has_no_usage_chunk(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="auto", messages=user("poem"), max_tokens=3, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].cogumi["route"] == "alpha"


def test_tools_give_one_call_with_arguments_that_fit(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=user("Weather in Rome?"), tools=[WEATHER], max_tokens=80)
    call = answer.choices[0].message.tool_calls[0]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] in ("Rome", "Oslo")


def test_a_streamed_call_is_assembled_by_the_client(client: openai.OpenAI) -> None:
    choice: JSON = {"type": "function", "function": {"name": "get_weather"}}
    with client.chat.completions.stream(
        model="auto", messages=user("Oslo?"), tools=[WEATHER], tool_choice=choice, max_tokens=80
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.name == "get_weather"
    assert final.choices[0].finish_reason == "tool_calls"


def test_earlier_calls_and_their_results_can_be_sent_back(client: openai.OpenAI) -> None:
    call = call_of('{"city": "Rome"}')
    messages: list[JSON] = [
        *user("Weather in Rome?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = client.chat.completions.create(model="auto", messages=messages, tools=[WEATHER], tool_choice="none", max_tokens=8)
    assert answer.choices[0].message.content


@pytest.mark.parametrize(
    "form",
    [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}],
)
def test_a_response_format_gives_json(client: openai.OpenAI, form: JSON) -> None:
    answer = client.chat.completions.create(model="base", messages=user("Ada is 36."), response_format=form, max_tokens=200)
    content = json.loads(answer.choices[0].message.content)
    if form["type"] == "json_schema":
        assert set(content) == {"name", "age"}


def test_log_probabilities_come_with_each_token(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="base", messages=user("What is rain?"), max_tokens=6, logprobs=True)
    entries = answer.choices[0].logprobs.content
    assert "".join(entry.token for entry in entries) == answer.choices[0].message.content
    assert all(entry.logprob <= 0 for entry in entries)


def test_content_parts_are_joined(client: openai.OpenAI) -> None:
    asked = {"model": "base", "max_tokens": 6}
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "rain?"}]
    answers = [
        client.chat.completions.create(messages=messages, **asked).choices[0].message.content
        for messages in (user("What is rain?"), [{"role": "user", "content": parts}])
    ]
    assert answers[0] == answers[1]


def test_seeds_and_stops_are_obeyed(client: openai.OpenAI) -> None:
    asked = {"model": "base", "messages": user("Write a poem."), "max_tokens": 16, "temperature": 1.0}
    texts = [client.chat.completions.create(**asked, seed=seed).choices[0].message.content for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    stop = texts[0].split()[2]
    assert stop not in client.chat.completions.create(**asked, seed=1, stop=[stop]).choices[0].message.content


def test_raw_completions_continue_text(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="base", prompt="The capital of France is", max_tokens=4)
    assert "Paris" in answer.choices[0].text
    chunks = list(client.completions.create(model="base", prompt="The capital of France is", max_tokens=4, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text


def test_the_models_are_auto_base_and_each_modifier(client: openai.OpenAI) -> None:
    models = client.models.list().data
    assert [model.id for model in models] == ["auto", "base", "alpha", "beta"]
    assert client.models.retrieve("alpha").parent == "base"


def test_two_clients_at_once_both_get_their_answers(client: openai.OpenAI) -> None:
    asked = [user("What is rain?"), user("Write a poem about snow.")]
    alone = [
        client.chat.completions.create(model="auto", messages=messages, max_tokens=12).choices[0].message.content
        for messages in asked
    ]
    got: dict[int, str] = {}

    def stream(number: int) -> None:
        chunks = client.chat.completions.create(model="auto", messages=asked[number], max_tokens=12, stream=True)
        got[number] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    threads = [threading.Thread(target=stream, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[0], got[1]] == alone


# --- refusals ---


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"n": 2}, "n"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"seed": 2**70}, "seed"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"functions": []}, "functions"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"something_new": 1}, "something_new"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "response_format": {"type": "json_object"}}, "response_format"),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "f",
                            "parameters": {"type": "object", "properties": {"a": {"type": "string", "pattern": "a"}}},
                        },
                    }
                ]
            },
            "tools",
        ),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}, "type": "dict"}}}},
            "response_format",
        ),
        ({"stream_options": {"other": 1}}, "stream_options.other"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "hi", "name": "x"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": "hi", "tool_calls": [call_of("{}")]}]}, "messages[0].tool_calls"),
        ({"messages": [*user("hi"), {"role": "assistant", "tool_calls": [call_of("{")]}]}, "messages[1].tool_calls"),
        ({"messages": [*user("hi"), {"role": "assistant", "tool_calls": [call_of("[]")]}]}, "messages[1].tool_calls"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
        ),
    ],
)
def test_what_is_not_obeyed_is_refused_by_name(raw: httpx.Client, extra: JSON, param: str) -> None:
    response = raw.post("/v1/chat/completions", json={"model": "auto", "messages": user("hi"), "max_tokens": 2, **extra})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "extra", [{"logprobs": 1}, {"echo": True}, {"best_of": 2}, {"suffix": "x"}, {"prompt": ["a", "b"]}, {"prompt": ""}]
)
def test_completions_refuse_by_name_too(raw: httpx.Client, extra: dict[str, JSON]) -> None:
    response = raw.post("/v1/completions", json={"model": "base", "prompt": "a", **extra})
    assert (response.status_code, response.json()["error"]["param"]) == (400, next(iter(extra)))


def test_parameters_that_change_nothing_are_taken(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="base",
        messages=user("hi"),
        max_tokens=2,
        n=1,
        presence_penalty=0,
        frequency_penalty=0.0,
        logit_bias={},
        user="someone",
        metadata={"a": "b"},
        parallel_tool_calls=True,
        store=False,
        logprobs=False,
    )
    assert answer.usage.completion_tokens == 2


def test_errors_reach_the_openai_client_as_its_own(server: Server, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-9", messages=user("hi"))
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as too_long:
        client.chat.completions.create(model="auto", messages=user("word " * 2000))
    assert too_long.value.code == "context_length_exceeded"
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"model": "base", "messages": [{"role": "user", "content": "hi"}], "temperature": NaN}', "NaN is not a JSON number"),
        (b"[" * 100_000, "not valid JSON"),
        (b"{}", "'model' is required"),
    ],
)
def test_a_malformed_body_is_a_400_that_says_why(raw: httpx.Client, content: bytes, said: str) -> None:
    response = raw.post("/v1/chat/completions", content=content)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


def test_a_body_that_is_too_large_is_refused_unread(raw: httpx.Client) -> None:
    response = raw.post("/v1/chat/completions", content=b" " * (4 * 1024 * 1024 + 1))
    assert (response.status_code, response.json()["error"]["type"]) == (413, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405), ("GET", "/", 404)]
)
def test_unknown_paths_and_methods_have_openais_shape(raw: httpx.Client, method: str, path: str, status: int) -> None:
    response = raw.request(method, path)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", KEY, f"Basic {KEY}", f"Bearer {KEY}x"])
def test_without_a_key_of_the_file_nothing_but_health_answers(server: Server, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    assert httpx.get(f"{server.url}/health", headers=headers).json() == {"status": "ok"}
    for path in ("/v1/models", "/metrics"):
        assert httpx.get(f"{server.url}{path}", headers=headers).status_code == 401
    posted = httpx.post(f"{server.url}/v1/chat/completions", headers=headers, content=b"{}")
    assert (posted.status_code, posted.json()["error"]["code"]) == (401, "invalid_api_key")


# --- load ---


def long_request(raw: httpx.Client, *, stream: bool) -> httpx.Request:
    body = {"model": "base", "messages": user("Write a long story."), "max_tokens": 400, "temperature": 1.5, "seed": 1}
    return raw.build_request("POST", "/v1/chat/completions", json={**body, "stream": stream})


def metric(raw: httpx.Client, name: str) -> int:
    found = re.search(rf"^{name} (\d+)$", raw.get("/metrics").text, re.MULTILINE)
    return int(found[1]) if found else 0


def leave(server: Server, raw: httpx.Client, *, stream: bool) -> None:
    """Asks on a connection of its own, and closes that before the answer can get past its third token."""
    request = long_request(raw, stream=stream)
    host, _, port = server.url.removeprefix("http://").partition(":")
    lines = [f"POST {request.url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items()), "", ""]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall("\r\n".join(lines).encode() + request.read())
        if stream:
            assert connection.recv(12) == b"HTTP/1.1 200"
        else:
            wait_until(lambda: metric(raw, "cogumi_load") == 1)


@pytest.mark.parametrize("stream", [True, False], ids=["while it streams", "while it waits"])
def test_a_client_that_leaves_stops_the_decoding(server: Server, raw: httpx.Client, gate: GatedEngine, stream: bool) -> None:
    wait_until(lambda: metric(raw, "cogumi_load") == 0)
    left, decoded = metric(raw, "cogumi_cancelled_total"), gate.decoded
    with gate.held(at=3) as go_on:
        leave(server, raw, stream=stream)
        wait_until(lambda: metric(raw, "cogumi_cancelled_total") == left + 1)
        go_on()
        wait_until(lambda: metric(raw, "cogumi_load") == 0)
    assert gate.decoded - decoded <= 4


def test_a_full_queue_says_when_to_come_back(raw: httpx.Client, gate: GatedEngine) -> None:
    wait_until(lambda: metric(raw, "cogumi_load") == 0)
    responses: list[httpx.Response] = []
    short = raw.build_request("POST", "/v1/chat/completions", json={"model": "base", "messages": user("hi"), "max_tokens": 2})

    def ask() -> None:
        with httpx.Client(timeout=None) as client:
            responses.append(client.send(short))

    with gate.held(at=1) as go_on:
        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        wait_until(lambda: metric(raw, "cogumi_load") == 3)
        refused = raw.send(short)
        go_on()
        for thread in asking:
            thread.join()
    assert (refused.status_code, refused.headers["retry-after"], refused.json()["error"]["code"]) == (503, "1", "queue_full")
    assert [response.status_code for response in responses] == [200, 200, 200]


def test_the_metrics_count_what_happened(raw: httpx.Client) -> None:
    raw.post("/v1/chat/completions", json={"model": "alpha", "messages": user("hi"), "max_tokens": 2})
    lines = raw.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert int(values['cogumi_answers_total{route="alpha"}']) >= 1
    assert int(values['cogumi_tokens_total{kind="completion"}']) >= 2
    assert int(values["cogumi_answer_seconds_count"]) == int(values['cogumi_answer_seconds_bucket{le="+Inf"}']) >= 1
