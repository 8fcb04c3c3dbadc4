"""The model card: what a system is, what was measured of it, and how to run it, for whoever is handed the folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cogumi_core.system.manifest import ModifierEntry, SystemManifest


def model_card(system: SystemManifest) -> str:
    """`README.md` of a system, from its manifest."""
    figures: Mapping[str, Any] = system.figures
    lines = [
        f"# {system.name}",
        "",
        "A small-model system built by Cogumi: a base that answers first, adapters for the domains where it fails, and a "
        "router that decides. `manifest.json` lists every file with its size and SHA-256.",
        "",
        "```",
        "cogumi verify .        # nothing changed on the way",
        'cogumi ask . "..."     # one answer, with its receipt',
        "cogumi serve .         # OpenAI-compatible API",
        "```",
        "",
        "| part | bytes |",
        "|---|---|",
        *(f"| {part} | {size:,} |" for part, size in figures["bytes"].items()),
        f"| **total** | **{figures['total_bytes']:,}** |",
        "",
        "Measured while it was built (details and intervals in `report.html`):",
        "",
        *(f"- **{stage}**: {summary}" for stage, summary in figures["measured"].items() if summary),
        "",
        *_modifier_lines(system.modifiers),
        "The recipe that built it is in `manifest.json` under `provenance.recipe`.",
    ]
    return "\n".join(lines) + "\n"


def _modifier_lines(modifiers: Sequence[ModifierEntry]) -> list[str]:
    if not modifiers:
        return ["No adapter is carried (none passed its gate, or none had room), so the base answers everything.", ""]
    return [*(f"- Modifier `{item.name}` answers in the domain {item.domain}." for item in modifiers), ""]
