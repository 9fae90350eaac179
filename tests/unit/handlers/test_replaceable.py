"""Handlers that a reload replaces while calls run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from sekisho.handlers.registry import ConfiguredHandlers
from sekisho.handlers.replaceable import ReplaceableHandlers
from sekisho.realm import Realm

REALM = Realm("123456789012", "us-east-1")


class Handlers:
    """Answers with its name, when it may."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.is_closed = False

    def invoke(self, _realm: Realm, _function: str, _event: Mapping[str, Any], **_options: Any) -> str:
        self.begun.set()
        assert self.may_end.wait(10)
        assert not self.is_closed
        return self.name

    def close(self) -> None:
        self.is_closed = True


def replaceable(handlers: Handlers) -> ReplaceableHandlers:
    return ReplaceableHandlers(cast(ConfiguredHandlers, handlers))


def test_calls_end_with_the_handlers_that_they_began_with() -> None:
    former, new = Handlers("former"), Handlers("new")
    handlers = replaceable(former)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(handlers.invoke, REALM, "f", {})
        assert former.begun.wait(10)
        handlers.replace(cast(ConfiguredHandlers, new))
        new.may_end.set()
        assert handlers.invoke(REALM, "f", {}) == "new"
        assert [former.is_closed, new.is_closed] == [False, False]
        former.may_end.set()
        assert running.result(10) == "former"
    assert [former.is_closed, new.is_closed] == [True, False]


def test_handlers_without_a_call_are_closed_when_they_are_replaced() -> None:
    former, new = Handlers("former"), Handlers("new")
    handlers = replaceable(former)
    handlers.replace(cast(ConfiguredHandlers, new))
    assert former.is_closed
    handlers.close()
    assert new.is_closed
