"""A store of its own for each test, and what it announced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sekisho.change import Change
from sekisho.store.store import Store
from tests.unit.features.arrange import SetClock


@pytest.fixture
def announced() -> list[Change]:
    """Every change that the store has announced; clear it to look at what comes next."""
    return []


@pytest.fixture
def store(tmp_path: Path, announced: list[Change]) -> Iterator[Store]:
    """A real store on a file."""
    with Store(f"sqlite:///{tmp_path / 'registry.db'}", announced.extend) as opened:
        yield opened


@pytest.fixture
def clock() -> SetClock:
    """A clock that stands still."""
    return SetClock()
