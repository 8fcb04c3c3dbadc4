"""Which domain a query is of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from router_support import bfcl_questions, bundled_prompts, fit, general_rows, humaneval_prompts

from cogumi_router.gate.learning import fit_gate
from cogumi_router.signals.text import Query, features


def test_held_out_tool_queries_and_code_prompts_are_told_apart(tmp_path: Path) -> None:
    rows = general_rows("automation", bfcl_questions()) + general_rows("code", humaneval_prompts())
    gate = fit(tmp_path, rows)[0].metrics["gate"]
    assert gate["n_held_out"] > 250
    assert gate["accuracy"] > 0.98
    assert gate["cross_validated_accuracy"] > 0.98


def test_the_bundled_prompts_are_told_from_tool_queries_and_from_each_other(tmp_path: Path) -> None:
    rows = [replace(row, has_schema=True) for row in general_rows("automation", bfcl_questions())]
    for domain in sorted({domain for domain, _ in bundled_prompts()}):
        rows += general_rows(domain, [text for other, text in bundled_prompts() if other == domain])
    gate = fit(tmp_path, rows)[0].metrics["gate"]
    assert gate["recall"]["automation"]["share"] == 1.0
    # Six domains of eleven rows each are little; guessing gets one in six.
    assert gate["balanced_accuracy"] > 0.65


def test_queries_of_one_domain_need_no_gate() -> None:
    assert fit_gate([Query("a", "code"), Query("b", "code")]) is None


def test_probabilities_sum_to_one_over_the_domains() -> None:
    gate = fit_gate([Query("red apple", "fruit"), Query("blue car", "traffic"), Query("green pear", "fruit")])
    assert gate is not None
    shares = gate.probabilities("a red pear")
    assert set(shares) == {"fruit", "traffic"}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["fruit"] > 0.5


def test_a_rare_domain_is_still_found() -> None:
    rows = [Query(f"please sum {number} and {number + 1}", "math") for number in range(200)]
    rows += [Query(f"sing a song about the {word}", "creative") for word in ("sea", "moon", "hills")]
    gate = fit_gate(rows)
    assert gate is not None
    assert gate.probabilities("sing a song about the river")["creative"] > 0.5


def test_features_have_length_one_and_ignore_case_and_spacing() -> None:
    columns, values = features("Sort  a LIST\n", 4096)
    same, _ = features("sort a list", 4096)
    assert np.linalg.norm(values) == pytest.approx(1, abs=1e-6)
    assert columns.tolist() == same.tolist()
    assert columns.max() < 4096


@pytest.mark.parametrize("text", ["", "  ", "...", "?!"])
def test_a_text_without_words_has_no_features(text: str) -> None:
    assert len(features(text, 1024)[0]) == 0
