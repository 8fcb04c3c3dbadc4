"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

MAX_TOKENS: Final = 512

system = click.argument("system", type=click.Path(path_type=Path))
model = click.option("--model", "-m", default="auto", show_default=True, help="auto, base, or a modifier's name.")
max_tokens = click.option(
    "--max-tokens", default=MAX_TOKENS, show_default=True, type=click.IntRange(1), help="Longest answer, in tokens."
)
check = click.option("--check", is_flag=True, help="Compare every file of the system with its manifest first.")
