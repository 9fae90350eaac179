"""The pump: events of the gateway, and its answers. A gateway of plain lists replaces sockets."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from sekisho._sekisho import Gateway
from sekisho.admission.model import Identity
from sekisho.admission.rules import AdmissionRequest
from sekisho.gateway import pump as pump_module
from sekisho.gateway.identity import identity_dict
from sekisho.gateway.pump import Pump
from sekisho.messaging.requests import Request
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.errors import StoreError
from tests.logs import captured_log, lines_of
from tests.store.builders import certificate
from tests.wait import eventually

WAIT = 10.0
IDENTITY = Identity(certificate(), policies=(), things=())


@dataclass
class FakeGateway:
    """Returns batches and records the answers."""

    batches: queue.Queue[list[dict[str, Any]]] = field(default_factory=queue.Queue)
    answers: queue.Queue[list[tuple[int, Any]]] = field(default_factory=queue.Queue)
    """(id, identity or name of the reason) of each answer."""

    def next_batch(self, limit: int, timeout: float) -> list[dict[str, Any]]:
        try:
            return self.batches.get(timeout=min(timeout, 0.05))[:limit]
        except queue.Empty:
            return []

    def complete(self, answers: list[dict[str, Any]]) -> None:
        self.answers.put([(each["id"], each.get("identity") or each["reason"]) for each in answers])


@dataclass
class Registry:
    """Refuses everything with one reason; or raises at its first call."""

    raises: bool = False
    asked: list[Sequence[AdmissionRequest]] = field(default_factory=list)

    def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
        return [None] * len(requests)

    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
        self.asked.append(requests)
        if self.raises and len(self.asked) == 1:
            raise RuntimeError("the store is away")
        return [Refused(RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED)] * len(requests)


def admit(
    number: int, account_id: str | None = "123456789012", *, network: str = "192.0.2.1", chain: int = 2
) -> dict[str, Any]:
    return {
        "kind": "admit",
        "id": number,
        "account_id": account_id,
        "region": "us-east-1" if account_id else None,
        "certificate_id": "ab" * 32,
        "leaf": b"leaf",
        "chain": [bytes(chain)],
        "client_id": "client",
        "is_reexamination": False,
        "network": network,
    }


def dropped(name: str, account_id: str | None, count: int) -> dict[str, Any]:
    return {"kind": "dropped", "queue": name, "account_id": account_id, "count": count}


def connected_event(certificate_id: str) -> dict[str, Any]:
    realm = {"account_id": "123456789012", "region": "us-east-1"}
    return {"kind": "connected", **realm, "certificate_id": certificate_id, "client_id": "client"}


SIZE = pump_module.REGISTRATION_BYTES + 6
"""Bytes of such an event in the registration queue."""


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


def running(gateway: FakeGateway, registry: Registry) -> Pump:
    pump = Pump(cast(Gateway, gateway), registry)
    pump.start()
    return pump


def test_a_registered_certificate_does_not_wait_for_unregistered_ones(gateway: FakeGateway) -> None:
    goes_on = threading.Event()

    class ManyUnregistered:
        def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
            return [None if request.realm is None else IDENTITY for request in requests]

        def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
            assert goes_on.wait(WAIT)
            return [Refused(RefusalReason.CA_NOT_REGISTERED)] * len(requests)

    pump = Pump(cast(Gateway, gateway), ManyUnregistered())
    pump.start()
    gateway.batches.put([admit(1, account_id=None), admit(2)])
    gateway.batches.put([admit(3)])
    for number in (2, 3):
        [(answered, answer)] = gateway.answers.get(timeout=WAIT)
        assert (answered, answer) == (number, identity_dict(IDENTITY))
    goes_on.set()
    assert gateway.answers.get(timeout=WAIT) == [(1, "CA_NOT_REGISTERED")]
    pump.stop()


def test_unregistered_certificates_beyond_the_queue_are_refused_for_now(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "MAX_REGISTRATION_BYTES_PER_ACCOUNT", 3 * SIZE)
    goes_on, is_busy = threading.Event(), threading.Event()

    class Slow(Registry):
        def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
            is_busy.set()
            assert goes_on.wait(WAIT)
            return super().answer(requests)

    pump = running(gateway, Slow())
    gateway.batches.put([admit(0)])
    assert is_busy.wait(WAIT)
    gateway.batches.put([admit(number) for number in range(1, 6)])
    assert gateway.answers.get(timeout=WAIT) == [(number, "ADMISSION_QUEUE_FULL") for number in (4, 5)]
    goes_on.set()
    answered = [number for _ in range(2) for number, _ in gateway.answers.get(timeout=WAIT)]
    assert answered == [0, 1, 2, 3]
    pump.stop()


class Busy(Registry):
    """Keeps the second thread at its first certificate until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on, self.is_busy = threading.Event(), threading.Event()

    def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
        self.is_busy.set()
        assert self.goes_on.wait(WAIT)
        return super().answer(requests)

    @contextmanager
    def hold(self, gateway: FakeGateway) -> Iterator[Pump]:
        """Keep the thread busy, so that later certificates wait."""
        pump = running(gateway, self)
        try:
            gateway.batches.put([admit(0)])
            assert self.is_busy.wait(WAIT)
            yield pump
        finally:
            self.goes_on.set()
            pump.stop()


def test_an_account_does_not_wait_for_unregistered_certificates_of_another(gateway: FakeGateway) -> None:
    registry = Busy()
    with registry.hold(gateway) as pump:
        for first in range(1, 1000, 100):
            gateway.batches.put([admit(number) for number in range(first, first + 100)])
        gateway.batches.put([admit(2000, "210987654321"), admit(2001, None)])
        eventually(lambda: pump.statistics()["registrations_waiting"] == 1002)
        registry.goes_on.set()
        assert gateway.answers.get(timeout=WAIT) == [(0, "DEVICE_CERTIFICATE_NOT_REGISTERED")]
        second = [number for number, _ in gateway.answers.get(timeout=WAIT)]
        assert second[:4] == [1, 2000, 2001, 2], "one of each account per turn"
        rest = [number for _ in range(15) for number, _ in gateway.answers.get(timeout=WAIT)]
    assert sorted(second + rest) == [*range(1, 1001), 2000, 2001], "each was answered once"


def test_a_peer_that_floods_the_endpoint_of_an_account_neither_delays_nor_excludes_its_devices(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "MAX_REGISTRATION_BYTES_PER_ACCOUNT", 200 * SIZE)
    registry = Busy()
    with registry.hold(gateway):
        for first in (1, 201):
            gateway.batches.put([admit(number) for number in range(first, first + 200)])
        assert gateway.answers.get(timeout=WAIT) == [(number, "ADMISSION_QUEUE_FULL") for number in range(201, 401)]
        gateway.batches.put([admit(1000, network="192.0.2.2")])
        assert gateway.answers.get(timeout=WAIT) == [(200, "ADMISSION_QUEUE_FULL")], "the flood gives way"
        registry.goes_on.set()
        assert gateway.answers.get(timeout=WAIT)[0][0] == 0
        assert [number for number, _ in gateway.answers.get(timeout=WAIT)][:3] == [1, 1000, 2]


def test_the_registration_queue_is_bounded_by_the_bytes_of_chains(gateway: FakeGateway) -> None:
    registry = Busy()
    with registry.hold(gateway) as pump:
        for _ in range(20):
            gateway.batches.put([admit(number, chain=60_000) for number in range(100)])
        eventually(lambda: pump.statistics()["registrations_refused"] > 1000)
        waiting = pump.statistics()["registrations_waiting"]
        assert 500 < waiting < pump_module.MAX_REGISTRATION_BYTES_PER_ACCOUNT / 60_000


def test_an_account_that_fills_the_registration_queue_loses_its_newest_to_others(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "MAX_REGISTRATION_BYTES", 4 * SIZE)
    monkeypatch.setattr(pump_module, "MAX_REGISTRATION_BYTES_PER_ACCOUNT", 4 * SIZE)
    registry = Busy()
    with captured_log() as logs, registry.hold(gateway) as pump:
        gateway.batches.put([admit(number) for number in range(1, 8)])
        full = [(number, "ADMISSION_QUEUE_FULL") for number in (5, 6, 7)]
        assert gateway.answers.get(timeout=WAIT) == full
        gateway.batches.put([admit(8, "210987654321")])
        assert gateway.answers.get(timeout=WAIT) == [(4, "ADMISSION_QUEUE_FULL")]
        assert pump.statistics() == {"registrations_waiting": 4, "registrations_refused": 4}
        registry.goes_on.set()
        assert [number for _ in range(2) for number, _ in gateway.answers.get(timeout=WAIT)] == [0, 1, 8, 2, 3]
    lines = lines_of(logs, "registration_queue_full")
    assert [(line["account_id"], line["count"]) for line in lines] == [("123456789012", 1)]


def test_dropped_events_are_logged_once_per_queue_and_account(gateway: FakeGateway) -> None:
    pump = running(gateway, Registry())
    with captured_log() as logs:
        gateway.batches.put([dropped("request", "123456789012", 7), dropped("request", "210987654321", 1)])
        gateway.batches.put([dropped("request", "123456789012", 5), dropped("refused", None, 2), admit(1)])
        gateway.answers.get(timeout=WAIT)
    pump.stop()
    told = [(line["queue"], line["account_id"], line["count"]) for line in logs if "queue" in line]
    assert told == [("request", "123456789012", 7), ("request", "210987654321", 1), ("refused", None, 2)]


def test_a_batch_of_admission_requests_has_one_look_up_and_one_answer(gateway: FakeGateway) -> None:
    registry = Registry()
    pump = running(gateway, registry)
    gateway.batches.put([admit(1), admit(2, None)])
    answers = gateway.answers.get(timeout=WAIT)
    pump.stop()
    assert answers == [(1, "DEVICE_CERTIFICATE_NOT_REGISTERED"), (2, "DEVICE_CERTIFICATE_NOT_REGISTERED")]
    assert len(registry.asked) == 1
    assert [request.realm for request in registry.asked[0]] == [Realm("123456789012", "us-east-1"), None]


def test_after_an_error_the_registry_is_used_again_for_the_next_batch(gateway: FakeGateway) -> None:
    registry = Registry(raises=True)
    pump = running(gateway, registry)
    with captured_log() as logs:
        gateway.batches.put([admit(1)])
        eventually(lambda: bool(registry.asked))
        gateway.batches.put([admit(2)])
        answers = gateway.answers.get(timeout=WAIT)
    pump.stop()
    assert answers == [(2, "DEVICE_CERTIFICATE_NOT_REGISTERED")]
    assert [line["code"] for line in logs] == ["gateway_events_not_handled"]


def test_an_unexpected_error_with_one_certificate_refuses_no_other(gateway: FakeGateway) -> None:
    class RaisingOnce:
        def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
            return [None] * len(requests)

        def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
            if any(request.realm is None for request in requests):
                raise ArithmeticError("an unexpected error")
            return [Refused(RefusalReason.CA_NOT_REGISTERED)] * len(requests)

    pump = Pump(cast(Gateway, gateway), RaisingOnce())
    with captured_log() as logs:
        pump.start()
        gateway.batches.put([admit(1), admit(2, account_id=None), admit(3)])
        answers = [gateway.answers.get(timeout=WAIT) for _ in range(2)]
        pump.stop()
    assert answers == [[(1, "CA_NOT_REGISTERED")], [(3, "CA_NOT_REGISTERED")]]
    assert [(line["code"], line["certificate_id"]) for line in logs] == [("certificate_not_examined", "ab" * 32)]


@pytest.mark.parametrize("for_known", [True, False])
def test_an_unusable_registry_is_logged_in_one_line(gateway: FakeGateway, for_known: bool) -> None:
    class Away:
        def __init__(self, *, for_known: bool) -> None:
            self.for_known = for_known
            self.has_failed = False

        def fail_once(self) -> None:
            if not self.has_failed:
                self.has_failed = True
                raise StoreError("the disk is full")

        def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
            if self.for_known:
                self.fail_once()
            return [None] * len(requests)

        def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
            self.fail_once()
            return [Refused(RefusalReason.CA_NOT_REGISTERED)] * len(requests)

    away = Away(for_known=for_known)
    pump = Pump(cast(Gateway, gateway), away)
    with captured_log() as logs:
        pump.start()
        gateway.batches.put([admit(1)])
        eventually(lambda: away.has_failed)
        gateway.batches.put([admit(2)])
        assert gateway.answers.get(timeout=WAIT) == [(2, "CA_NOT_REGISTERED")]
        pump.stop()
    [line] = logs
    assert (line["log_level"], line["reason"]) == ("error", "the disk is full")
    assert "exc_info" not in line


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("connect", "connection_refused"),
        ("publish", "publish_refused"),
        ("subscribe", "subscription_refused"),
        ("unsubscribe", "unsubscribe_refused"),
        ("receive", "delivery_refused"),
        ("packet", "packet_refused"),
        ("connection", "connection_ended_by_alert"),
    ],
)
def test_a_refusal_is_logged_with_operation_reason_and_client(gateway: FakeGateway, operation: str, code: str) -> None:
    refused = {
        "kind": "refused",
        "time": 1.0,
        "account_id": "123456789012",
        "region": "us-east-1",
        "certificate_id": "ab" * 32,
        "client_id": "pump-7",
        "peer": "192.0.2.1:5000",
        "server_name": "localhost",
        "reason": "DEVICE_CERTIFICATE_INACTIVE",
        "detail": "Activate it.",
        "operation": operation,
    }
    with captured_log() as logs:
        pump = running(gateway, Registry())
        gateway.batches.put([refused, admit(1)])
        gateway.answers.get(timeout=WAIT)
        pump.stop()
    line = logs[0]
    assert (line["code"], line["reason"]) == (code, "DEVICE_CERTIFICATE_INACTIVE")
    assert (line["client_id"], line["peer"], line["certificate_id"]) == ("pump-7", "192.0.2.1:5000", "ab" * 32)


def test_a_stopped_pump_handles_no_more_events(gateway: FakeGateway) -> None:
    pump = running(gateway, Registry())
    pump.stop()
    assert "gateway-pump" not in {thread.name for thread in threading.enumerate()}


def test_requests_and_connections_reach_their_receivers(gateway: FakeGateway) -> None:
    asked: queue.Queue[Request] = queue.Queue()
    connected: queue.Queue[Sequence[tuple[Realm, str]]] = queue.Queue()
    pump = Pump(cast(Gateway, gateway), Registry(), asked=asked.put, connected=connected.put)
    pump.start()
    realm = ("123456789012", "us-east-1")
    request = {
        "kind": "request",
        "account_id": realm[0],
        "region": realm[1],
        "connection": 7,
        "client_id": "client",
        "certificate_id": "ab" * 32,
        "topic": "$aws/certificates/create/json",
        "payload": b"{}",
    }
    gateway.batches.put([request, connected_event("cd" * 32), connected_event("ef" * 32)])
    assert connected.get(timeout=WAIT) == [(Realm(*realm), "cd" * 32), (Realm(*realm), "ef" * 32)]
    assert asked.get(timeout=WAIT) == Request(
        Realm(*realm), 7, "client", "ab" * 32, "$aws/certificates/create/json", b"{}"
    )
    pump.stop()


def test_connected_certificates_are_recorded_again_where_the_store_failed(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sekisho.gateway.pump.RETRY_SECONDS", 0.0)
    told: queue.Queue[tuple[list[str], bool]] = queue.Queue()
    is_away = threading.Event()
    is_away.set()

    def record(connected: Sequence[tuple[Realm, str]]) -> None:
        refused = is_away.is_set()
        told.put(([certificate_id for _, certificate_id in connected], refused))
        if refused:
            raise StoreError("the disk is full")

    def connect(certificate_id: str) -> None:
        gateway.batches.put([connected_event(certificate_id)])

    pump = Pump(cast(Gateway, gateway), Registry(), connected=record)
    with captured_log() as logs:
        pump.start()
        connect("one")
        assert told.get(timeout=WAIT) == (["one"], True)
        connect("two")
        while told.get(timeout=WAIT) != (["one", "two"], True):
            pass
        is_away.clear()
        while (last := told.get(timeout=WAIT))[1]:
            pass
        assert last == (["one", "two"], False)
        connect("three")
        assert told.get(timeout=WAIT) == (["three"], False)
        pump.stop()
    assert {line["reason"] for line in logs} == {"the disk is full"}


def test_connected_certificates_are_recorded_even_where_none_could_be_admitted(gateway: FakeGateway) -> None:
    class Away:
        def known(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | None]:
            return [None] * len(requests)

        def answer(self, requests: Sequence[AdmissionRequest]) -> Sequence[Identity | Refused]:
            raise StoreError(f"the disk is full, said to {len(requests)}")

    told: queue.Queue[Sequence[tuple[Realm, str]]] = queue.Queue()
    pump = Pump(cast(Gateway, gateway), Away(), connected=told.put)
    pump.start()
    gateway.batches.put([admit(1), connected_event("cd" * 32)])
    assert told.get(timeout=WAIT) == [(Realm("123456789012", "us-east-1"), "cd" * 32)]
    pump.stop()


def test_many_connected_certificates_are_recorded_in_batches(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sekisho.gateway.pump.BATCH", 2)
    monkeypatch.setattr("sekisho.gateway.pump.RETRY_SECONDS", 0.0)
    told: queue.Queue[int] = queue.Queue()
    refusals = [StoreError("the disk is full")] * 3
    pump = Pump(cast(Gateway, gateway), Registry(), connected=lambda connected: _count(connected, told, refusals))
    for number in range(5):
        gateway.batches.put([connected_event(f"certificate {number}")])
    pump.start()
    seen: list[int] = []
    while sum(seen) < 5:
        seen.append(told.get(timeout=WAIT))
    pump.stop()
    assert sum(seen) == 5
    assert max(seen) == 2


def _count(connected: Sequence[tuple[Realm, str]], told: queue.Queue[int], refusals: list[StoreError]) -> None:
    if refusals:
        raise refusals.pop()
    told.put(len(connected))


def test_failed_accepts_are_logged_in_one_line_with_their_number(gateway: FakeGateway) -> None:
    with captured_log() as lines:
        pump = running(gateway, Registry())
        gateway.batches.put(
            [{"kind": "accept_failed", "cause": "Too many open files (os error 24)", "count": 42}, admit(1)]
        )
        gateway.answers.get(timeout=10)
        pump.stop()
    [said] = lines_of(lines, "mqtt_accept_failed")
    assert (said["reason"], said["count"]) == ("Too many open files (os error 24)", 42)
