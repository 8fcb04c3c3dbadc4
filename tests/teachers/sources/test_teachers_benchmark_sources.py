"""The sources that read benchmarks: every prompt is whole, and answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogumi_core import InputError, Registry, RunContext, Source
from cogumi_core.formats.benchmarks.bfcl import ANSWERS, QUESTIONS
from cogumi_core.formats.tools import asked, describe_tools


@pytest.mark.parametrize(("name", "count", "licence"), [("bfcl", 400, "Apache-2.0"), ("humaneval", 164, "MIT")])
def test_installed_benchmarks_are_sources(name: str, count: int, licence: str, registry: Registry, work: RunContext) -> None:
    source = registry.create("source", name)
    prompts = list(source.prompts(work))
    assert isinstance(source, Source)
    assert len({prompt.id for prompt in prompts}) == count
    assert {prompt.licence for prompt in prompts} == {licence}
    assert all(prompt.reference and prompt.domain and prompt.source == name for prompt in prompts)
    assert prompts == list(source.prompts(work))


@pytest.mark.parametrize("name", ["bfcl", "humaneval"])
def test_a_missing_package_is_named_with_the_pip_command(name: str, registry: Registry, work: RunContext) -> None:
    with pytest.raises(InputError, match=r"python -m cogumi_core.formats.data_packages no-such-package"):
        list(registry.create("source", name, path="package:no_such_package/data.json").prompts(work))


@pytest.mark.parametrize("name", ["parallel", "simple_java"])
def test_bfcl_files_of_another_kind_are_refused(name: str, registry: Registry, work: RunContext) -> None:
    files = {"path": QUESTIONS.replace("simple_python", name), "answers": ANSWERS.replace("simple_python", name)}
    with pytest.raises(InputError, match="line"):
        list(registry.create("source", "bfcl", **files).prompts(work))


def test_a_bfcl_file_with_the_answers_of_another_is_refused(registry: Registry, work: RunContext) -> None:
    with pytest.raises(InputError, match="no possible answer"):
        list(registry.create("source", "bfcl", answers=ANSWERS.replace("simple_python", "multiple")).prompts(work))


def test_humaneval_references_are_python_that_defines_the_function(registry: Registry, work: RunContext) -> None:
    for prompt in registry.create("source", "humaneval").prompts(work):
        code = (prompt.reference or "").removeprefix("```python\n").removesuffix("\n```")
        compile(code, prompt.id, "exec")


def test_a_damaged_humaneval_file_is_named(registry: Registry, work: RunContext, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(InputError, match=r"bad\.jsonl\.gz"):
        list(registry.create("source", "humaneval", path=str(tmp_path / "bad.jsonl.gz")).prompts(work))


def test_bfcl_prompts_bring_their_functions_along_as_tools(registry: Registry, work: RunContext) -> None:
    prompt = next(registry.create("source", "bfcl").prompts(work))
    assert [turn.role for turn in prompt.messages] == ["user"]
    shown = asked(prompt.messages, prompt.tools)
    assert shown[0].content == describe_tools(prompt.tools)
    assert shown[1:] == prompt.messages
