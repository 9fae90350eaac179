"""Names with a dot that resolve to this machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from sekisho.server.loopback_names import LoopbackNames, addresses_of


def test_names_are_local_where_all_their_addresses_are_loopback_addresses() -> None:
    addresses = {
        "here.example": ["127.0.0.1", "::1"],
        "also-here.example": ["127.0.0.53"],
        "elsewhere.example": ["127.0.0.1", "192.0.2.1"],
        "nothing.example": [],
    }

    def resolve(name: str) -> Sequence[str]:
        if name not in addresses:
            raise OSError("Name or service not known")
        return addresses[name]

    names = LoopbackNames([*addresses, "unknown.example"], resolve, timeout=30)
    assert names.lead_here() == ["here.example", "also-here.example"]


def test_a_resolver_without_an_answer_has_a_timeout() -> None:
    never = threading.Event()

    def resolve(name: str) -> Sequence[str]:
        if name == "slow.example":
            never.wait(60)
        return ["127.0.0.1"]

    quick = LoopbackNames(["quick.example"], resolve, timeout=30)
    assert quick.lead_here() == ["quick.example"]
    slow = LoopbackNames(["slow.example"], resolve, timeout=0)
    assert slow.lead_here() == []
    never.set()


def test_the_system_s_resolver_is_used() -> None:
    assert set(addresses_of("localhost")) <= {"127.0.0.1", "::1"}
    assert LoopbackNames(["localhost"], timeout=30).lead_here() == ["localhost"]
