"""The trainer `qlora`: what it trains, what it leaves out, what it writes and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from modifiers_training_support import examples, reference, train
from pydantic import ValidationError

from cogumi_core import Example, InputError, Message, ModelFacts, ModelRef, Vocabulary
from cogumi_core.testing import TrainerSuite, sample_conversations
from cogumi_modifiers.students.hf import load_student, save_student
from cogumi_modifiers.testing import tiny_llama
from cogumi_modifiers.trainers.settings import QloraSettings
from cogumi_modifiers.training.adapters import TARGETS, add_adapters, merge
from cogumi_modifiers.training.rows import RowEncoder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("tiny") / "student", dtype=torch.bfloat16)


class TestConformance(TrainerSuite):
    component = "qlora"
    settings: ClassVar[dict[str, Any]] = {"max_steps": 4, "save_steps": 2, "lora_r": 4}

    @pytest.fixture(scope="class")
    @classmethod
    def base(cls, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
        return reference(tiny_llama(tmp_path_factory.mktemp("tiny") / "student", dtype=torch.bfloat16))


def _model(base: Path, dtype: torch.dtype = torch.float32, **ranks: int) -> Any:
    model, _ = load_student(reference(base), dtype)
    rank = {"attention": 6, "ffn": 3, **ranks}
    return add_adapters(model, rank=rank, alpha={group: 4.0 * r for group, r in rank.items()}, seed=1)


@pytest.mark.parametrize(("group", "rank"), [("attention", 6), ("ffn", 3)])
def test_every_linear_layer_has_its_groups_rank_and_scale(base: Path, group: str, rank: int) -> None:
    model = _model(base)
    found = [module for name, module in model.named_modules() if name.rpartition(".")[2] in TARGETS[group]]
    assert len(found) == 2 * len(TARGETS[group])
    assert {module.lora_A["default"].weight.shape[0] for module in found} == {rank}
    assert {module.lora_B["default"].weight.shape[1] for module in found} == {rank}
    assert {module.scaling["default"] for module in found} == {4.0}


def test_a_rank_of_0_leaves_a_group_alone(base: Path) -> None:
    trained = {name for name, weight in _model(base, ffn=0).named_parameters() if weight.requires_grad}
    assert trained
    assert not [name for name in trained if "mlp" in name]


def test_fresh_adapters_change_nothing(base: Path) -> None:
    plain, ids = load_student(reference(base), torch.float32)[0], torch.arange(20).reshape(1, -1)
    with torch.no_grad():
        assert torch.equal(_model(base)(ids).logits, plain(ids).logits)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.3)])
def test_the_merged_model_answers_like_the_adapted_one(base: Path, dtype: torch.dtype, tolerance: float) -> None:
    model, ids = _model(base, dtype), torch.arange(20).reshape(1, -1)
    plain, _ = load_student(reference(base), dtype)
    with torch.no_grad():
        before = plain(ids).logits
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
        adapted = model(ids).logits
        elsewhere = merge(model, into=plain)(ids).logits
        merged = merge(model)(ids).logits
    assert float((adapted - before).abs().max()) > 5 * tolerance
    torch.testing.assert_close(merged, adapted, rtol=0, atol=tolerance)
    assert torch.equal(elsewhere, merged)


def test_the_loss_falls_and_the_student_remembers(base: Path, tmp_path: Path) -> None:
    few = [Example.of(str(i), f"say {word}", word) for i, word in enumerate(("yes", "no", "maybe", "never"))]
    report = train(base, tmp_path, few, max_steps=60, learning_rate=5e-3, lora_r=32, lora_dropout=0, save_steps=0)
    assert report.losses[-1].loss < 0.1 * report.losses[0].loss
    model, tokenizer = load_student(reference(tmp_path / "output"))
    prompt = RowEncoder(tokenizer).prompt([Message("user", "say maybe")])
    answer = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :]
    assert tokenizer.decode(answer) == "maybe<|im_end|>"


def test_the_report_counts_what_was_done(base: Path, tmp_path: Path) -> None:
    report = train(base, tmp_path)
    assert report.metrics["trainable_parameters"] == 11776
    assert report.metrics["steps"] == len(report.losses) == 12
    assert report.metrics["loss_last"] == report.losses[-1].loss
    assert report.metrics["tokens"] > 0 < report.metrics["tokens_per_second"]
    assert report.deterministic is not torch.cuda.is_available()


def test_rows_that_are_too_long_are_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    data = [*examples(8), Example.of("long", "why?", "because " * 60)]
    report = train(base, tmp_path, data, max_length=100, max_steps=2)
    assert report.metrics["rows"] == 8
    assert report.metrics["dropped_rows"] == {"longer than max_length": 1, "refused by the chat template": 0}


@pytest.mark.parametrize(
    ("data", "settings", "says"),
    [
        ([], {}, "the data set is empty"),
        (examples(3), {"max_length": 16}, "3 of 3 are longer than 16 tokens"),
        (examples(1), {"early_stopping": {}}, "leaves none to train on"),
    ],
)
def test_nothing_to_train_on_is_said(
    base: Path, tmp_path: Path, data: list[Example], settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        train(base, tmp_path, data, **settings)
    assert not (tmp_path / "output").exists()


def _strict(base: Path, folder: Path) -> Path:
    """The same model with a template that knows no other roles than `user` and `assistant`, as some have."""
    model, tokenizer = load_student(reference(base))
    strict = "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}{{ raise_exception(m.role + '?') }}{% endif %}"
    tokenizer.chat_template = strict + "{% endfor %}" + tokenizer.chat_template
    save_student(model, tokenizer, folder)
    return folder


def test_rows_that_the_template_refuses_are_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    odd = [row for row in sample_conversations() if {turn.role for turn in row.messages} & {"system", "tool"} or row.tools]
    report = train(_strict(base, tmp_path / "strict"), tmp_path, [*examples(8), *odd], max_steps=2)
    assert report.metrics["rows"] == 8
    assert report.metrics["dropped_rows"]["refused by the chat template"] == len(odd) > 1


def test_where_the_template_refuses_every_row_its_reason_is_told(base: Path, tmp_path: Path) -> None:
    row = Example("odd", (Message("system", "s"), Message("user", "u"), Message("assistant", "a")))
    with pytest.raises(InputError, match=r"1 are refused by the chat template \('odd': .*system\?"):
        train(_strict(base, tmp_path / "strict"), tmp_path, [row])


def test_the_facts_are_those_of_the_merged_student(base: Path, tmp_path: Path) -> None:
    vocabulary = Vocabulary(320, 400, "tests")
    facts = ModelFacts({"ffn": 0.5}, "2:4", vocabulary, "Q4_0", {"plugin": "its own"})
    said: list[str] = []
    report = train(reference(base, facts), tmp_path, run={"log": said.append}, max_steps=2)
    assert report.facts == ModelFacts(vocabulary=vocabulary)
    assert any("holds no masks" in line for line in said)


def test_zeros_are_filled_so_that_no_sparsity_may_be_claimed(base: Path, tmp_path: Path) -> None:
    model, tokenizer = load_student(reference(base))
    for layer in model.model.layers:
        layer.mlp.up_proj.weight.data[:, ::2] = 0
    save_student(model, tokenizer, tmp_path / "pruned")
    train(reference(tmp_path / "pruned", ModelFacts({"ffn": 0.17})), tmp_path, max_steps=4)
    trained, _ = load_student(reference(tmp_path / "output"))
    assert all(float((layer.mlp.up_proj.weight[:, ::2] == 0).float().mean()) < 0.5 for layer in trained.model.layers)


def test_early_stopping_keeps_the_best_weights(base: Path, tmp_path: Path) -> None:
    report = train(
        base, tmp_path, max_steps=60, learning_rate=0.1, save_steps=2, early_stopping={"held_out": 0.25, "patience": 2}
    )
    losses = [loss for _, loss in report.metrics["held_out_losses"]]
    assert len(report.losses) < 60
    assert min(losses) == losses[-3]


def test_nf4_trains_and_leaves_bf16(base: Path, tmp_path: Path) -> None:
    report = train(base, tmp_path, quantization="nf4", learning_rate=2e-2, max_steps=20)
    model, _ = load_student(reference(tmp_path / "output"))
    assert report.metrics["quantization"] == "nf4"
    assert report.losses[-1].loss < report.losses[0].loss
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


def test_gradient_checkpointing_changes_nothing_but_memory(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "kept")
    train(base, tmp_path / "recomputed", gradient_checkpointing=True)
    assert reference(tmp_path / "kept" / "output").digest == reference(tmp_path / "recomputed" / "output").digest


def test_accumulated_batches_weigh_tokens(base: Path, tmp_path: Path) -> None:
    whole = train(base, tmp_path / "whole", micro_batch_size=8, max_steps=3, lora_dropout=0)
    parts = train(base, tmp_path / "parts", micro_batch_size=2, gradient_accumulation_steps=4, max_steps=3, lora_dropout=0)
    assert [point.loss for point in parts.losses] == pytest.approx([point.loss for point in whole.losses], abs=5e-3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_steps": 3, "epochs": 1}, "give one"),
        ({"lora_r": 0}, "nothing would be trained"),
        ({"early_stopping": {}, "save_steps": 0}, "save_steps above 0"),
        ({"lora_r": True}, "LoraRank"),
        ({"lora_rank": 3}, "Extra inputs"),
        ({"learning_rate": 0}, "greater than 0"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        QloraSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "alphas"),
    [
        ({}, (128, 64)),
        ({"lora_r": 16}, (32, 32)),
        ({"lora_alpha": 16}, (16, 16)),
        ({"lora_r": {"ffn": 8}}, (128, 16)),
    ],
)
def test_alpha_is_twice_the_rank_unless_given(settings: dict[str, Any], alphas: tuple[float, float]) -> None:
    chosen = QloraSettings(**settings)
    assert (chosen.alpha("attention"), chosen.alpha("ffn")) == alphas


@pytest.mark.model
@pytest.mark.slow
def test_the_real_student_learns_a_tiny_set_by_heart(smollm2: Path, tmp_path: Path) -> None:
    few = [Example.of(str(i), f"What is the code word of house {i}?", f"It is zebra-{7 * i + 3}.") for i in range(4)]
    settings = {
        "max_steps": 25,
        "learning_rate": 1e-3,
        "lora_r": {"attention": 64, "ffn": 32},
        "lora_dropout": 0,
        "save_steps": 0,
    }
    report = train(smollm2, tmp_path, few, **settings)
    assert report.losses[-1].loss < 0.2 * report.losses[0].loss
