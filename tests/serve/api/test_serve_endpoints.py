"""Adding an endpoint is a module and a line: what the table gives to each, shown with one of another kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from fastapi.testclient import TestClient
from serve_support import ManyAtOnce, ThrowAwayRegistry, write_system

from cogumi_core import InputError
from cogumi_serve.api import app as application
from cogumi_serve.api.endpoints import ENDPOINTS, Endpoint
from cogumi_serve.api.keys import KeyRing
from cogumi_serve.api.service import Service
from cogumi_serve.system.routed import RoutedSystem


async def echo(service: Service, request: Request) -> Response:
    if "bad" in request.query_params:
        message = "there is no echo here"
        raise InputError(message)
    return JSONResponse({"name": service.system.manifest.name})


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    base = tmp_path / "base.gguf"
    base.write_bytes(b"no model is needed")
    folder = write_system(tmp_path / "system", base, {})
    system = RoutedSystem.open(folder, ThrowAwayRegistry(engine=ManyAtOnce(1)))
    monkeypatch.setattr(application, "ENDPOINTS", (*ENDPOINTS, Endpoint("GET", "/v1/echo", echo)))
    return TestClient(application.create_app(system, keys=KeyRing(["key"])), headers={"authorization": "Bearer key"})


def test_a_new_endpoint_answers_from_the_service(client: TestClient) -> None:
    assert client.get("/v1/echo").json() == {"name": "test-system"}


def test_a_new_endpoint_is_behind_the_keys(client: TestClient) -> None:
    assert client.get("/v1/echo", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_an_error_of_a_new_endpoint_has_openais_shape(client: TestClient) -> None:
    response = client.get("/v1/echo?bad=1")
    assert (response.status_code, response.json()["error"]["message"]) == (400, "there is no echo here")


def test_every_endpoint_but_health_needs_a_key() -> None:
    assert [endpoint.path for endpoint in ENDPOINTS if not endpoint.needs_key] == ["/health"]
