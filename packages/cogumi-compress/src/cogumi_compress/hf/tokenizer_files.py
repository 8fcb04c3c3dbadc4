"""The tokenizer of a Hugging Face directory, as GGUF stores it.

llama.cpp tokenises with its own code, chosen by the name of a pre-tokeniser; a wrong name gives wrong ids and no error. The
name is found from what `tokenizer.json` says, exactly (`cogumi_core.formats.llama.pre_tokenizers`), and a tokenizer that
llama.cpp would treat differently is refused.
Left out: SentencePiece-style tokenizers (Llama 2), whose order of merging llama.cpp takes from scores that tokenizer.json
does not carry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogumi_core import InputError
from cogumi_core.formats.json_files import optional_object, read_object
from cogumi_core.formats.llama.pre_tokenizers import pre_tokenizer_name

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Token types of GGUF. A byte-level vocabulary has no byte tokens of its own: every byte is an ordinary token."""


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """`tokens` and `types` have one entry for each row of the embedding. `special_ids`: GGUF's names (bos, eos, eot, eom, unk,
    pad) to ids. `notes` are sentences about what llama.cpp does differently in rare cases."""

    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    special_ids: Mapping[str, int]
    add_bos: bool
    add_eos: bool
    chat_template: str | list[dict[str, str]] | None
    notes: tuple[str, ...] = ()


def read_tokenizer(model_dir: Path, vocabulary: int) -> Tokenizer:
    """The tokenizer in `model_dir`, filled up to `vocabulary` tokens. Raises InputError when llama.cpp cannot do the same."""
    path = model_dir / "tokenizer.json"
    if not path.is_file():
        message = f"{model_dir}: no tokenizer.json; save the tokenizer with save_pretrained (the fast one), beside the weights"
        raise InputError(message)
    raw, settings = read_object(path), optional_object(model_dir / "tokenizer_config.json")
    model = raw.get("model") or {}
    pre = _pre_tokenizer(raw, path)
    added = {int(row["id"]): row for row in raw.get("added_tokens") or []}
    tokens, types = _tokens(model.get("vocab") or {}, added, vocabulary, path)
    template = _chat_template(model_dir, settings)
    ids = {text: index for index, text in enumerate(tokens)}
    special = _special_ids(model_dir, settings, ids, tokens, template)
    first, last = _added_by_template(raw)
    if "bos" not in special and first in ids:
        special["bos"] = ids[first]
    add_bos, add_eos = settings.get("add_bos_token"), settings.get("add_eos_token")
    return Tokenizer(
        pre=pre,
        tokens=tokens,
        types=types,
        merges=tuple(_merges(model.get("merges") or [], path)),
        special_ids=special,
        add_bos=bool(first) if add_bos is None else bool(add_bos),
        add_eos=bool(last) if add_eos is None else bool(add_eos),
        chat_template=template,
        notes=tuple(_notes(model, added, tokens)),
    )


def _pre_tokenizer(raw: Mapping[str, Any], path: Path) -> str:
    """llama.cpp's name for the pre-tokeniser of a tokenizer.json. Raises InputError when it has none that is the same."""
    model = raw.get("model") or {}
    if _steps(raw.get("normalizer"), "normalizers"):
        _refuse(path, f"a normaliser ({raw['normalizer'].get('type')}), which llama.cpp does not apply")
    if model.get("type") != "BPE" or not model.get("vocab"):
        _refuse(path, f"a model of type {model.get('type')}, not byte-level BPE")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        _refuse(path, "a subword prefix or word suffix")
    steps = _steps(raw.get("pre_tokenizer"), "pretokenizers")
    name = pre_tokenizer_name(steps, ignore_merges=bool(model.get("ignore_merges")))
    if name is None:
        kinds = [step.get("type") for step in steps] or ["none"]
        style = " (a SentencePiece-style tokenizer, as Llama 2 has)" if model.get("byte_fallback") else ""
        _refuse(path, f"the pre-tokeniser {' + '.join(map(str, kinds))}{style}")
    return name or ""


def _steps(part: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    if not part:
        return []
    return list(part.get(key) or []) if part.get("type") == "Sequence" else [part]


def _refuse(path: Path, what: str) -> None:
    message = (
        f"{path}: {what} cannot be written to GGUF with the same token ids. Supported: byte-level BPE with the pre-tokeniser "
        "of SmolLM (digits + byte level), Llama 3, Qwen 2 or GPT-2. Start from a GGUF file of this model instead"
    )
    raise InputError(message)


def _tokens(
    vocab: Mapping[str, int], added: Mapping[int, Mapping[str, Any]], size: int, path: Path
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    texts = {index: text for text, index in vocab.items()} | {index: row["content"] for index, row in added.items()}
    if texts and max(texts) >= size:
        message = (
            f"{path}: token id {max(texts)} has no row in the embedding ({size} rows); the tokenizer belongs to another model"
        )
        raise InputError(message)
    # Rows of the embedding without a token (padding to a round number) get a name, so that ids stay in place.
    tokens = tuple(texts.get(index, f"[PAD{index}]") for index in range(size))
    if len(set(tokens)) != size:
        twice = Counter(tokens).most_common(1)[0][0]
        message = f"{path}: two ids have the text {twice!r}; llama.cpp needs every token once"
        raise InputError(message)
    return tokens, tuple(_type(index, texts, added) for index in range(size))


def _type(index: int, texts: Mapping[int, str], added: Mapping[int, Mapping[str, Any]]) -> int:
    if index not in texts:
        return UNUSED
    if index not in added:
        return NORMAL
    return CONTROL if added[index].get("special") else USER_DEFINED


def _merges(rows: list[Any], path: Path) -> Iterator[str]:
    for row in rows:
        left, right = row.split(" ", 1) if isinstance(row, str) else row
        if " " in left or " " in right:
            _refuse(path, f"a merge with a space in it ({left!r}, {right!r})")
        yield f"{left} {right}"


def _special_ids(
    model_dir: Path, settings: Mapping[str, Any], ids: Mapping[str, int], tokens: tuple[str, ...], template: Any
) -> dict[str, int]:
    """Ids of the special tokens. What ends generation comes from generation_config.json and config.json, which say what the
    model was run with; tokenizer_config.json is a fallback, because conversions often get it wrong."""
    config, generation = read_object(model_dir / "config.json"), optional_object(model_dir / "generation_config.json")
    named = {key: ids[text] for key in ("bos", "eos", "unk", "pad") if (text := _text(settings, key)) in ids}
    found: dict[str, int] = {}
    for key in ("bos", "pad"):
        value = next((v for v in (config.get(f"{key}_token_id"), named.get(key)) if isinstance(v, int)), None)
        if value is not None and 0 <= value < len(tokens):
            found[key] = value
    if "unk" in named:
        found["unk"] = named["unk"]
    stops = [*_ids(generation.get("eos_token_id"), len(tokens)), *_ids(config.get("eos_token_id"), len(tokens))]
    stops = list(dict.fromkeys(stops)) or _ids(named.get("eos"), len(tokens))
    if stops:
        found |= _stop_ids(stops, named.get("eos"), tokens, str(template or ""))
    return found


def _stop_ids(stops: list[int], tokenizer_eos: int | None, tokens: tuple[str, ...], template: str) -> dict[str, int]:
    """`eos` is the tokenizer's own choice where the model stops at it; `eot` the stop that the chat template writes."""
    found = {"eos": tokenizer_eos if tokenizer_eos in stops else stops[0]}
    turn = next((stop for stop in (found["eos"], *stops) if tokens[stop] in template), None)
    if turn is not None:
        found["eot"] = turn
    other = next((stop for stop in stops if stop not in found.values()), None)
    if other is not None:
        found["eom" if "eot" in found else "eot"] = other
    return {key: value for key, value in found.items() if value is not None}


def _ids(value: Any, size: int) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, int) and 0 <= v < size]


def _text(settings: Mapping[str, Any], key: str) -> str:
    """A special token in tokenizer_config.json is its text, or an object with the text as `content`."""
    value = settings.get(f"{key}_token")
    text = value.get("content") if isinstance(value, Mapping) else value
    return text if isinstance(text, str) else ""


def _added_by_template(raw: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The special tokens that the post-processor puts before and after a text."""
    for step in _steps(raw.get("post_processor"), "processors"):
        if step.get("type") == "TemplateProcessing":
            pieces = step.get("single") or [{}]
            first, last = (piece.get("SpecialToken", {}).get("id") for piece in (pieces[0], pieces[-1]))
            return first, last
    return None, None


def _chat_template(model_dir: Path, settings: Mapping[str, Any]) -> str | list[dict[str, str]] | None:
    """`chat_template.jinja` where there is one, as transformers reads it, else what tokenizer_config.json holds."""
    path = model_dir / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    return template if isinstance(template, (str, list)) else None


def _notes(model: Mapping[str, Any], added: Mapping[int, Mapping[str, Any]], tokens: tuple[str, ...]) -> Iterator[str]:
    stripping = [row["content"] for row in added.values() if row.get("lstrip") or row.get("rstrip") or row.get("single_word")]
    if stripping:
        yield f"llama.cpp does not strip spaces around {', '.join(stripping[:5])}, as the Hugging Face tokenizer does"
    missing = 256 - len(_byte_alphabet() & set(tokens))
    if missing and model.get("unk_token"):
        unknown = model["unk_token"]
        yield f"{missing} of 256 bytes have no token: llama.cpp drops them, the Hugging Face tokenizer writes {unknown}"


def _byte_alphabet() -> set[str]:
    """The characters that stand for the 256 bytes in a byte-level vocabulary (GPT-2's mapping)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    return {chr(byte) for byte in printable} | {chr(256 + index) for index in range(256 - len(printable))}
