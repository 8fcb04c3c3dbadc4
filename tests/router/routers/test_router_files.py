"""What a fitted router is on disk."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from processes import python
from router_support import bfcl_questions, fit, general_rows, graded_rows, humaneval_prompts

from cogumi_core import InputError
from cogumi_router.routers.files import load_router

ROWS = graded_rows(60) + general_rows("code", humaneval_prompts()[:30]) + general_rows("automation", bfcl_questions()[:30])


@pytest.fixture
def fitted(tmp_path: Path) -> Path:
    fit(tmp_path / "router", ROWS)
    return tmp_path / "router"


def test_the_order_of_the_rows_changes_no_byte_and_no_figure(tmp_path: Path) -> None:
    shuffled = random.Random(9).sample(ROWS, len(ROWS))
    first, second = fit(tmp_path / "a", ROWS)[0], fit(tmp_path / "b", shuffled)[0]
    assert first == second
    for name in ("router.json", "gate.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_router_is_two_files_without_a_pickle(fitted: Path) -> None:
    assert sorted(path.name for path in fitted.iterdir()) == ["gate.npz", "router.json"]
    with np.load(fitted / "gate.npz", allow_pickle=False) as data:
        assert {data[name].dtype.kind for name in data.files} == {"U", "f"}


@pytest.mark.parametrize("domains", [2, 6, 30])
def test_a_router_stays_below_128_kilobytes(tmp_path: Path, domains: int) -> None:
    generator = random.Random(1)
    words = ["".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(4000)]
    rows = [
        row
        for i in range(domains)
        for row in general_rows(f"d{i}", [" ".join(generator.choices(words, k=60)) for _ in range(8)])
    ]
    fit(tmp_path, rows)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 128_000


def change_json(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "router.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def pickled_gate(folder: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, domains=np.array(["a", "b"], dtype=object))
    (folder / "gate.npz").write_bytes(buffer.getvalue())


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no router": lambda folder: (folder / "router.json").unlink(),
    "cut short": lambda folder: (folder / "router.json").write_text('{"format": "cogumi'),
    "binary": lambda folder: (folder / "router.json").write_bytes(b"\xff\xfe\x00"),
    "a list": lambda folder: (folder / "router.json").write_text("[]"),
    "another format": change_json(format="other"),
    "a newer version": change_json(version=3),
    "no curve": change_json(calibration={}),
    "a curve of text": change_json(calibration="sigmoid"),
    "threshold out of range": change_json(threshold=7),
    "unknown signal": change_json(signal={"name": "entropy", "quantile": 0.1, "feature": ""}),
    "signal without a name": change_json(signal=None),
    "domains missing": change_json(domains=None),
    "gate missing": lambda folder: (folder / "gate.npz").unlink(),
    "gate changed": lambda folder: (folder / "gate.npz").write_bytes(b"PK"),
    "gate with a pickle": pickled_gate,
    "gate entry of text": change_json(gate="gate.npz"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_router_is_an_input_error_that_names_it(fitted: Path, damage: Callable[[Path], object]) -> None:
    damage(fitted)
    with pytest.raises(InputError, match=str(fitted)):
        load_router(fitted)


def test_a_pickled_gate_is_refused_even_with_the_right_digest(fitted: Path) -> None:
    from hashlib import sha256

    pickled_gate(fitted)
    digest = sha256((fitted / "gate.npz").read_bytes()).hexdigest()
    change_json(gate={"file": "gate.npz", "sha256": digest})(fitted)
    with pytest.raises(InputError, match="pickle"):
        load_router(fitted)


def test_no_rows_is_an_input_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows to learn from"):
        fit(tmp_path, [])
    assert not list(tmp_path.iterdir())


def test_a_server_opens_a_router_without_scikit_learn(fitted: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from cogumi_router.routers.confidence import ConfidenceRouter\n"
        "from cogumi_router.routers.settings import ConfidenceSettings\n"
        "ConfidenceRouter(ConfidenceSettings(), None).open(pathlib.Path(sys.argv[1]))\n"
        "assert not {'sklearn', 'scipy', 'torch'} & set(sys.modules)\n"
    )
    done = python(code, fitted)
    assert (done.returncode, done.stderr) == (0, "")
