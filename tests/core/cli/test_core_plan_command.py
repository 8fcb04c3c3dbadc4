"""`cogumi plan`: every stage, what any of them would spend, and what would be downloaded, which a plan never does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Cogumi = Callable[..., Any]
HEAD = "dataset: rows.jsonl\n"


def test_the_stage_of_a_third_partys_section_is_planned(cogumi: Cogumi) -> None:
    code, out, _ = cogumi("plan", HEAD + "count: [{use: words, with: {least: 3}}]\n", "--json")
    assert code == 0
    assert [(row["name"], row["state"]) for row in json.loads(out)["stages"]] == [("dataset", "miss"), ("count", "waits")]


def test_a_mistyped_section_of_a_third_partys_gets_the_near_one(cogumi: Cogumi) -> None:
    code, _, err = cogumi("plan", HEAD + "cuont: [{use: words}]\n")
    assert code == 2
    assert "line 2, cuont: unknown section. Did you mean 'count'?" in err


def test_what_a_filters_judge_costs_is_said_to_be_unknown(cogumi: Cogumi) -> None:
    _, out, _ = cogumi("plan", HEAD + "filter: [{use: judged, with: {judge: cloud}}]\n")
    assert "dollars not known" in out
    assert "dollars: no limit is set; forecast: not known before a run (asked by filter[0]:judged)" in out


def test_what_a_filter_says_that_its_judge_costs_is_in_the_forecast(cogumi: Cogumi) -> None:
    text = "budget: {usd: 2}\n" + HEAD + "filter: [{use: reckoned, with: {judge: cloud}}]\n"
    _, out, _ = cogumi("plan", text)
    assert "dollars: at most $2.00 are allowed over all runs; forecast: at most $0.50 (asked by filter[0]:reckoned)" in out
    _, out, _ = cogumi("plan", text, "--json")
    assert json.loads(out)["forecast"]["usd"] == pytest.approx(0.5)


def test_a_student_to_be_fetched_is_named(cogumi: Cogumi, isolated_plugins: Any) -> None:
    isolated_plugins.offer("compressor", "halve", lambda settings, services: None, accepts=frozenset({"hf"}), produces="half")
    text = "student: cogumi-tests/no-such-model\ncompress: [{use: halve}]\n"
    code, out, _ = cogumi("plan", text)
    assert code == 0
    assert "student: cogumi-tests/no-such-model is not here yet; a run downloads it from Hugging Face first" in out
    _, out, _ = cogumi("plan", text, "--json")
    found = json.loads(out)
    assert found["to_fetch"] == "cogumi-tests/no-such-model"
    assert found["stages"][0]["state"] == "waits"
