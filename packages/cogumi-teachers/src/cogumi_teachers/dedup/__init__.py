"""Near-duplicates: signatures, candidates, exact verification."""

from __future__ import annotations

from cogumi_core import Component

COMPONENTS = (
    Component(
        "deduper",
        "minhash",
        "near-duplicates by MinHash, each verified by exact Jaccard similarity; the best copy stays",
        config="cogumi_teachers.dedup.settings:MinHashSettings",
        factory="cogumi_teachers.dedup.minhash:MinHashDeduper",
        version="2",
    ),
)
