"""`cogumi doctor`: all that a recipe needs, components inside components too, each with what to do; nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Cogumi = Callable[..., Any]


def recipe(filter_: str) -> str:
    return f"dataset: rows.jsonl\nfilter:\n  - {filter_}\n"


def rows(out: str) -> dict[str, tuple[bool | None, str]]:
    return {row["name"]: (row["ok"], row["detail"]) for row in json.loads(out)}


def test_the_key_of_a_component_inside_another_is_asked_for(cogumi: Cogumi, monkeypatch: pytest.MonkeyPatch) -> None:
    text = recipe("{use: judged, with: {judge: cloud}}")
    code, out, _ = cogumi("doctor", text, "--json")
    assert code == 1
    assert rows(out)["filter[0]:judged > teacher:cloud key"] == (False, "set it with: export CLOUD_KEY=...")
    monkeypatch.setenv("CLOUD_KEY", "secret")
    code, out, _ = cogumi("doctor", text, "--json")
    assert code == 0
    assert rows(out)["filter[0]:judged > teacher:cloud key"] == (True, "CLOUD_KEY is set")
    assert "secret" not in out


def test_the_library_of_a_component_inside_another_is_asked_for(cogumi: Cogumi) -> None:
    code, out, _ = cogumi("doctor", recipe("{use: judged, with: {judge: far}}"), "--json")
    ok, detail = rows(out)["filter[0]:judged > teacher:far"]
    assert (code, ok) == (1, False)
    assert 'try: pip install "test-plugin[far]"' in detail


def test_a_student_on_hugging_face_is_named_and_not_fetched(cogumi: Cogumi, isolated_plugins: Any) -> None:
    isolated_plugins.offer("compressor", "halve", lambda settings, services: None, accepts=frozenset({"hf"}), produces="half")
    code, out, _ = cogumi("doctor", "student: cogumi-tests/no-such-model\ncompress: [{use: halve}]\n", "--json")
    ok, detail = rows(out)["student"]
    assert (code, ok) == (0, None)
    assert detail == "cogumi-tests/no-such-model is not here yet; a run downloads it from Hugging Face first"


def test_without_an_engine_it_says_what_is_lost_and_what_to_install(cogumi: Cogumi, isolated_plugins: Any) -> None:
    isolated_plugins.offer("compressor", "halve", lambda settings, services: None, accepts=frozenset({"hf"}), produces="half")
    _, out, _ = cogumi("doctor", "student: cogumi-tests/no-such-model\ncompress: [{use: halve}]\n", "--json")
    ok, detail = rows(out)["engine"]
    assert ok is None
    assert "compression is not measured" in detail
    assert "pip install" in detail


def test_the_engine_of_the_recipe_is_walked_too(cogumi: Cogumi, isolated_plugins: Any) -> None:
    from judge_support import CloudSettings

    isolated_plugins.offer("engine", "remote", lambda settings, services: None, CloudSettings, accepts=frozenset({"half"}))
    code, out, _ = cogumi("doctor", "engine: remote\n" + recipe("{use: judged, with: {judge: far}}"), "--json")
    found = rows(out)
    assert code == 1
    assert found["engine:remote"][0] is True
    assert found["engine:remote key"] == (False, "set it with: export CLOUD_KEY=...")


def test_it_is_a_table_for_people(cogumi: Cogumi) -> None:
    _, out, _ = cogumi("doctor", recipe("{use: judged, with: {judge: cloud}}"))
    assert any(
        line.startswith("filter[0]:judged > teacher:cloud key  MISSING  set it with: export") for line in out.splitlines()
    )
