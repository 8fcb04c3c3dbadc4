"""A GGUF student in training is the model that llama.cpp serves: same ids, same weights, same end of turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_cpp
import pytest
import torch
from modifiers_training_support import reference

from cogumi_core import InputError
from cogumi_modifiers.students.hf import load_student, save_student

pytestmark = pytest.mark.model

CORPUS = {
    "prose": "It's what WE'LL do; don’t they say so? Yes… they do.",
    "digits": "In 2024 there were 366 days, 12345678901 seconds, ½ ② ١٢٣ १२३ Ⅻ",
    "code": "def f(x: int) -> int:\n\treturn x ** 2  # squared\n\n\nif __name__ == '__main__':\r\n    print(f(3))\n",
    "json": '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3, "exact": true}}',
    "whitespace": "   a\n\n\n\t\tb    c\r\n  \u00a0\u2003 end   " + " " * 70 + "\n" * 20,
    "cjk": "日本語のテキストと漢字、한국어 문장, 中文句子。",
    "emoji": "👩‍👩‍👧‍👦 family 😀! 🇫🇷 👍🏽",
    "combining": "naïve café e\u0301 \u200bzero width",
    "special": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<|endoftext|><repo_name>x",
    "rare": "a\x00b \ufffd \U0001f9ff " + "x" * 300,
    "source": Path(llama_cpp.__file__).read_text()[:20_000],
}


@pytest.fixture(scope="module")
def student(smollm2: Path) -> tuple[Any, Any]:
    return load_student(reference(smollm2), torch.bfloat16)


@pytest.fixture(scope="module")
def saved(student: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "student"
    save_student(*student, folder)
    return folder


@pytest.fixture(scope="module")
def reloaded(saved: Path) -> tuple[Any, Any]:
    return load_student(reference(saved), torch.bfloat16)


@pytest.fixture(scope="module")
def native(smollm2: Path) -> llama_cpp.Llama:
    return llama_cpp.Llama(str(smollm2), n_ctx=64, verbose=False)


@pytest.mark.parametrize("name", CORPUS)
def test_ids_are_those_of_llama_cpp(student: tuple[Any, Any], native: llama_cpp.Llama, name: str) -> None:
    assert student[1].encode(CORPUS[name]) == native.tokenize(CORPUS[name].encode(), add_bos=False, special=True)


@pytest.mark.parametrize("name", CORPUS)
def test_ids_survive_saving(student: tuple[Any, Any], reloaded: tuple[Any, Any], name: str) -> None:
    assert reloaded[1].encode(CORPUS[name]) == student[1].encode(CORPUS[name])


@pytest.mark.parametrize("name", CORPUS)
def test_text_comes_back_from_its_ids(reloaded: tuple[Any, Any], name: str) -> None:
    assert reloaded[1].decode(reloaded[1].encode(CORPUS[name])) == CORPUS[name]


def test_weights_are_those_that_transformers_reads(student: tuple[Any, Any], smollm2: Path) -> None:
    from transformers import LlamaForCausalLM

    expected = LlamaForCausalLM.from_pretrained(smollm2.parent, gguf_file=smollm2.name, dtype=torch.bfloat16).state_dict()
    found = student[0].state_dict()
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_predicts_what_llama_cpp_predicts(smollm2: Path, native: llama_cpp.Llama) -> None:
    model, tokenizer = load_student(reference(smollm2), torch.float32)
    ids = tokenizer.encode("The capital of France is the city of")
    with torch.no_grad():
        ours = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    native.reset()
    native.eval(ids)
    # Of the last token alone: the others' logits were not asked for, and are not computed.
    last = llama_cpp.llama_get_logits_ith(native.ctx, -1)
    theirs = torch.tensor([last[i] for i in range(len(ours))]).log_softmax(-1)
    assert int(ours.argmax()) == int(theirs.argmax())
    # llama.cpp multiplies with 8-bit activations, so probabilities agree only roughly.
    assert float((ours.exp() - theirs.exp()).abs().max()) < 0.05


@pytest.mark.parametrize("which", ["student", "reloaded"])
def test_end_of_turn_ends_everything(which: str, request: pytest.FixtureRequest) -> None:
    model, tokenizer = request.getfixturevalue(which)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert model.config.eos_token_id == model.generation_config.eos_token_id == 2


def test_chat_template_survives(reloaded: tuple[Any, Any], native: llama_cpp.Llama) -> None:
    assert reloaded[1].chat_template == native.metadata["tokenizer.chat_template"]


def test_saving_twice_gives_the_same_bytes(student: tuple[Any, Any], saved: Path, tmp_path: Path) -> None:
    save_student(*student, tmp_path / "again")
    assert reference(tmp_path / "again").digest == reference(saved).digest


@pytest.mark.parametrize("share", [0.00001, 0.001, 0.02, 0.5, 0.9999])
def test_a_cut_file_is_named(smollm2: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.gguf"
    with smollm2.open("rb") as whole:
        cut.write_bytes(whole.read(max(8, int(share * smollm2.stat().st_size))))
    with pytest.raises(InputError, match=r"cut\.gguf: .*cut short"):
        load_student(reference(cut))
