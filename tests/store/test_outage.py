"""Which requests try a database that hangs, and which fail at once."""

from __future__ import annotations

from contextlib import suppress

import pytest

from sekisho.store import outage
from sekisho.store.errors import StoreBusy, StoreUnavailable
from sekisho.store.outage import Outage


@pytest.fixture
def tried() -> Outage:
    return Outage(lambda seconds: StoreUnavailable(f"out for {seconds:.0f} s"))


@pytest.fixture(autouse=True)
def any_failure_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "OUTAGE_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(outage, "OUTAGE_RETRY_SECONDS", 3600.0)


def fail(tried: Outage) -> None:
    with suppress(StoreBusy), tried.attempt():
        raise StoreBusy("it waited")


def succeed(tried: Outage) -> None:
    with tried.attempt():
        pass


def test_after_a_long_failure_the_others_fail_at_once(tried: Outage) -> None:
    fail(tried)
    with pytest.raises(StoreUnavailable, match="out for 0 s"):
        succeed(tried)


def test_a_short_failure_is_no_outage(tried: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "OUTAGE_AFTER_SECONDS", 3600.0)
    fail(tried)
    succeed(tried)


def test_a_long_failure_while_another_succeeds_is_no_outage(tried: Outage) -> None:
    """Many requests wait for their turn, and one succeeds."""
    with suppress(StoreBusy), tried.attempt():
        succeed(tried)
        raise StoreBusy("too many before it")
    succeed(tried)


def test_one_request_tries_after_a_while_and_the_others_fail_meanwhile(tried: Outage) -> None:
    fail(tried)
    tried._next_attempt = 0.0
    with tried.attempt(), pytest.raises(StoreUnavailable):
        succeed(tried)
    succeed(tried)
    succeed(tried)


def test_the_outage_continues_where_the_attempt_fails_too(tried: Outage) -> None:
    fail(tried)
    tried._next_attempt = 0.0
    fail(tried)
    with pytest.raises(StoreUnavailable):
        succeed(tried)
