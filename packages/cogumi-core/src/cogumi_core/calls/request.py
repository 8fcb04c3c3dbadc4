"""The key of a model call: sha256 of everything that determines the answer, and nothing else.

That is the teacher's identity, the request, and the number of the sample when one request is asked several times. No key, host,
path or time: an identity that holds the value of a secret is refused before it could be stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Final

from cogumi_core.api.errors import PluginError
from cogumi_core.api.types import JSON, CompletionRequest
from cogumi_core.store.fingerprint import canonical_json, sha256_text

SCHEMA: Final = 1
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)", re.IGNORECASE)
_SECRET_LENGTH = 8


def request_key(identity: Mapping[str, JSON], request: CompletionRequest, sample: int = 0) -> str:
    """Hexadecimal sha256 of the canonical call. Raises PluginError when the identity is not plain JSON."""
    return sha256_text(canonical_json({"schema": SCHEMA, "identity": identity, "request": asdict(request), "sample": sample}))


def for_sample(request: CompletionRequest, sample: int) -> CompletionRequest:
    """The request as sample number `sample` of it is asked: a fixed seed moves on, or all samples would be the same."""
    seed = request.sampling.seed
    if sample == 0 or seed is None:
        return request
    return replace(request, sampling=replace(request.sampling, seed=seed + sample))


def refuse_secrets(identity: Mapping[str, JSON], environ: Mapping[str, str]) -> None:
    """Raises PluginError when the identity holds the value of an environment variable that is named like a secret."""
    texts = list(_texts(identity))
    for name, value in environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_LENGTH and any(value in text for text in texts):
            message = (
                f"the teacher's identity holds the value of {name}; the identity is stored with every answer, so it must name "
                "the provider and the model, never a key"
            )
            raise PluginError(message)


def _texts(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
