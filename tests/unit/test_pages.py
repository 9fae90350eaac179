"""Markers and tokens of lists."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sekisho import pages
from sekisho.errors import InvalidRequestException
from sekisho.pages import Window


@given(some.integers(0, 10**18 - 1), some.integers(1, 250), some.booleans())
def test_a_marker_leads_back_to_its_place(after: int, size: int, ascending: bool) -> None:
    marker = pages.next_marker(after)
    assert marker is not None
    assert re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", marker)
    assert pages.window(marker, size, ascending=ascending) == Window(size, after, ascending)


def test_without_a_marker_a_list_begins_at_its_start() -> None:
    assert pages.window(None, None) == Window(25)
    assert pages.window("", 250, ascending=False) == Window(250, None, ascending=False)
    assert pages.next_marker(None) is None


@given(some.text(min_size=1))
def test_an_invalid_marker_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestException, match="is not one that this service returned"):
        pages.window(text, None)


@pytest.mark.parametrize("marker", ["YWZ0ZXI6LTE=", "YWZ0ZXI6MTIz\n", "YWZ0ZXI6", "YmVmb3JlOjE=", "é"])
def test_a_forged_marker_is_refused(marker: str) -> None:
    with pytest.raises(InvalidRequestException):
        pages.window(marker, None)


@pytest.mark.parametrize("size", [0, -1, 251])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(InvalidRequestException, match=f"1 to 250 items, not {size}"):
        pages.window(None, size)
