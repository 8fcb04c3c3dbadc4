"""Fingerprints: canonical JSON, settings that count, and the explanation of a miss."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from cogumi_core.api.errors import PluginError
from cogumi_core.api.settings import Settings, execution_only, input_file
from cogumi_core.store.fingerprint import canonical_json, explain_difference, fingerprint, input_files, settings_for_fingerprint

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


PART = {"component": "minhash", "version": "1", "settings": {"a": 1}}


class Part(Settings):
    weight: float = Field(1.0, description="how much")
    path: str | None = input_file(None, description="a file")
    threads: int = execution_only(1, description="how fast")


class Whole(Settings):
    threshold: float = Field(0.8, description="where to cut")
    batch_size: int = execution_only(8, description="how fast")
    calibration: list[str] = input_file([], description="files")
    part: Part = Field(Part(), description="nested")
    parts: list[Part] = Field([], description="nested in a list")
    named: dict[str, Part] = Field({}, description="nested by name")
    words: frozenset[str] = Field(frozenset(), description="a set")


@given(JSON_VALUES)
@settings(deadline=None)
def test_canonical_json_reads_back_as_the_same_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON_VALUES))
@settings(deadline=None)
def test_the_order_of_keys_does_not_change_the_fingerprint(value: dict[str, Any]) -> None:
    assert fingerprint(dict(reversed(value.items()))) == fingerprint(value)


@given(JSON_VALUES, JSON_VALUES)
@settings(deadline=None)
def test_values_that_differ_have_texts_that_differ(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical_json(one) == canonical_json(other)) == same


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, float("nan")]}, r"\$\.a\[1\]: float nan"),
        ({"a": float("inf")}, r"\$\.a: float inf"),
        ({"a": {"b": Path("x")}}, r"\$\.a\.b: PosixPath"),
        ({"a": {1, 2}}, r"\$\.a: set"),
        ([b"x"], r"\$\[0\]: bytes"),
        ({1: "a"}, r"\$: the key 1 \(int\)"),
        ({"a": "\ud83d"}, r"\$\.a: str '\\ud83d'"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(value: Any, where: str) -> None:
    with pytest.raises(PluginError, match=where):
        canonical_json(value)


def test_settings_that_change_only_speed_or_name_files_are_left_out() -> None:
    settings = Whole(batch_size=64, calibration=["a.txt"], part=Part(path="b", threads=9), parts=[Part(threads=3)])
    found = settings_for_fingerprint(settings)
    assert found == {
        "threshold": 0.8,
        "part": {"weight": 1.0},
        "parts": [{"weight": 1.0}],
        "named": {},
        "words": [],
    }


def test_input_files_are_listed_by_field_path() -> None:
    settings = Whole(calibration=["a", "b"], part=Part(path="c"), parts=[Part(), Part(path="d")], named={"x": Part(path="e")})
    assert input_files(settings) == {
        "calibration[0]": "a",
        "calibration[1]": "b",
        "part.path": "c",
        "parts[1].path": "d",
        "named.x.path": "e",
    }


def test_a_default_written_out_is_the_same_as_a_default_left_out() -> None:
    assert settings_for_fingerprint(Whole(threshold=0.8)) == settings_for_fingerprint(Whole())


def _printed(script: str, environ: dict[str, str]) -> bytes:
    return subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True).stdout


def test_a_set_gives_the_same_fingerprint_in_every_process() -> None:
    script = (
        "from cogumi_core.store.fingerprint import fingerprint, settings_for_fingerprint as s\n"
        "from cogumi_core.api.settings import Settings\n"
        "class W(Settings):\n    words: frozenset[str]\n"
        "print(fingerprint(s(W(words=frozenset('abcdefghij')))))"
    )
    found = {_printed(script, {"PYTHONHASHSEED": seed}) for seed in ("0", "1", "2")}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"settings": {"threshold": 0.8}}, {"settings": {"threshold": 0.9}}, ["settings.threshold: 0.8 -> 0.9"]),
        ({"inputs": {"dataset": "aa"}}, {"inputs": {"dataset": "bb"}}, ["input dataset changed"]),
        ({"inputs": {}}, {"inputs": {"dataset": "bb"}}, ["input dataset added"]),
        ({"version": "1"}, {"version": "2"}, ["component version 1 -> 2"]),
        ({"seed": 1}, {"seed": 1, "extra": None}, ["extra: added (null)"]),
        ({"seed": 1, "extra": "x"}, {"seed": 1}, ['extra: removed (was "x")']),
        ({"seed": 1}, {"seed": 1}, []),
        ({"seed": 1}, {"seed": True}, ["seed: 1 -> true"]),
        ({"steps": [PART]}, {"steps": [PART | {"settings": {"a": 2}}]}, ["minhash.settings.a: 1 -> 2"]),
        ({"steps": [PART]}, {"steps": [PART | {"version": "2"}]}, ["minhash component version 1 -> 2"]),
        ({"steps": []}, {"steps": [{"x": 1}]}, ['steps[0]: added ({"x":1})']),
        ({"words": ["a"]}, {"words": ["b"]}, ['words: ["a"] -> ["b"]']),
    ],
)
def test_a_difference_is_explained(old: Mapping[str, Any], new: Mapping[str, Any], lines: list[str]) -> None:
    assert sorted(explain_difference(old, new)) == sorted(lines)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), JSON_VALUES))
@settings(deadline=None)
def test_equal_inputs_have_no_difference(inputs: dict[str, Any]) -> None:
    assert explain_difference(inputs, json.loads(canonical_json(inputs))) == []
