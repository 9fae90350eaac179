from __future__ import annotations

import re

import pytest

from sekisho import pages
from sekisho.errors import InvalidRequestException
from sekisho.registry.ports import Window


def test_without_a_marker_or_size_a_page_is_the_first_25() -> None:
    assert pages.window(None, None) == Window(limit=25, after=None, ascending=True)
    assert pages.window("", 250, ascending=False) == Window(limit=250, after=None, ascending=False)


@pytest.mark.parametrize("position", [0, 1, 10**17])
def test_a_marker_leads_back_to_its_position_in_the_form_the_model_asks(position: int) -> None:
    marker = pages.next_marker(position)
    assert marker is not None
    assert re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", marker)
    assert pages.window(marker, 1).after == position


def test_the_last_page_has_no_marker() -> None:
    assert pages.next_marker(None) is None


@pytest.mark.parametrize("marker", ["x", "YWJj", "é", "YWZ0ZXI6LTE=", "YWZ0ZXI6MQ", "YWZ0ZXI6" + "OTk5" * 20])
def test_a_marker_that_is_not_ours_is_refused(marker: str) -> None:
    with pytest.raises(InvalidRequestException, match="was not given by this service"):
        pages.window(marker, None)


@pytest.mark.parametrize("size", [0, -1, 251])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(InvalidRequestException, match="1 to 250"):
        pages.window(None, size)
