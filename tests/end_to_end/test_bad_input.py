"""What a person does wrong: one clear message, the right exit code, and nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cogumi_core.cli.main import main

GOOD = {"instruction": "Say hello to the reader.", "response": "Hello, dear reader, and welcome to this page."}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COGUMI_STORE", str(tmp_path / "store"))
    return tmp_path


def write_recipe(text: str) -> str:
    Path("recipe.yaml").write_text(f"version: 1\nseed: 1\n{text}")
    return "recipe.yaml"


def write_rows(*rows: object) -> None:
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("command", ["run", "plan", "doctor"])
def test_no_such_recipe(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "nowhere.yaml"]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"\x00\x01\x02GGUF", b"\xff\xfe\x00", b"PK\x03\x04" + bytes(100)])
def test_a_binary_file_as_recipe(data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("recipe.yaml").write_bytes(data)
    assert main(["run", "recipe.yaml"]) == 2
    assert "recipe.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "code", "words"),
    [
        ("student: nowhere.gguf\ncompress: [{use: gguf, with: {type: Q4_0}}]\n", 2, ["student", "nowhere.gguf"]),
        ("student: rows.jsonl\ncompress: [{use: gguf, with: {type: Q4_0}}]\n", 2, ["neither a GGUF file"]),
        (
            "student: package:no-such-package/x.gguf\ncompress: [{use: zstd}]\n",
            2,
            ["python -m cogumi_core.formats.data_packages"],
        ),
        ("dataset: nowhere.jsonl\nfilter: [{use: format}]\n", 2, ["nowhere.jsonl"]),
        ("dataset: rows.jsonl\nfilter: [{use: formta}]\n", 2, ["line 4", "filter[0].use", "Did you mean 'format'"]),
        ("dataset: rows.jsonl\ncompress: [{use: zstd}]\n", 2, ["student"]),
    ],
)
def test_a_recipe_that_cannot_run(recipe: str, code: int, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(GOOD)
    assert main(["run", write_recipe(recipe)]) == code
    error = capsys.readouterr().err
    assert [word for word in words if word not in error] == []
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], ["empty"]),
        ([GOOD, {"instruction": "Say it."}], ["line 2", "response"]),
        ([{**GOOD, "id": "a"}, {**GOOD, "id": "a"}], ["line 2", "'a'", "line 1"]),
        ([{**GOOD, "response": GOOD["instruction"]}], ["all 1 rows were dropped by 'format'"]),
    ],
)
def test_bad_rows(rows: list[object], words: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(*rows)
    assert main(["run", write_recipe("dataset: rows.jsonl\nfilter: [{use: format}]\n"), "--out", "out"]) == 1
    error = capsys.readouterr().err
    assert [word for word in words if word not in error] == []
    assert not (here / "out").exists()
    assert not list((here / "store" / "building").rglob("output"))


def test_a_truncated_gguf(smollm2: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("cut.gguf").write_bytes(smollm2.read_bytes()[:1_000_000])
    code = main(["run", write_recipe("student: cut.gguf\ncompress: [{use: gguf, with: {type: Q8_0}}]\n"), "--out", "out"])
    error = capsys.readouterr().err
    assert code in (1, 2)
    assert "cut.gguf" in error
    assert "cut short" in error
    assert not (here / "out").exists()


def test_a_model_that_is_no_llama(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("student").mkdir()
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "hidden_size": 8, "vocab_size": 16}
    Path("student/config.json").write_text(json.dumps(config))
    recipe = write_recipe("student: student\ncompress: [{use: gguf, with: {type: Q8_0}}]\nmeasure: off\n")
    assert main(["run", recipe, "--out", "out"]) == 1
    error = capsys.readouterr().err.lower()
    assert "gpt2" in error
    assert "llama" in error


def test_five_mistakes_are_told_at_once_with_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Path("recipe.yaml").write_text(
        "version: 1\n"
        "seed: -3\n"
        "student: model.gguf\n"
        "compress:\n"
        "  - {use: zstdd}\n"
        "  - {use: gguf, with: {typo: Q5_0}}\n"
        "router: {use: confidence, with: {threshold: 3}}\n"
        "fitler: []\n"
    )
    assert main(["plan", "recipe.yaml"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("recipe.yaml: 5 problems")
    words = [
        "line 2, seed",
        "line 5, compress[0].use",
        "Did you mean 'zstd'?",
        "line 6",
        "Did you mean 'type'?",
        "line 7",
        "line 8",
    ]
    assert [word for word in words if word not in error] == []


def test_an_unknown_row_is_told_apart_from_a_dropped_one(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows({**GOOD, "id": "fine"}, {**GOOD, "id": "echo", "response": GOOD["instruction"]})
    assert main(["run", write_recipe("dataset: rows.jsonl\nfilter: [{use: format}]\n"), "--out", "out"]) == 0
    capsys.readouterr()
    assert main(["why", "out", "echo"]) == 0
    assert "dropped by filter[0]:format" in capsys.readouterr().out
    assert main(["why", "out", "eco"]) == 2
    assert "Did you mean 'echo'?" in capsys.readouterr().err


def test_a_delivered_dataset_verifies_and_a_changed_one_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(GOOD)
    assert main(["run", write_recipe("dataset: rows.jsonl\nfilter: [{use: format}]\n"), "--out", "out"]) == 0
    assert main(["verify", "out"]) == 0
    path = Path("out/dataset.jsonl")
    path.write_text(path.read_text().replace("Hello", "Hallo"))
    capsys.readouterr()
    assert main(["verify", "out"]) == 1
    assert "dataset.jsonl" in capsys.readouterr().out
