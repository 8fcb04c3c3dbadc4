"""`cogumi size`: where a model's bytes are, and what it would weigh in other types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cogumi_compress.size.size import SizedModel, Total, TypeSize


class _Bytes(click.ParamType[int]):
    """A size such as 90MB, 90MiB or 94371840."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from cogumi_core import parse_bytes

        try:
            return int(parse_bytes(value))  # type: ignore[call-overload, no-any-return]
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


@click.command("size")
@click.argument("model")
@click.option("--target", type=_Bytes(), help="A byte budget, such as 90MB: which types meet it, and by what margin.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def size(model: str, target: int | None, as_json: bool) -> None:
    """Bit accounting of MODEL: a GGUF file, a Hugging Face directory, or a config.json (shapes are enough)."""
    from cogumi_compress.size.size import read_model, type_sizes
    from cogumi_core import locate

    sized = read_model(locate(model, Path()))
    types = type_sizes(sized, target)
    if as_json:
        click.echo(json.dumps(_as_json(sized, types, target), indent=1))
        return
    for line in _report(sized, types, target):
        click.echo(line)


def _as_json(model: SizedModel, types: list[TypeSize], target: int | None) -> dict[str, Any]:
    from cogumi_compress.size.size import by_group, total

    return {
        "path": str(model.path),
        "format": model.format,
        "file_bytes": model.file_bytes,
        "header_bytes": model.header_bytes,
        "target": target,
        "total": _row(total(model.entries)),
        "groups": {name: _row(part) for name, part in by_group(model).items()},
        "types": [asdict(kind) for kind in types],
        "tensors": [
            {"name": e.name, "shape": e.shape, "type": e.kind, "bytes": e.nbytes, "bits_per_weight": _bits(e.nbytes, e.weights)}
            for e in model.entries
        ],
    }


def _row(part: Total) -> dict[str, Any]:
    return {"weights": part.weights, "bytes": part.nbytes, "bits_per_weight": part.bits}


def _bits(nbytes: int | None, weights: int) -> float | None:
    return None if nbytes is None else nbytes * 8 / weights


def _report(model: SizedModel, types: list[TypeSize], target: int | None) -> Iterator[str]:
    from cogumi_compress.size.size import by_group, total

    tensors = [
        (e.name, _shape(e.shape), e.kind or "-", _count(e.nbytes), _decimal(_bits(e.nbytes, e.weights))) for e in model.entries
    ]
    yield from _table(("tensor", "shape", "type", "bytes", "bits/weight"), tensors)
    yield ""
    parts = [*by_group(model).items(), ("total", total(model.entries))]
    yield from _table(
        ("group", "weights", "bytes", "bits/weight"),
        [(name, _count(part.weights), _count(part.nbytes), _decimal(part.bits)) for name, part in parts],
    )
    yield ""
    yield from _types(model, types, target)


def _types(model: SizedModel, types: list[TypeSize], target: int | None) -> Iterator[str]:
    head = ("as", "bytes", "bits/weight", "fallbacks", *(("margin",) if target is not None else ()))
    rows = [
        (
            kind.name,
            _count(kind.nbytes),
            _decimal(kind.bits),
            str(kind.fallbacks),
            *((_margin(kind),) if target is not None else ()),
        )
        for kind in types
    ]
    yield from _table(head, rows)
    if model.header_bytes is None:
        yield "Without the metadata: the tokenizer is not there, so files are larger by its size (SmolLM2's takes 1.8 MB)."
    if target is not None:
        yield ""
        yield _verdict(types, target)


def _verdict(types: list[TypeSize], target: int) -> str:
    fitting = [kind for kind in types if kind.margin is not None and kind.margin >= 0]
    scope = "Only llama.cpp's named types were tried; a mix chosen tensor by tensor to use the whole target is not computed."
    if not fitting:
        least = types[-1]
        return f"No type fits into {target:,} bytes: the smallest, {least.name}, needs {least.nbytes:,}. {scope}"
    best = fitting[0]
    return (
        f"The largest that fits into {target:,} bytes is {best.name}: {best.nbytes:,} bytes, {best.margin:,} to spare. {scope}"
    )


def _margin(kind: TypeSize) -> str:
    return "" if kind.margin is None else f"{kind.margin:+,}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Columns, the first to the left and the rest to the right; plain text, so that it can be piped."""
    lines = [head, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    for line in lines:
        cells = (
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
