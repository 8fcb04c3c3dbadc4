"""The domain gate: which domain a query belongs to, by a linear classifier over hashed text.

This is only the serving half, which needs numpy alone; `learning` fits it. It is stored as `gate.npz` and read with
pickles refused.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cogumi_router.signals.text import features


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """`weights` [domains, columns] and `bias` [domains] of a softmax classifier."""

    domains: tuple[str, ...]
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def probabilities(self, text: str, among: Collection[str] = ()) -> dict[str, float]:
        """A probability for each domain, or for those `among` that it knows; they sum to 1."""
        columns, values = features(text, self.weights.shape[1])
        scores = self.weights[:, columns] @ values + self.bias
        shares = np.exp(scores - scores.max())
        found = {domain: float(share) for domain, share in zip(self.domains, shares, strict=True)}
        found = {domain: share for domain, share in found.items() if domain in among} or found
        total = sum(found.values())
        return {domain: share / total for domain, share in found.items()}

    def to_bytes(self) -> bytes:
        """The content of `gate.npz`; the same gate always gives the same bytes. Half precision: the argmax does not change
        and the file halves."""
        buffer = io.BytesIO()
        names = np.array(self.domains, dtype=np.str_)
        np.savez_compressed(buffer, domains=names, weights=self.weights.astype(np.float16), bias=self.bias)
        return buffer.getvalue()


def gate_from_bytes(content: bytes) -> Gate:
    """What `to_bytes` wrote. Raises ValueError when it is damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as data:
            domains = tuple(str(name) for name in data["domains"])
            gate = Gate(domains, data["weights"].astype(np.float32), data["bias"].astype(np.float32))
    except (KeyError, OSError, EOFError, zipfile.BadZipFile) as exc:
        message = f"not a gate file ({exc})"
        raise ValueError(message) from exc
    size = gate.weights.shape[-1]
    if gate.weights.shape != (len(domains), size) or gate.bias.shape != (len(domains),) or size.bit_count() != 1:
        message = "the shapes of the gate do not fit together"
        raise ValueError(message)
    if not (np.isfinite(gate.weights).all() and np.isfinite(gate.bias).all()):
        message = "the gate holds numbers that are not finite"
        raise ValueError(message)
    return gate
