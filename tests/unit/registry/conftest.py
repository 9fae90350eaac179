"""A store of its own for each test, and what it announced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sekisho.registry.ports import Change
from sekisho.store.unit_of_work import SqlStore
from tests.unit.registry.arrange import SetClock


@pytest.fixture
def announced() -> list[Change]:
    """Every change that the store has announced; clear it to look at what comes next."""
    return []


@pytest.fixture
def store(tmp_path: Path, announced: list[Change]) -> Iterator[SqlStore]:
    """A real store on a file."""
    with SqlStore(f"sqlite:///{tmp_path / 'registry.db'}", announced.extend) as opened:
        yield opened


@pytest.fixture
def clock() -> SetClock:
    """A clock that stands still."""
    return SetClock()
