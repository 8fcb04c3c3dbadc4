"""`kill -9` at random moments: the same command goes on, nothing finished is done twice, and the bytes are those of an
undisturbed run."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill_support import Runs

from cogumi_compress.gguf.export import export_gguf
from cogumi_core.formats.rows import write_rows
from cogumi_core.store.artifacts import verify
from cogumi_modifiers.testing import tiny_llama

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart.yaml"
WORDS = ["river", "stone", "garden", "window", "bridge", "candle", "forest", "letter", "market", "mirror", "engine", "harbour"]
RECIPE = """
version: 1
name: small
seed: 5
student: tiny.gguf
sources: [{use: jsonl, with: {path: prompts.jsonl}}]
distill:
  - {use: local, share: 0.3, with: {model: student, max_tokens: 24}}
  - {use: reference, share: 0.7}
filter: [{use: length, with: {min_tokens: 4, max_tokens: 400}}]
dedup: {use: minhash}
train: {use: qlora, with: {lora_r: {attention: 8, ffn: 4}, max_steps: 24, save_steps: 3, quantization: none}}
compress: [{use: gguf, with: {type: Q8_0}}, {use: zstd}]
measure: {tokens: 256, context: 64}
modifiers:
  - use: automation
    with:
      benchmark: {use: bfcl, with: {mine_tasks: 8, train_tasks: 16, validate_tasks: 8}}
      lora_r: 8
      max_tokens: 16
      max_prompt_tokens: 480
router: {use: confidence}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A recipe with every kind of stage on a tiny random model: it times and interrupts, and says nothing of quality."""
    export_gguf(tiny_llama(tmp_path / "tiny"), tmp_path / "tiny.gguf", "F16")
    rows = [
        {
            "id": f"row-{number}",
            "prompt": f"Say something about a {WORDS[number % 12]} and a {WORDS[(number * 5 + 1) % 12]}, case {number}.",
            "reference": " ".join(WORDS[(number * step) % 12] for step in range(1, 12)) + f" {number * 7919}.",
            "domain": "creative",
        }
        for number in range(24)
    ]
    write_rows(tmp_path / "prompts.jsonl", rows)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def check(killed: Runs, undisturbed: Runs) -> None:
    assert killed.built_twice() == []
    assert killed.answered_twice() == 0
    assert verify(killed.folder / "out" / "system") == []
    expected, found = undisturbed.digests(), killed.digests()
    assert found.keys() == expected.keys()
    assert {stage: found[stage][0] for stage in found if found[stage][1]} == {
        stage: digest for stage, (digest, deterministic) in expected.items() if deterministic
    }


def test_killed_runs_of_a_small_recipe_end_in_the_same_bytes(small: Path, tmp_path: Path) -> None:
    undisturbed, killed = Runs(small, tmp_path / "a"), Runs(small, tmp_path / "b")
    seconds = undisturbed.complete()
    killed.kill_at_random(4, longest=seconds / 3, seed=1)
    assert killed.kills > 0
    killed.complete()
    check(killed, undisturbed)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(7200)
def test_ten_killed_runs_of_the_quickstart_end_in_the_same_bytes(tmp_path: Path) -> None:
    undisturbed, killed = Runs(QUICKSTART, tmp_path / "a"), Runs(QUICKSTART, tmp_path / "b")
    seconds = undisturbed.complete()
    killed.kill_at_random(10, longest=seconds / 3, seed=2)
    assert killed.kills > 0
    killed.complete()
    check(killed, undisturbed)
