"""JSON with positions: the values of the standard library, and each error where it is."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from sekisho.templates.error import Place, TemplateError
from sekisho.templates.json_text import MAX_DEPTH, Node, plain, read

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=30,
)
FRAGMENTS = (
    "{",
    "}",
    "[",
    "]",
    '"',
    ",",
    ":",
    "\\",
    "\\u12",
    "\\ud800",
    "a",
    "1",
    "-",
    ".",
    "e",
    "true",
    "null",
    "NaN",
)


def members(node: Node) -> Any:
    assert isinstance(node.value, dict)
    return node.value


@given(JSON, some.sampled_from([None, 0, 3]), some.booleans())
@example({"": [1e300, -0.0, 10**400, '\u2028\x7f/\\"\n']}, None, True)
def test_valid_json_is_read_as_by_the_standard_library(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert repr(plain(read(text))) == repr(json.loads(text))


@given(some.text() | some.lists(some.sampled_from(FRAGMENTS)).map("".join))
@example('{"a": 1, "a": 1}')
@example("1 2")
@example("[1,]")
@example("-")
@example("01")
@example("nulls")
@example("9" * 5000)
def test_any_accepted_text_is_read_the_same_by_the_standard_library(text: str) -> None:
    with suppress(TemplateError):
        assert repr(plain(read(text))) == repr(json.loads(text))


@given(some.text(some.sampled_from(' \t\n\r{}[]":,\\tru1')))
def test_text_that_the_standard_library_refuses_is_refused(text: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        with pytest.raises(TemplateError, match=r"^line \d+, column \d+: "):
            read(text)


def test_each_value_and_each_name_has_its_position() -> None:
    root = read('{\n  "a": [1,\r\n   "é", "b"],\n\t"c": null\n}')
    assert root.place == Place(1, 1)
    first, second, third = members(root)["a"].value
    assert members(root)["a"].name_place == Place(2, 3)
    assert (first.place, second.place, third.place) == (Place(2, 9), Place(3, 4), Place(3, 9))
    assert members(root)["c"].name_place == Place(4, 2)
    assert members(root)["c"].place == Place(4, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: not JSON: it ends where a value is expected."),
        ("\ufeff{}", "line 1, column 1: not JSON: a value is expected here."),
        ('{"a": 1,\n "b" 2}', "line 2, column 6: not JSON: a colon is expected here."),
        ('{"a": 1\n "b": 2}', "line 2, column 2: not JSON: a comma or a closing brace is expected here."),
        ('{"a": 1,\n}', "line 2, column 1: not JSON: a name in double quotes is expected here."),
        ("{'a': 1}", "line 1, column 2: not JSON: a name in double quotes is expected here."),
        ("[1 2]", "line 1, column 4: not JSON: a comma or a closing bracket is expected here."),
        ("[1,", "line 1, column 4: not JSON: it ends where a value is expected."),
        ('["a\nb"]', "line 1, column 4: not JSON: a line break or control character inside a string"),
        (r'["a\x"]', "line 1, column 4: not JSON: the backslash does not begin an escape of JSON."),
        ('["a', "line 1, column 2: not JSON: the string that begins here does not end."),
        ("{}\n{}", "line 2, column 1: not JSON: there is something after the end of the template."),
        ("[NaN]", "line 1, column 2: not JSON: a value is expected here."),
        (r'["\ud83d"]', "line 1, column 2: not JSON: the string has half of a surrogate pair"),
        ('{"a": 1,\n "a": 1}', "line 2, column 2: 'a' is given twice in one object, first in line 1."),
        ("[" + "9" * 5000 + "]", "line 1, column 2: the number has too many digits."),
    ],
)
def test_an_error_is_shown_at_its_position(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as refusal:
        read(text)
    assert str(refusal.value).startswith(message)


def test_depth_is_bounded() -> None:
    read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(TemplateError, match=f"column {MAX_DEPTH + 1}: it is nested too deeply"):
        read("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    with pytest.raises(TemplateError, match="nested too deeply"):
        read('{"a":[' * 1700)
