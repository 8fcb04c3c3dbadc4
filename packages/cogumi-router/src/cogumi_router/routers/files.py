"""What a fitted router is on disk: `router.json`, and `gate.npz` when there is more than one domain.

`router.json` holds the gate's digest, so a file that was cut short, changed or mixed up with another router's is noticed when
the router is opened, not when it answers oddly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from cogumi_core import JSON, InputError
from cogumi_core.formats.json_files import read_object
from cogumi_router.calibration.curves import Curve, curve_from_json
from cogumi_router.gate.domains import Domains
from cogumi_router.gate.gate import Gate, gate_from_bytes
from cogumi_router.signals.logprobs import Signal
from cogumi_router.signals.names import SignalName

FORMAT = "cogumi-router-confidence"
VERSION = 2
ROUTER_FILE = "router.json"
GATE_FILE = "gate.npz"


@dataclass(frozen=True, slots=True)
class FittedRouter:
    """All that a decision needs. `prior`: share of graded answers that were right, for answers without a signal.
    `domains` are those of the rows it learned from, with a schema and without: queries that come with tools and queries that
    come without are different crowds, and a domain is only looked for in its own."""

    threshold: float
    signal: Signal
    curve: Curve
    prior: float
    domains: Domains
    gate: Gate | None


def save_router(router: FittedRouter, folder: Path) -> None:
    """Writes the files into an existing folder; the same router always gives the same bytes."""
    content = router.gate.to_bytes() if router.gate else None
    if content is not None:
        (folder / GATE_FILE).write_bytes(content)
    data: dict[str, JSON] = {
        "format": FORMAT,
        "version": VERSION,
        "threshold": router.threshold,
        "signal": asdict(router.signal),
        "calibration": router.curve.to_json(),
        "prior": router.prior,
        "domains": {"schema": list(router.domains.schema), "text": list(router.domains.text)},
        "gate": None if content is None else {"file": GATE_FILE, "sha256": hashlib.sha256(content).hexdigest()},
    }
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False)
    (folder / ROUTER_FILE).write_text(text + "\n", encoding="utf-8")


def load_router(folder: Path) -> FittedRouter:
    """What `save_router` wrote. Raises InputError, naming the file, when it is missing, damaged or of another version."""
    path = folder / ROUTER_FILE
    data = _read(path)
    if data.get("format") != FORMAT or data.get("version") != VERSION:
        message = (
            f"{path}: {FORMAT!r} version {VERSION} is needed, "
            f"but this is {data.get('format')!r} version {data.get('version')!r}; "
            "build the router again with the installed cogumi-router"
        )
        raise InputError(message)
    try:
        return _router(data, _gate(folder, data["gate"]))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _damaged(path, str(exc)) from exc


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        message = f"{path.parent}: no fitted router here ({path.name} is missing); build the system again"
        raise InputError(message)
    return read_object(path, "build the system again")


def _router(data: Mapping[str, Any], gate: Gate | None) -> FittedRouter:
    threshold, prior = float(data["threshold"]), float(data["prior"])
    if not (0.0 <= threshold <= 1.0 and 0.0 <= prior <= 1.0):
        message = "threshold and prior must lie between 0 and 1"
        raise ValueError(message)
    signal = Signal(data["signal"]["name"], float(data["signal"]["quantile"]), str(data["signal"]["feature"]))
    if signal.name not in get_args(SignalName) or not 0.0 < signal.quantile < 1.0:
        message = f"unknown signal {signal}"
        raise ValueError(message)
    domains = Domains(*(tuple(str(domain) for domain in data["domains"][form]) for form in ("schema", "text")))
    return FittedRouter(threshold, signal, curve_from_json(data["calibration"]), prior, domains, gate)


def _gate(folder: Path, entry: Mapping[str, Any] | None) -> Gate | None:
    """The name is fixed: a path from the file could point anywhere."""
    if entry is None:
        return None
    try:
        content = (folder / GATE_FILE).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            message = f"its SHA-256 is not the one in {ROUTER_FILE}"
            raise ValueError(message)
        return gate_from_bytes(content)
    except (OSError, ValueError) as exc:
        raise _damaged(folder / GATE_FILE, str(exc)) from exc


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(f"{path}: damaged ({detail}); build the router again, or copy the system again")
