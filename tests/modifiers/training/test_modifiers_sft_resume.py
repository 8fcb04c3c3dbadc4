"""A training that was killed or interrupted ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import modifiers_training_support as support
import pytest
import torch
from processes import running, wait_until

from cogumi_core import Interrupted
from cogumi_modifiers.students.hf import load_student, save_student
from cogumi_modifiers.testing import tiny_llama
from cogumi_modifiers.training.answer_trainer import DivergenceError
from cogumi_modifiers.training.checkpoints import MARK, newest_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("tiny") / "student", dtype=torch.bfloat16)


class InterruptAt:
    """Progress that asks to stop at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, done: float, *_: Any, **__: float) -> None:
        if done == self.step:
            message = "stop, please"
            raise Interrupted(message)


def digest(folder: Path) -> str:
    return support.reference(folder / "output").digest


def test_a_killed_training_ends_in_the_same_bytes(base: Path, tmp_path: Path) -> None:
    undisturbed = support.train(base, tmp_path / "undisturbed")
    command = [sys.executable, support.__file__, str(base), str(tmp_path / "killed"), str(torch.get_num_threads()), "{}"]
    # The same number of threads, or sums are formed in another order.
    mark = tmp_path / "killed" / "scratch" / "checkpoints" / "checkpoint-4" / MARK
    with running(*command, env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}) as process:
        wait_until(mark.exists, process)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "killed" / "output").exists()
    resumed = support.train(base, tmp_path / "killed")
    assert (
        support.reference(tmp_path / "killed" / "output").digest
        == support.reference(tmp_path / "undisturbed" / "output").digest
    )
    assert resumed.losses == undisturbed.losses
    assert resumed.metrics["tokens"] == undisturbed.metrics["tokens"]


@pytest.mark.parametrize("settings", [{}, {"gradient_accumulation_steps": 2, "micro_batch_size": 2}, {"schedule": "cosine"}])
def test_an_interrupted_training_ends_in_the_same_bytes(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    undisturbed = support.train(base, tmp_path / "undisturbed", **settings)
    with pytest.raises(Interrupted):
        support.train(base, tmp_path / "stopped", run={"progress": InterruptAt(7)}, **settings)
    assert newest_checkpoint(tmp_path / "stopped" / "scratch" / "checkpoints").name == "checkpoint-7"  # type: ignore[union-attr]
    assert support.train(base, tmp_path / "stopped", **settings).losses == undisturbed.losses
    assert (
        support.reference(tmp_path / "stopped" / "output").digest
        == support.reference(tmp_path / "undisturbed" / "output").digest
    )


def test_a_checkpoint_cut_short_is_passed_over(base: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        support.train(base, tmp_path / "stopped", run={"progress": InterruptAt(9)})
    checkpoints = tmp_path / "stopped" / "scratch" / "checkpoints"
    (checkpoints / "checkpoint-9" / MARK).unlink()
    (checkpoints / "checkpoint-9" / "optimizer.pt").write_bytes(b"half")
    first: list[float] = []
    report = support.train(base, tmp_path / "stopped", run={"progress": lambda done, *_, **__: first.append(done)})
    assert first[0] == 9  # gone on from checkpoint-8
    assert report.losses == support.train(base, tmp_path / "undisturbed").losses


def test_the_newest_checkpoint_is_the_one_with_most_steps(tmp_path: Path) -> None:
    for step in (4, 12, 8):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / MARK).touch()
    (tmp_path / "checkpoint-16").mkdir()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-12"
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_early_stopping_is_remembered_after_an_interruption(base: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "max_steps": 40,
        "save_steps": 2,
        "learning_rate": 0.1,
        "early_stopping": {"held_out": 0.25, "patience": 2},
    }
    undisturbed = support.train(base, tmp_path / "undisturbed", **settings)
    assert len(undisturbed.losses) < 40
    with pytest.raises(Interrupted):
        support.train(base, tmp_path / "stopped", run={"progress": InterruptAt(len(undisturbed.losses) - 1)}, **settings)
    support.train(base, tmp_path / "stopped", **settings)
    assert (
        support.reference(tmp_path / "stopped" / "output").digest
        == support.reference(tmp_path / "undisturbed" / "output").digest
    )


def test_a_loss_that_is_no_number_stops_with_advice(base: Path, tmp_path: Path) -> None:
    model, tokenizer = load_student(support.reference(base))
    with torch.no_grad():
        model.model.norm.weight.fill_(float("inf"))
    save_student(model, tokenizer, tmp_path / "broken")
    with pytest.raises(DivergenceError, match=r"the loss is nan at step 1 .* lower learning_rate \(it is 0\.005\)"):
        support.train(tmp_path / "broken", tmp_path)
    assert not (tmp_path / "output").exists()
    assert newest_checkpoint(tmp_path / "scratch" / "checkpoints") is None


def test_progress_counts_steps_and_shows_the_loss(base: Path, tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []
    report = support.train(
        base, tmp_path, run={"progress": lambda done, total, unit, **figures: seen.append((done, total, unit, figures))}
    )
    assert [entry[:3] for entry in seen] == [(step, 12, "steps") for step in range(1, 13)]
    assert [entry[3] for entry in seen[1:]] == [{"loss": point.loss} for point in report.losses[:-1]]
