"""A store of its own for each test, and what it announced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sekisho.change import Change
from sekisho.store.store import Store
from tests.stores import empty_store
from tests.unit.features.arrange import SetClock


@pytest.fixture
def announced() -> list[Change]:
    """Every change that the store has announced; clear it to look at what comes next."""
    return []


@pytest.fixture
def store(announced: list[Change]) -> Iterator[Store]:
    """A real store on a file."""
    with empty_store(announced.extend) as opened:
        yield opened


@pytest.fixture
def clock() -> SetClock:
    """A clock that stands still."""
    return SetClock()
