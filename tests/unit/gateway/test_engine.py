from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sekisho.admission.model import IdentityThing
from sekisho.errors import MalformedPolicyException
from sekisho.gateway.engine import RustPolicyEngine
from sekisho.policies.engine import Subject
from sekisho.policies.model import PolicyVersion
from sekisho.realm import Realm

HOME = Realm("123456789012", "eu-central-1")
PREFIX = "arn:aws:iot:eu-central-1:123456789012:"


def version(name: str, effect: str, resource: str) -> PolicyVersion:
    document = (
        '{"Version": "2012-10-17", "Statement": '
        f'{{"Effect": "{effect}", "Action": "iot:Publish", "Resource": "{PREFIX}{resource}"}}}}'
    )
    return PolicyVersion(HOME, name, 1, document, datetime(2026, 1, 1, tzinfo=UTC))


def test_an_invalid_document_is_refused_with_the_reason() -> None:
    engine = RustPolicyEngine()
    engine.check(version("p", "Allow", "topic/a").document)
    with pytest.raises(MalformedPolicyException) as refusal:
        engine.check(version("p", "Perhaps", "topic/a").document)
    assert "Effect" in refusal.value.message


def test_a_subject_without_a_certificate_is_evaluated_by_its_policies() -> None:
    subject = Subject(HOME, None, (version("allows", "Allow", "topic/*"), version("denies", "Deny", "topic/b")))
    requests = [("iot:Publish", f"{PREFIX}topic/a"), ("iot:Publish", f"{PREFIX}topic/b"), ("iot:Connect", PREFIX)]
    first, second, third = RustPolicyEngine().evaluate(subject, None, requests)
    assert (first.decision, first.allowed_by, first.denied_by) == ("ALLOWED", ("allows",), ())
    assert (second.decision, second.denied_by) == ("EXPLICIT_DENY", ("denies",))
    assert third.decision == "IMPLICIT_DENY"


def test_a_thing_gives_its_variables_to_the_client_with_its_name() -> None:
    subject = Subject(
        HOME,
        None,
        (version("by-site", "Allow", "topic/${iot:Connection.Thing.Attributes[site]}"),),
        (IdentityThing("pump", None, {"site": "north"}, exclusive=False),),
    )
    request = [("iot:Publish", f"{PREFIX}topic/north")]
    engine = RustPolicyEngine()
    assert engine.evaluate(subject, "pump", request)[0].decision == "ALLOWED"
    [refused] = engine.evaluate(subject, "fan", request)
    assert refused.decision == "IMPLICIT_DENY"
    assert refused.missing_context_values == ("iot:Connection.Thing.Attributes[site]",)
