"""Lists in pages: complete and in order, although rows are added or removed between pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sekisho.certificates.store import CertificateRows
from sekisho.pages import Slice, Window
from sekisho.store.store import Store
from tests.store.builders import HOME, OTHER_ACCOUNT, certificate, certificate_id


def pages(store: Store, limit: int, *, ascending: bool, meanwhile: Callable[[int], None]) -> Iterator[list[str]]:
    """Return certificate ids of the realm's list, page by page; ``meanwhile`` gets the number of pages read."""
    after: int | None = None
    read = 0
    while True:
        with store.read() as tx:
            found = CertificateRows(tx).page(HOME, Window(limit=limit, after=after, ascending=ascending))
        yield [each.certificate_id for each in found.items]
        if found.next_after is None:
            return
        after = found.next_after
        read += 1
        meanwhile(read)


def nothing(_: int) -> None:
    """Do nothing between two pages."""


def add(store: Store, *numbers: int) -> None:
    with store.write() as tx:
        for number in numbers:
            CertificateRows(tx).add(certificate(number))
            CertificateRows(tx).add(certificate(number, realm=OTHER_ACCOUNT))


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 10, 11, 250])
@pytest.mark.parametrize("ascending", [True, False])
def test_the_pages_together_are_the_list_in_order_of_creation(store: Store, limit: int, ascending: bool) -> None:
    add(store, *range(10))
    expected = [certificate_id(number) for number in range(10)]
    found = list(pages(store, limit, ascending=ascending, meanwhile=nothing))
    assert [each for page in found for each in page] == (expected if ascending else expected[::-1])
    assert all(len(page) == limit for page in found[:-1])
    assert 1 <= len(found[-1]) <= limit


def test_a_list_read_forwards_includes_rows_added_meanwhile(store: Store) -> None:
    add(store, *range(4))
    found = pages(store, 2, ascending=True, meanwhile=lambda read: add(store, 100 + read) if read < 3 else None)
    assert [each for page in found for each in page] == [certificate_id(n) for n in (0, 1, 2, 3, 101, 102)]


def test_a_list_read_backwards_has_each_row_once_although_rows_are_added_meanwhile(store: Store) -> None:
    add(store, *range(5))
    found = pages(store, 2, ascending=False, meanwhile=lambda read: add(store, 100 + read))
    assert [each for page in found for each in page] == [certificate_id(n) for n in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("ascending", [True, False])
def test_a_page_continues_at_its_place_although_that_row_was_removed(store: Store, ascending: bool) -> None:
    add(store, *range(6))

    def remove(_: int) -> None:
        with store.write() as tx:
            CertificateRows(tx).remove(HOME, certificate_id(2))
            CertificateRows(tx).remove(HOME, certificate_id(3))

    found = [each for page in pages(store, 3, ascending=ascending, meanwhile=remove) for each in page]
    numbers = [0, 1, 2, 4, 5] if ascending else [5, 4, 3, 1, 0]
    assert found == [certificate_id(number) for number in numbers]


def test_the_number_of_a_removed_last_row_is_not_used_again(store: Store) -> None:
    """Otherwise a reader at that place would miss the new row."""
    add(store, 1, 2)
    with store.read() as tx:
        place = CertificateRows(tx).page(HOME, Window(limit=1)).next_after
    assert place is not None
    with store.write() as tx:
        for number in (1, 2):
            CertificateRows(tx).remove(HOME, certificate_id(number))
            CertificateRows(tx).remove(OTHER_ACCOUNT, certificate_id(number))
    add(store, 3)
    with store.read() as tx:
        found = CertificateRows(tx).page(HOME, Window(limit=10, after=place))
    assert [each.certificate_id for each in found.items] == [certificate_id(3)]


def test_an_empty_list_is_one_empty_page(store: Store) -> None:
    with store.read() as tx:
        assert CertificateRows(tx).page(HOME, Window(limit=10)) == Slice([], None)
        assert CertificateRows(tx).page(HOME, Window(limit=10, after=99, ascending=False)) == Slice([], None)


def test_a_page_of_no_items_is_refused(store: Store) -> None:
    """A list in such pages would never end."""
    with store.read() as tx, pytest.raises(ValueError, match="at least one"):
        CertificateRows(tx).page(HOME, Window(limit=0))
