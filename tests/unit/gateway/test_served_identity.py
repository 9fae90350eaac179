"""The gate's names and certificates keep step with the endpoints."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from sekisho._sekisho import Gateway
from sekisho.clock import utc_now
from sekisho.config import Settings
from sekisho.gateway.served_identity import ServedIdentity
from sekisho.realm import Realm
from sekisho.registry.endpoints import Endpoints
from sekisho.registry.model import ServedEndpoint

HOME = ServedEndpoint(Realm("123456789012", "us-east-1"), "localhost")
OTHER = ServedEndpoint(Realm("123456789012", "eu-west-1"), "abc-ats.iot.eu-west-1.localhost")


class OvertakenEndpoints:
    """Another endpoint is given after the first caller has read the list, and before it hands the list over."""

    def __init__(self) -> None:
        self.first_has_read = threading.Event()
        self.second_is_done = threading.Event()

    def all(self) -> Sequence[ServedEndpoint]:
        if self.first_has_read.is_set():
            return [HOME, OTHER]
        self.first_has_read.set()
        # Over in vain where the second has to wait for the first, as it should.
        self.second_is_done.wait(0.3)
        return [HOME]


class Gate:
    """Remembers which names it was told last."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def set_endpoints(self, endpoints: Sequence[tuple[str, str, str]]) -> None:
        self.names = [name for name, _, _ in endpoints]

    def set_server_certificates(self, _chains: Any) -> None: ...


def test_endpoints_that_are_given_at_once_do_not_overtake_each_other(tmp_path: Path) -> None:
    endpoints, gate = OvertakenEndpoints(), Gate()
    identity = ServedIdentity(Settings(data=tmp_path), cast(Endpoints, endpoints), cast(Gateway, gate), utc_now)
    identity.refresh()  # makes the keys, so that the rest is quick
    endpoints.first_has_read.clear()

    def second() -> None:
        endpoints.first_has_read.wait(10)
        identity.follow()
        endpoints.second_is_done.set()

    threads = [threading.Thread(target=identity.follow), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert gate.names == [HOME.server_name, OTHER.server_name]


def test_an_endpoint_is_given_though_the_gate_cannot_serve_it_yet(tmp_path: Path) -> None:
    gate = Gate()
    known = [HOME]
    endpoints = cast(Endpoints, type("Known", (), {"all": lambda _self: known}))
    identity = ServedIdentity(Settings(data=tmp_path), cast(Any, endpoints)(), cast(Gateway, gate), utc_now)
    identity.refresh()
    (tmp_path / "server" / "ecdsa" / "root.key").write_text("damaged")
    known.append(OTHER)
    identity.follow()
    assert gate.names == [HOME.server_name, OTHER.server_name]
