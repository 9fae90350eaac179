"""The decisions of ``tests/vectors/policy.json``, evaluated by the control plane through the built module.

Rows are used whose facts the registry has: a client id, a thing, policies. Rows that need an address, a clock, a will
or a certificate's subject are tested in Rust only.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from sekisho.admission.model import IdentityThing
from sekisho.errors import MalformedPolicyException
from sekisho.gateway.engine import RustPolicyEngine
from sekisho.policies.engine import Subject
from sekisho.policies.model import PolicyVersion
from sekisho.realm import Realm

VECTORS: Final[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "vectors" / "policy.json").read_text())
REALM: Final = Realm("123456789012", "us-east-1")
BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)


def _is_askable(request: dict[str, Any]) -> bool:
    facts = dict(request["facts"])
    if request["action"] == "iot:Connect" and facts.pop("connect_attributes", None) != []:
        return False
    if ("is_attached" in facts) != ("client_id" in facts):
        return False
    return "now" not in request and facts.keys() <= {"client_id", "thing", "is_attached"}


ASKABLE: Final = [
    pytest.param(row["documents"], request, id=f"{row['row']}-{number}")
    for row in VECTORS["rows"]
    for number, request in enumerate(row["requests"], 1)
    if _is_askable(request)
]


def test_there_are_usable_rows() -> None:
    assert len(ASKABLE) > 50


@pytest.mark.parametrize(("documents", "request_"), ASKABLE)
def test_the_control_plane_gets_the_decision_of_the_vector(documents: list[Any], request_: dict[str, Any]) -> None:
    facts = request_["facts"]
    client_id = facts.get("client_id")
    thing = facts.get("thing")
    things = () if thing is None else (_thing(thing, client_id),)
    policies = tuple(
        PolicyVersion(REALM, f"policy-{number}", 1, json.dumps(document), BEGINNING)
        for number, document in enumerate(documents)
    )
    subject = Subject(REALM, None, policies, things)
    [decision] = RustPolicyEngine().evaluate(subject, client_id, [(request_["action"], request_["resource"])])
    assert decision.decision == request_["expected"]
    if "missing" in request_:
        assert list(decision.missing_context_values) == request_["missing"]


@pytest.mark.parametrize("refused", VECTORS["refused"], ids=lambda refused: refused["name"])
def test_an_invalid_document_is_malformed_and_the_message_says_where(refused: dict[str, str]) -> None:
    with pytest.raises(MalformedPolicyException) as refusal:
        RustPolicyEngine().check(refused["document"])
    assert refused["mentions"] in refusal.value.message


def _thing(thing: dict[str, Any], client_id: str | None) -> IdentityThing:
    return IdentityThing(
        name=thing["name"],
        type_name=thing.get("type_name"),
        attributes=thing.get("attributes", {}),
        # A connection with another client id is associated only with a thing that is attached exclusively.
        exclusive=thing["name"] != client_id,
    )
