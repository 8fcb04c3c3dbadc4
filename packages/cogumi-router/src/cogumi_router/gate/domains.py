"""The domains that a router has seen, with a schema and without."""

from __future__ import annotations

from dataclasses import dataclass


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
