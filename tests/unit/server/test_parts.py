"""Parts of a server are stopped in reverse order, whatever fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sekisho.server.parts import Part, Parts


def noting(seen: list[str], word: str) -> Callable[[], None]:
    return lambda: seen.append(word)


def failing() -> None:
    raise ZeroDivisionError


def test_parts_start_in_order_and_stop_in_reverse() -> None:
    seen: list[str] = []
    parts = [Part(name, noting(seen, f"{name} on"), noting(seen, f"{name} off")) for name in "abc"]
    with Parts([*parts, Part("neither")]):
        seen.append("-")
    assert seen == ["a on", "b on", "c on", "-", "c off", "b off", "a off"]


def test_where_a_part_does_not_start_the_earlier_ones_are_stopped() -> None:
    seen: list[str] = []
    parts = [
        Part("a", noting(seen, "a on"), noting(seen, "a off")),
        Part("b", failing, noting(seen, "b off")),
        Part("c", noting(seen, "c on"), noting(seen, "c off")),
    ]
    with pytest.raises(ZeroDivisionError), Parts(parts):
        raise AssertionError("it must not begin")
    assert seen == ["a on", "a off"]


def test_a_part_that_does_not_stop_does_not_prevent_others_from_stopping() -> None:
    seen: list[str] = []
    with pytest.raises(ZeroDivisionError), Parts([Part("a", stop=noting(seen, "a off")), Part("b", stop=failing)]):
        seen.append("-")
    assert seen == ["-", "a off"]
