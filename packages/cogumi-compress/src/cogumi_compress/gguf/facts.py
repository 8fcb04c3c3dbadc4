"""What is true of a model once it is a GGUF file of some types: the facts that travel on with it.

Rounding may undo what a step before did. Zeros of a pruned model stay zeros only in types that store zero exactly; whether they
do is asked of the file as it was written, tensor by tensor, because a mix gives some tensors other types than it is named for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from cogumi_core import ModelFacts
from cogumi_core.formats.gguf.header import GgufHeader, GgufTensor
from cogumi_core.formats.llama.names import EMBEDDING, group_of

_IDENTITY = ("name", "licence")


def facts_of(header: GgufHeader, before: ModelFacts, *, unchanged: bool = False) -> ModelFacts:
    """The facts of the file with this header, made of a model with the facts `before`. `unchanged`: its weights are those that
    it was made of, bit for bit.

    A vocabulary stays cut where the file has as many tokens. Rows of queries and keys may have moved, which neither a share of
    zeros nor a pattern along a row (`2:4`) notices. Of `other`, whose meaning only the plugin knows that wrote it, rounded
    weights keep name and licence."""
    quantisation = most_weights(header)
    if unchanged:
        return replace(before, quantisation=quantisation)
    sparsity = {group: share for group, share in before.sparsity.items() if not any(_losing(header, group))}
    structure = before.structure if sparsity or not (before.sparsity or any(_losing(header))) else ""
    cut = before.vocabulary
    vocabulary = cut if cut is not None and cut.tokens == _tokens(header) else None
    other = {key: before.other[key] for key in _IDENTITY if key in before.other}
    return ModelFacts(sparsity, structure, vocabulary, quantisation, other)


def most_weights(header: GgufHeader) -> str:
    """The tensor type that holds most weights; empty for a file without tensors."""
    weights: Counter[str] = Counter()
    for tensor in header.tensors:
        weights[tensor.type.name] += tensor.weights
    return max(weights, key=weights.__getitem__, default="")


def _tokens(header: GgufHeader) -> int:
    return next((tensor.shape[0] for tensor in header.tensors if tensor.name == EMBEDDING), 0)


def lost_zeros(header: GgufHeader, before: ModelFacts) -> Iterator[str]:
    """A warning when an earlier step pruned the model and types in this file do not keep the zeros."""
    groups = list(before.sparsity) or ([""] if before.structure else [])
    losing = {tensor.name: tensor.type.name for group in groups for tensor in _losing(header, group)}
    if losing:
        kinds = ", ".join(sorted(set(losing.values())))
        yield (
            f"the model was pruned, but {len(losing)} tensors are stored as {kinds}, which turn exact zeros into small "
            "numbers; Q4_0, Q5_0, Q8_0, Q3_K and Q6_K keep them"
        )


def _losing(header: GgufHeader, group: str = "") -> Iterator[GgufTensor]:
    """Matrices of a group whose type does not keep zeros; of all groups where it is none that we know."""
    named = {group_of(tensor.name) for tensor in header.tensors}
    for tensor in header.tensors:
        concerns = group_of(tensor.name) == group or group not in named
        if concerns and len(tensor.shape) > 1 and not tensor.type.keeps_zeros:
            yield tensor
