"""Which artifacts each recipe reaches: what `cogumi store gc` must keep."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cogumi_core.api.errors import InputError, StoreError
from cogumi_core.formats.json_files import read_object
from cogumi_core.store.atomic import write_atomic
from cogumi_core.store.fingerprint import sha256_text


@dataclass(frozen=True, slots=True)
class Roots:
    """One small file for each recipe in `folder`; a recipe is named by any text that stays the same, such as its full path."""

    folder: Path

    def write(self, recipe: str, fingerprints: Iterable[str]) -> None:
        """Replaces what the recipe reaches. Raises OSError."""
        row = {"recipe": recipe, "fingerprints": sorted(set(fingerprints))}
        write_atomic(self._path(recipe), json.dumps(row, ensure_ascii=False, indent=1) + "\n")

    def forget(self, recipe: str) -> bool:
        """The recipe reaches nothing any more; False when it was not known."""
        known = self._path(recipe).exists()
        self._path(recipe).unlink(missing_ok=True)
        return known

    def read(self) -> Iterator[tuple[str, frozenset[str]]]:
        """(recipe, fingerprints) of every recipe. Raises StoreError, because to ignore a damaged file would be to let what it
        keeps be removed."""
        for path in sorted(self.folder.glob("*.json")):
            try:
                row = read_object(path)
                yield str(row["recipe"]), frozenset(row["fingerprints"])
            except (InputError, KeyError, TypeError) as exc:
                message = f"{path} is damaged ({exc}); remove it and run the recipe again, then nothing it reaches can go"
                raise StoreError(message) from exc

    def _path(self, recipe: str) -> Path:
        return self.folder / f"{sha256_text(recipe)[:16]}.json"
