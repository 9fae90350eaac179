"""The input of a bulk registration: lines in any pieces, and lines that are not valid parameters."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.provisioning.bulk import input as bulk_input
from sekisho.provisioning.bulk.input import MAX_LINE_BYTES, BadLine, Line, lines, parameters


def reader(content: bytes, *sizes: int) -> Callable[[int], bytes]:
    """Read ``content`` in pieces of these sizes, repeatedly."""
    place = 0
    turn = 0

    def read(size: int) -> bytes:
        nonlocal place, turn
        wanted = min(size, sizes[turn % len(sizes)])
        piece = content[place : place + wanted]
        place += len(piece)
        turn += 1
        return piece

    return read


def line(content: bytes | None, number: int = 2) -> Line:
    return Line(number, 0, 0, content)


@given(
    st.lists(st.binary(max_size=20).map(lambda each: each.replace(b"\n", b"")), max_size=20),
    st.booleans(),
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.integers(0, 10**12),
)
def test_lines_do_not_depend_on_the_pieces_in_which_they_come(
    texts: list[bytes], ended: bool, sizes: list[int], begin: int
) -> None:
    whole = b"\n".join(texts) + (b"\n" if ended and texts else b"")
    found = list(lines(reader(whole, *sizes), after=7, begin=begin))
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert [each.content for each in found] == expected
    assert [each.number for each in found] == list(range(8, 8 + len(expected)))
    for each in found:
        # Reading that continues at the end of a line returns the next one.
        assert whole[each.begin - begin : each.end - begin].rstrip(b"\n") == each.content
    ends = [each.end for each in found]
    assert [each.begin for each in found] == [begin, *ends][: len(found)]
    assert not ends or ends[-1] == begin + len(whole)


@given(st.lists(st.binary(max_size=9).map(lambda each: each.replace(b"\n", b"")), min_size=1, max_size=9), st.data())
def test_reading_continues_after_any_line_with_the_same_lines(texts: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(texts) + b"\n"
    found = list(lines(reader(whole, 4), after=0, begin=0))
    place = data.draw(st.integers(0, len(found) - 1))
    rest = list(lines(reader(whole[found[place].end :], 3), after=found[place].number, begin=found[place].end))
    assert rest == found[place + 1 :]


@pytest.mark.parametrize("size", [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 3 * MAX_LINE_BYTES])
@pytest.mark.parametrize("chunk", [1000, 10**6])
@pytest.mark.parametrize("last", [False, True])
def test_a_line_longer_than_256_kb_is_an_error_and_affects_no_other(size: int, chunk: int, last: bool) -> None:
    whole = b"a\n" + b"x" * size + (b"" if last else b"\nb\n")
    found = list(lines(reader(whole, chunk), after=0, begin=0))
    long = b"x" * size if size <= MAX_LINE_BYTES else None
    assert [each.content for each in found] == [b"a", long, *([] if last else [b"b"])]
    assert found[-1].end == len(whole)


def test_at_most_one_line_is_kept_of_an_endless_one() -> None:
    left = 2000

    def read(size: int) -> bytes:
        nonlocal left
        left -= 1
        return b"x" * size if left else b""

    (only,) = lines(read, after=0, begin=0)
    assert only == Line(1, 0, 1999 * bulk_input.CHUNK_BYTES, None)


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_parameters_are_read_unchanged(given_parameters: dict[str, str]) -> None:
    for ascii_only in (True, False):
        try:
            content = json.dumps(given_parameters, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            continue
        assert parameters(line(content)) == given_parameters
        assert parameters(line(b"  " + content + b"\r")) == given_parameters


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_line_gives_strings_or_a_reason(content: bytes) -> None:
    found: Mapping[str, str] | None = None
    with contextlib.suppress(BadLine):
        found = parameters(line(content))
    assert all(isinstance(value, str) for value in (found or {}).values())


@pytest.mark.parametrize("content", [b"", b" ", b"\r", b"\t \r"])
def test_an_empty_line_is_not_a_device(content: bytes) -> None:
    assert parameters(line(content)) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "longer than 262144 bytes"),
        (b"{", "not JSON"),
        (b'{"a": "b"} {"a": "c"}', "not JSON: Extra data"),
        (b'{"a": "\xff"}', "not UTF-8 .its byte 8"),
        (b'["a"]', "not a JSON object"),
        (b'"a"', "not a JSON object"),
        (b'{"a": 1}', "'a' is not a string: write \"1\""),
        (b'{"a": null}', "'a' is not a string"),
        (b'{"a": {"b": "c"}}', "'a' is not a string"),
        (b'{"a": "1", "b": "2", "a": "3"}', "'a' twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number that cannot be read"),
        (b'{"a": ' + b"[" * 100_000 + b"}", "nested too deep|not JSON"),
        (b'\xef\xbb\xbf{"a": "b"}', "not JSON"),
    ],
)
def test_an_invalid_line_is_an_error_with_the_reason(content: bytes | None, reason: str) -> None:
    with pytest.raises(BadLine, match=reason):
        parameters(line(content))


def test_the_first_line_may_have_a_byte_order_mark() -> None:
    assert parameters(line(b'\xef\xbb\xbf{"a": "b"}', number=1)) == {"a": "b"}
