"""What a fitted router is on disk: `router.json`, and `gate.npz` when there is more than one domain.

`router.json` holds the gate's digest, so a file that was cut short, changed or mixed up with another router's is noticed when
the router is opened, not when it answers oddly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON
from cogumi_router.calibration.curves import Curve, curve_from_json
from cogumi_router.gate.gate import Gate, gate_from_bytes
from cogumi_router.signals.logprobs import Signal

FORMAT = "cogumi-router-confidence"
VERSION = 1
ROUTER_FILE = "router.json"
GATE_FILE = "gate.npz"


@dataclass(frozen=True, slots=True)
class Domains:
    """Seen with a schema (`schema`) and without (`text`), each sorted."""

    schema: tuple[str, ...]
    text: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        """All domains, in either form."""
        return tuple(sorted({*self.schema, *self.text}))

    def of(self, has_schema: bool) -> tuple[str, ...]:
        """Those a query can be of: all of them, when none was seen in its form."""
        return (self.schema if has_schema else self.text) or (self.text if has_schema else self.schema)


@dataclass(frozen=True, slots=True)
class FittedRouter:
    """All that a decision needs. `prior`: share of graded answers that were right, for answers without log-probabilities.
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
        "signal": {"name": router.signal.name, "quantile": router.signal.quantile},
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
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        message = f"{path.parent}: no fitted router here ({path.name} is missing); build the system again"
        raise InputError(message) from exc
    except (OSError, ValueError, RecursionError) as exc:
        raise _damaged(path, str(exc)) from exc
    if not isinstance(data, dict):
        raise _damaged(path, "it holds no object")
    return data


def _router(data: Mapping[str, Any], gate: Gate | None) -> FittedRouter:
    threshold, prior = float(data["threshold"]), float(data["prior"])
    if not (0.0 <= threshold <= 1.0 and 0.0 <= prior <= 1.0):
        message = "threshold and prior must lie between 0 and 1"
        raise ValueError(message)
    name, quantile = data["signal"]["name"], float(data["signal"]["quantile"])
    if name not in ("mean", "min", "quantile") or not 0.0 < quantile < 1.0:
        message = f"unknown signal {name!r} at {quantile!r}"
        raise ValueError(message)
    domains = Domains(*(tuple(str(domain) for domain in data["domains"][form]) for form in ("schema", "text")))
    return FittedRouter(threshold, Signal(name, quantile), curve_from_json(data["calibration"]), prior, domains, gate)


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
