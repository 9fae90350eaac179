"""The queue that serves owners in turn, for any order of puts and takes; and the shares of places."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sekisho.fair_queue import FairQueue, Overflow, Shares

ACCOUNTS = st.sampled_from("ABC")
CERTIFICATES = st.sampled_from("xyz")
TOTAL, PER_ACCOUNT, PER_CERTIFICATE = 12, 8, 5


class Queue(RuleBasedStateMachine):
    """Every item put is taken once, returned once, removed once, or waits; bounds hold after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue(TOTAL, PER_ACCOUNT, PER_CERTIFICATE)
        self.waiting: dict[tuple[str, str], deque[tuple[int, int]]] = defaultdict(deque)
        self.number = 0

    def size(self, account: str, certificate: str | None = None) -> int:
        return sum(
            size
            for (a, c), items in self.waiting.items()
            if a == account and certificate in (None, c)
            for _, size in items
        )

    @rule(account=ACCOUNTS, certificate=CERTIFICATES, size=st.integers(1, 4))
    def put(self, account: str, certificate: str, size: int) -> None:
        self.number += 1
        path = (account, certificate)
        before = {name: self.size(name) for name in "ABC"}
        overflow = self.queue.put(path, self.number, size)
        if [each.item for each in overflow] == [self.number]:
            assert overflow[0].path == path
            level = overflow[0].level
            sizes = [sum(before.values()), before[account], self.size(account, certificate)]
            assert sizes[level] + size > (TOTAL, PER_ACCOUNT, PER_CERTIFICATE)[level]
            return
        self.waiting[path].append((self.number, size))
        for each in overflow:
            # Only the newest of an owner is removed, and only where its account keeps no less than the other's has.
            number, _ = self.waiting[each.path].pop()  # type: ignore[index]
            assert number == each.item
            if each.level == 0 and each.path[0] != account:
                assert self.size(str(each.path[0])) >= self.size(account)

    @rule(blocked=st.sets(ACCOUNTS))
    def take(self, blocked: set[str]) -> None:
        taken = self.queue.take(lambda account: account not in blocked)
        if taken is None:
            assert all(self.size(account) == 0 for account in "ABC" if account not in blocked)
            return
        path, item = taken
        assert path[0] not in blocked
        assert self.waiting[path].popleft()[0] == item  # type: ignore[index]

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        known = [(path, item) for path, items in self.waiting.items() for item in items]
        if not known:
            assert not self.queue.remove(("A", "x"), self.number)
            return
        path, entry = data.draw(st.sampled_from(known))
        assert self.queue.remove(path, entry[0])
        assert not self.queue.remove(path, entry[0])
        self.waiting[path].remove(entry)

    @invariant()
    def bounds_hold_and_sizes_agree(self) -> None:
        assert len(self.queue) == sum(map(len, self.waiting.values()))
        assert self.queue.size() == sum(self.size(account) for account in "ABC") <= TOTAL
        for account in "ABC":
            assert self.queue.size((account,)) == self.size(account) <= PER_ACCOUNT
            for certificate in "xyz":
                size = self.size(account, certificate)
                assert self.queue.size((account, certificate)) == size <= PER_CERTIFICATE
        assert set(self.queue.owners()) == {account for account in "ABC" if self.size(account)}


TestQueue = Queue.TestCase


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=200))
def test_an_account_waits_for_one_item_of_each_other_account_per_turn(puts: list[tuple[int, int]]) -> None:
    queue: FairQueue[int] = FairQueue(1000, 1000, 1000)
    for number, owner in enumerate(puts):
        assert queue.put(owner, number) == []
    left = Counter(account for account, _ in puts)
    since: dict[int, Counter[int]] = {account: Counter() for account in left}
    items: dict[Any, list[int]] = defaultdict(list)
    while (taken := queue.take()) is not None:
        path, item = taken
        account: Any = path[0]
        items[path].append(item)
        left[account] -= 1
        since[account].clear()
        for other in since:
            if other != account and left[other]:
                since[other][account] += 1
                assert since[other][account] == 1, "the other account has waited for two items of this one"
    assert items == {path: [number for number, each in enumerate(puts) if each == path] for path in set(puts)}, (
        "each owner's items come in their order, none lost and none twice"
    )


def test_within_an_account_certificates_are_served_in_turn() -> None:
    queue: FairQueue[str] = FairQueue(100, 100, 100)
    for number in range(3):
        queue.put(("A", "x"), f"x{number}")
    queue.put(("A", "y"), "y0")
    queue.put(("B", "x"), "b0")
    assert [item for _, item in iter(queue.take, None)] == ["x0", "b0", "y0", "x1", "x2"]


def test_an_owner_below_an_equal_share_is_never_refused_because_others_fill_the_queue() -> None:
    queue: FairQueue[int] = FairQueue(8, 8, 8)
    for number in range(8):
        queue.put(("A", "x"), number)
    assert queue.put(("A", "x"), 8) == [Overflow(("A", "x"), 8, 0)]
    for number in range(4):
        assert queue.put(("B", "x"), number) == [Overflow(("A", "x"), 7 - number, 0)]
    assert queue.put(("B", "x"), 4) == [Overflow(("B", "x"), 4, 0)], "half of it is B's share"
    assert queue.put(("A", "y"), 9) == [Overflow(("A", "x"), 3, 0)], "within an account likewise"


def test_many_small_items_are_not_removed_for_a_large_one_that_does_not_fit() -> None:
    queue: FairQueue[int] = FairQueue(10, 10, 10)
    for number in range(10):
        queue.put(("A", "x"), number)
    assert queue.put(("B", "x"), 10, size=8) == [Overflow(("B", "x"), 10, 0)]
    assert [item for _, item in iter(queue.take, None)] == list(range(10))
    assert queue.put(("B", "x"), 11, size=11) == [Overflow(("B", "x"), 11, 0)]
    assert (len(queue), queue.size()) == (0, 0)


def test_a_cleared_queue_is_empty_and_usable() -> None:
    queue: FairQueue[int] = FairQueue(2, 2)
    queue.put(("A",), 1)
    queue.clear()
    assert (len(queue), queue.take(), list(queue.owners())) == (0, None, [])
    assert queue.put(("A",), 2) == []
    assert queue.take() == (("A",), 2)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="each level"):
        FairQueue(1)
    queue: FairQueue[int] = FairQueue(1, 1)
    with pytest.raises(ValueError, match="1 names, not 2"):
        queue.put(("A", "x"), 1)
    with pytest.raises(ValueError, match="not 0"):
        queue.put(("A",), 1, size=0)


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=200))
def test_one_owner_never_holds_all_places(places: int, steps: list[tuple[int, bool]]) -> None:
    shares = Shares(places)
    held: Counter[int] = Counter()
    for owner, takes in steps:
        if takes and shares.may(owner):
            shares.take(owner)
            held[owner] += 1
            assert held[owner] - 1 < places - (held.total() - 1), "it held fewer than were free"
        elif not takes and held[owner]:
            shares.give_back(owner)
            held[owner] -= 1
        assert shares.free == places - held.total() >= 0
        assert all(shares.held(each) == held[each] for each in range(6))
        assert places == 1 or max(held.values(), default=0) < places
        assert shares.may("somebody else") == (held.total() < places)


def test_places_that_were_not_taken_cannot_be_released() -> None:
    shares = Shares(1)
    with pytest.raises(ValueError, match="holds no place"):
        shares.give_back("A")
    shares.take("A")
    with pytest.raises(ValueError, match="all places"):
        shares.take("B")
