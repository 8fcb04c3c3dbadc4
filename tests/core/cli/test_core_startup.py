"""Starting is quick, and brings no heavy library."""

import json
import sys
from pathlib import Path

import pytest
from processes import finished, python

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "startup.py"
HEAVY = {"torch", "transformers", "datasets", "fastapi", "numpy"}
PROGRAMS = {
    "import cogumi_core": "import cogumi_core",
    "import the public names": "from cogumi_core import *",
    "cogumi --help": "from cogumi_core.cli.main import main; main(['--help'])",
    "cogumi plugins": "from cogumi_core.cli.main import main; main(['plugins', '--json'])",
    "cogumi schema": "from cogumi_core.cli.main import main; main(['schema'])",
}


def modules_after(program: str) -> set[str]:
    code = f"import sys\n{program}\nprint('\\n', *sys.modules)"
    done = python(code)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_no_heavy_library_is_loaded(program: str) -> None:
    assert not HEAVY & modules_after(program)


def test_importing_core_loads_none_of_its_libraries() -> None:
    assert not {"pydantic", "click", "yaml", "rich", "pluggy"} & modules_after("import cogumi_core")


def test_help_needs_no_pydantic() -> None:
    program = "from cogumi_core.cli.main import main; main(['--help'])"
    assert not {"pydantic", "yaml", "rich"} & modules_after(program)


def test_pytest_fixtures_bring_nothing_with_them() -> None:
    assert not {"pydantic", "click", "yaml", "rich", "pluggy"} & (
        modules_after("import cogumi_core.testing.fixtures") - modules_after("import pytest")
    )


def test_the_benchmark_of_starting_measures_what_it_names() -> None:
    done = finished(sys.executable, BENCHMARK, "--runs", "1", "--json")
    timings = {timing["what"]: timing for timing in json.loads(done.stdout)}
    assert {"python", "import cogumi_core", "cogumi --help"} <= timings.keys()
    assert all(timing["min_s"] > 0 and timing["runs"] == 1 for timing in timings.values())
    assert timings["cogumi --help"]["limit_s"] == 0.4
    assert done.returncode == (0 if all(timing["within"] for timing in timings.values()) else 1)
