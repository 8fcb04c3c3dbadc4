"""`cogumi run`: where it leaves the result, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.report.files import from_system

Cogumi = Callable[..., Any]
HEAD = "dataset: rows.jsonl\n"


def test_a_batch_that_is_under_way_ends_with_four_and_says_when_to_come_back(
    cogumi: Cogumi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_KEY", "there")
    text = HEAD + "filter: [{use: waiting, with: {judge: cloud}}]\n"
    code, out, err = cogumi("run", text, "--out", str(tmp_path / "out"))
    assert (code, out) == (4, "")
    assert err.splitlines()[-1] == "a batch of 6 requests is under way; run the same command again after 18:30"
    assert not (tmp_path / "out").exists()


def test_a_third_partys_stage_is_run_and_in_the_report(cogumi: Cogumi, tmp_path: Path) -> None:
    code, out, _ = cogumi("run", HEAD + "count: [{use: words}]\n", "--out", str(tmp_path / "out"), "--json")
    assert code == 0
    assert "count" in json.loads(out)["stages"]
    (part,) = from_system(tmp_path / "out").sections["parts"]
    assert part.title == "Words <b>counted</b>"


def test_what_a_filters_judge_cost_is_in_the_report(cogumi: Cogumi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_KEY", "there")
    text = HEAD + "filter: [{use: judged, with: {judge: cloud}}]\n"
    assert cogumi("run", text, "--out", str(tmp_path / "out"))[0] == 0
    sections = from_system(tmp_path / "out").sections
    (paid,) = sections["budget"].paid
    assert (paid.stage, paid.spend.asked) == ("filter[0]:judged", 6)
    assert sections["budget"].usd > 0
    assert {row.name: row.spend for row in sections["stages"]} == {"dataset": None, "filter[0]:judged": paid.spend}
