"""What the gate is told of the registry's changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sekisho._sekisho import Gateway
from sekisho.gateway.projector import Projector
from sekisho.realm import Realm
from sekisho.registry.ports import Change, ChangeKind

REALM = Realm("123456789012", "us-east-1")


class Gate:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str, str]] = []

    def invalidate(self, changes: Sequence[tuple[str, str, str, str]]) -> None:
        self.told += changes


def attached() -> tuple[Projector, Gate, list[str]]:
    gate, refreshed = Gate(), list[str]()
    projector = Projector()
    projector.attach(cast(Gateway, gate), lambda: refreshed.append("endpoints"))
    return projector, gate, refreshed


def test_every_change_of_a_commit_is_told_and_an_endpoint_is_looked_up_once() -> None:
    projector, gate, refreshed = attached()
    kinds = (ChangeKind.CERTIFICATE, ChangeKind.POLICY, ChangeKind.THING)
    projector.announce([*(Change(REALM, kind, "a") for kind in kinds), Change(REALM, ChangeKind.ENDPOINT, "b")])
    assert gate.told == [("123456789012", "us-east-1", kind.value, "a") for kind in kinds]
    assert refreshed == ["endpoints"]


def test_changes_without_an_endpoint_leave_the_endpoints_alone() -> None:
    projector, gate, refreshed = attached()
    projector.announce([Change(REALM, ChangeKind.THING, "a")])
    assert len(gate.told) == 1
    assert refreshed == []


def test_before_there_is_a_gate_nobody_is_told() -> None:
    Projector().announce([Change(REALM, ChangeKind.CERTIFICATE, "a")])
