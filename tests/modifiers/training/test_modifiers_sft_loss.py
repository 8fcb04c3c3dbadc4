"""The loss is the answer's, whatever stands around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from modifiers_training_support import adapted, rows

from cogumi_modifiers.testing import tiny_llama
from cogumi_modifiers.training import answer_trainer
from cogumi_modifiers.training.answer_trainer import Collator, answer_loss, learning_rate_factor
from cogumi_modifiers.training.optimizer import MasterAdamW
from cogumi_modifiers.training.rows import TrainingRow
from cogumi_modifiers.training.sft import _dataset


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("tiny") / "student")


def _loss_inputs(some: list[TrainingRow]) -> dict[str, torch.Tensor]:
    batch = Collator(32)(list(_dataset(some)))
    return {name: batch[name] for name in ("input_ids", "labels")}


def _gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def _by_hand(model: Any, some: list[TrainingRow]) -> torch.Tensor:
    """Each row alone, unpadded, through the whole model: the negative log-likelihood of its answer."""
    total = torch.zeros(())
    for row in some:
        ids = torch.tensor([[*row.prompt_ids, *row.answer_ids]])
        logprobs = model(input_ids=ids).logits[0].log_softmax(-1)
        total = total - sum(logprobs[len(row.prompt_ids) + i - 1, token] for i, token in enumerate(row.answer_ids))
    return total


def test_loss_and_gradients_are_those_of_the_answers_alone(base: Path) -> None:
    model, tokenizer = adapted(base)
    some = rows(tokenizer, 4)
    expected = _by_hand(model, some)
    total, count = answer_loss(model, **_loss_inputs(some))
    assert int(count) == sum(len(row.answer_ids) for row in some)
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(_gradients(model, total), _gradients(model, expected), rtol=1e-3, atol=1e-5)


def test_scoring_in_pieces_changes_nothing(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = adapted(base)
    batch = _loss_inputs(rows(tokenizer, 4))
    whole = _gradients(model, answer_loss(model, **batch)[0])
    monkeypatch.setattr(answer_trainer, "_LOGITS_AT_ONCE", 7 * len(tokenizer))
    torch.testing.assert_close(_gradients(model, answer_loss(model, **batch)[0]), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("lengths", "width"), [((5, 9), 32), ((32, 1), 32), ((33, 2), 64)])
def test_batches_are_padded_to_a_multiple(lengths: tuple[int, int], width: int) -> None:
    batch = Collator(32)([{"input_ids": [7] * length, "labels": [-100] * length} for length in lengths])
    assert {tuple(value.shape) for value in batch.values()} == {(2, width)}
    assert batch["attention_mask"].sum(1).tolist() == list(lengths)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("linear", [1 / 3, 2 / 3, 1, 0.75, 0.5, 0.25]),
        ("constant", [1 / 3, 2 / 3, 1, 1, 1, 1]),
        ("cosine", [1 / 3, 2 / 3, 1, 0.8535534, 0.5, 0.1464466]),
    ],
)
def test_learning_rate_follows_the_schedule_and_no_step_is_idle(schedule: str, factors: list[float]) -> None:
    found = [learning_rate_factor(step, schedule=schedule, warmup=2, total=6) for step in range(6)]
    assert found == pytest.approx(factors)


def test_small_steps_on_16_bit_weights_add_up() -> None:
    weight = torch.nn.Parameter(torch.full((4,), 1.0, dtype=torch.bfloat16))
    optimizer = MasterAdamW([weight], lr=1e-4, weight_decay=0.0)
    for _ in range(200):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    # Each step alone is below bf16's resolution of 2^-8 at 1.0.
    assert weight.tolist() == pytest.approx([0.98] * 4, abs=4e-3)
