"""How MinHash signatures are cut into bands.

With `b` bands of `r` rows, two sets of Jaccard similarity s share at least one band, and so become a candidate pair,
with probability 1 - (1 - s^r)^b (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4). Libraries
balance false candidates against misses; here every candidate is verified, so a false one costs microseconds and a miss
costs a duplicate.
"""

from __future__ import annotations


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """Chance that two sets of that similarity share a band."""
    return 1.0 - (1.0 - similarity**rows) ** bands


def choose_bands(threshold: float, num_perm: int, recall: float) -> tuple[int, int]:
    """(bands, rows) with the longest rows, so the fewest false candidates, whose recall at the threshold is at least `recall`.

    All bands that fit into `num_perm` are used. Raises ValueError when even one row a band is not enough.

    >>> choose_bands(0.8, 128, 0.99)
    (21, 6)
    """
    for rows in range(num_perm, 0, -1):
        bands = num_perm // rows
        if candidate_probability(threshold, bands, rows) >= recall:
            return bands, rows
    best = candidate_probability(threshold, num_perm, 1)
    message = (
        f"{num_perm} permutations find at most {best:.1%} of pairs at similarity {threshold}, not {recall:.1%}; "
        "raise num_perm or threshold, or lower recall"
    )
    raise ValueError(message)
