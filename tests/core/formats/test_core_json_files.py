"""A JSON file that is not an object is refused with what is wrong and where; one that is comes as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogumi_core import InputError
from cogumi_core.formats.json_files import optional_object, read_object

DAMAGED = {
    "cut short": (b'{"a": 1,\n "b', r"not valid JSON \(.*, line 2, column 2\); fetch the model again"),
    "empty": (b"", "not valid JSON"),
    "a list": (b"[1, 2]", "a JSON object is expected, this is a list; fetch the model again"),
    "a text": (b'"model"', "this is a text"),
    "nothing": (b"null", "this is null"),
    "not text": (b'{"a": "\xff\xfe"}', r"not text in UTF-8 \(.* at byte 7\)"),
    "NaN": (b'{"loss": NaN}', "NaN is no JSON number"),
    "infinity": (b'{"loss": -Infinity}', "-Infinity is no JSON number"),
    "nested without end": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "a number without end": (b'{"a": ' + b"9" * 5000 + b"}", "not JSON that can be read"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_says_what_is_wrong_with_it(case: str, tmp_path: Path) -> None:
    content, message = DAMAGED[case]
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_object(tmp_path / "config.json", "fetch the model again")
    assert str(tmp_path / "config.json") in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        read_object(tmp_path / "config.json")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read_object(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_object(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, "\xc3\xa9"]}')
    assert read_object(tmp_path / "config.json") == {"a": [1, 2.5, "é"]}


def test_an_optional_file_may_be_absent_but_not_damaged(tmp_path: Path) -> None:
    assert optional_object(tmp_path / "absent.json") == {}
    (tmp_path / "there.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="not valid JSON"):
        optional_object(tmp_path / "there.json")
