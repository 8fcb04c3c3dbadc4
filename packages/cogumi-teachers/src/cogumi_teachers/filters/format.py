"""The filter `format`: drops rows whose text is broken, whatever it is about.

Each rule looks for one defect that teachers really produce, and names what it saw. The rules are kept narrow: a wrong
drop is invisible in the end, so a rule that would hit sound code, mathematics or poetry is not here. Judging whether an
answer is good or true is a judge's work and left out, as are language and personal data.

JSON is asked for by `metadata.format: json`, or by an instruction that says so: `answer`, `respond`, `reply`, `return`
or `output`, then `only`, then `JSON`, in any order of the last two, within one sentence. A call's arguments always are JSON.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Final

from cogumi_core import Example, RowFilter, Services, Verdict
from cogumi_teachers.filters.settings import FormatSettings

Rule = Callable[[Example, FormatSettings], str | None]
"""What a rule saw, or None when the row is sound."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")
"""Control characters but tab, line feed, form feed and carriage return; halves of pairs; the mark of undecodable bytes."""
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)([^`]*)$")
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)
_CODE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1", re.DOTALL | re.MULTILINE)
_WANTS_JSON = re.compile(
    r"\b(?:answer|respond|reply|return|output)\b[^.\n]*(?:\bonly\b[^.\n]*\bjson\b|\bjson\b[^.\n]*\bonly\b)", re.IGNORECASE
)
_ROLE_TOKEN = re.compile(
    r"<\|[a-z0-9_ ]{2,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|^### (?:Instruction|Response):", re.MULTILINE
)
_AS_AN_AI = re.compile(
    r"\b(?:as|i am|i'm)(?: just| only)? an? (?:ai|artificial intelligence)(?: language)? (?:model|assistant)\b", re.IGNORECASE
)
_REFUSAL = re.compile(
    r"(?:(?:i am |i'm )?(?:very |so |really )?(?:sorry|afraid)[,.;:]? (?:but |that )?|unfortunately,? )?"
    r"i(?: can ?not| can't| won't|(?: am|'m) (?:not able|unable) to) "
    # Not "help" alone: people cannot help laughing.
    r"(?:help (?:you|with)|assist|answer|comply|fulfil|provide|discuss|generate|engage|support)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_SHOWN: Final = 80
_LONG_ENOUGH: Final = 30
"""Words below which the share of one trigram means nothing."""
_LONGEST_LOOP: Final = 40
_LETTERS: Final = 3
"""Lines with fewer letters are brackets or numbers, which repeat in sound code and tables."""


class FormatFilter(RowFilter):
    """See `cogumi_core.Filter`. The first rule that sees something gives the reason."""

    def __init__(self, settings: FormatSettings, services: Services) -> None:
        self._settings = settings

    def judge(self, example: Example) -> Verdict:
        for reason, rule in RULES.items():
            if evidence := rule(example, self._settings):
                return Verdict(False, reason, evidence)
        return Verdict(True)


def _blank(example: Example, settings: FormatSettings) -> str | None:
    for name, text in (("instruction", example.instruction), ("response", example.response)):
        if not text.strip():
            return f"the {name} is empty"
    return None


def _control_characters(example: Example, settings: FormatSettings) -> str | None:
    for name, text in (("instruction", example.instruction), ("response", example.response)):
        if match := _CONTROL.search(text):
            return f"U+{ord(match[0]):04X} at character {match.start() + 1} of the {name}"
    return None


def _cut_off(example: Example, settings: FormatSettings) -> str | None:
    if example.metadata.get("finish_reason") == "length":
        return f"the teacher stopped at its token limit: …{_end(example.response)}"
    return None


def _unclosed_fence(example: Example, settings: FormatSettings) -> str | None:
    opened, line_number = "", 0
    for number, line in enumerate(example.response.splitlines(), start=1):
        if not (match := _FENCE.match(line)):
            continue
        if not opened:
            opened, line_number = match[1], number
        elif match[1].startswith(opened) and not match[2].strip():
            opened = ""
    return f"the code block opened on line {line_number} is never closed" if opened else None


def _role_token(example: Example, settings: FormatSettings) -> str | None:
    for match in _ROLE_TOKEN.finditer(example.response):
        # An answer about chat templates may name them, when the question does.
        if match[0] not in example.instruction:
            return f"{match[0]!r} at character {match.start() + 1} of the response"
    return None


def _invalid_json(example: Example, settings: FormatSettings) -> str | None:
    # A call's arguments are JSON whoever asks; an answer in words is, where the row wants it.
    parts = [call.arguments for call in example.answer.tool_calls]
    if not parts and (example.metadata.get("format") == "json" or _WANTS_JSON.search(example.instruction)):
        fenced = _FENCED.fullmatch(example.response)
        parts = [fenced[1] if fenced else example.response]
    for text in parts:
        try:
            json.loads(text)
        except json.JSONDecodeError as exc:
            return f"{exc.msg} at line {exc.lineno}, column {exc.colno}: {_start(text)}"
        except (ValueError, RecursionError) as exc:
            return f"JSON that cannot be read: {exc or 'nested too deeply'}"
    return None


def _echo(example: Example, settings: FormatSettings) -> str | None:
    response = _plain(example.response)
    return f"“{_start(response)}” is the instruction itself" if response == _plain(example.instruction) else None


def _refusal(example: Example, settings: FormatSettings) -> str | None:
    if settings.refusals == "keep":
        return None
    start = example.response.lstrip()[:200].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return f"“{_start(start)}”" if _REFUSAL.match(start) else None


def _boilerplate(example: Example, settings: FormatSettings) -> str | None:
    match = _AS_AN_AI.search(example.response.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    if settings.refusals == "keep" or match is None or _AS_AN_AI.search(example.instruction):
        return None
    return f"“{match[0]}”"


def _same_line(example: Example, settings: FormatSettings) -> str | None:
    lines = [line.strip() for line in example.response.splitlines() if line.strip()]
    for line, run in groupby(lines):
        if (count := sum(1 for _ in run)) >= settings.max_repeats and len(re.findall(r"[^\W\d_]", line)) >= _LETTERS:
            return f"the line “{_start(line)}” comes {count} times in a row"
    return None


def _loop(example: Example, settings: FormatSettings) -> str | None:
    words = _WORD.findall(_CODE.sub("\n", example.response).casefold())
    for length in range(2, min(_LONGEST_LOOP, len(words) // settings.max_repeats) + 1):
        end = words[-length:]
        if words[-length * settings.max_repeats :] == end * settings.max_repeats and any(word.isalpha() for word in end):
            return f"the answer ends with “{_start(' '.join(end))}” {settings.max_repeats} times or more"
    if len(words) < _LONG_ENOUGH:
        return None
    trigrams = zip(words, words[1:], words[2:], strict=False)
    # Numbers repeat in sound matrices and sequences.
    counts = Counter(trigram for trigram in trigrams if any(word.isalpha() for word in trigram))
    trigram, count = max(counts.items(), key=itemgetter(1), default=((), 0))
    if 3 * count <= settings.max_trigram_share * len(words):
        return None
    return f"“{' '.join(trigram)}” comes {count} times in {len(words)} words"


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _start(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _end(text: str) -> str:
    return " ".join(text.split())[-_SHOWN:]


RULES: Final[dict[str, Rule]] = {
    "blank text": _blank,
    "control characters": _control_characters,
    "answer cut off": _cut_off,
    "unclosed code block": _unclosed_fence,
    "role token in the answer": _role_token,
    "not the JSON asked for": _invalid_json,
    "repeats the instruction": _echo,
    "refusal": _refusal,
    "speaks as an AI model": _boilerplate,
    "repeated line": _same_line,
    "repetition loop": _loop,
}
"""Reason -> rule, in the order in which they are tried."""
