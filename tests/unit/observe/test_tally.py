"""The tally: one line at once, then one per interval with the count; the sum is complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.observe import tally as tally_module
from sekisho.observe.tally import Tally


class Watch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_event_is_due_at_once_and_the_others_once_per_interval() -> None:
    watch = Watch()
    tally = Tally(10.0, watch)
    assert [tally.add("A"), tally.add("A"), tally.add("B"), tally.add("A", 5)] == [1, 0, 1, 0]
    assert tally.due() == []
    watch.now = 10.0
    assert tally.add("A") == 7
    assert tally.due() == []
    tally.add("A")
    watch.now = 20.0
    assert tally.due() == [("A", 1)]
    assert (tally.due(), tally.add("A")) == ([], 0), "the interval begins with each line"
    assert tally.total == 11


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 9), st.floats(0, 20), st.booleans())))
def test_every_event_is_counted_in_the_end(steps: list[tuple[str, int, float, bool]]) -> None:
    watch = Watch()
    tally = Tally(10.0, watch)
    told = 0
    for owner, count, pause, asks in steps:
        told += tally.add(owner, count)
        watch.now += pause
        told += sum(count for _, count in tally.due()) if asks else 0
    watch.now += 10.0
    told += sum(count for _, count in tally.due())
    assert told == tally.total == sum(count for _, count, _, _ in steps)


def test_the_number_of_owners_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "MAX_OWNERS", 3)
    tally = Tally(10.0, Watch())
    assert [tally.add(owner) for owner in "ABCDA"] == [1] * 5
    assert tally.total == 5
