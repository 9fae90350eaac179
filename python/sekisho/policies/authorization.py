"""TestAuthorization and GetEffectivePolicies: what a principal may do, without a connection.

The gateway's policy engine makes the decisions. They depend on policies, not on the status of the certificate.

Source: API Reference, TestAuthorization and GetEffectivePolicies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from sekisho.admission.store import IdentityRows
from sekisho.errors import InvalidRequestException, LimitExceededException, ResourceNotFoundException
from sekisho.pages import Window
from sekisho.policies.engine import Decision, PolicyEngine, Subject
from sekisho.policies.model import Policy, PolicyVersion
from sekisho.policies.rules import MAX_PER_TARGET
from sekisho.policies.store import PolicyRows
from sekisho.principals import rules as principals
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.thing_groups import inheritance
from sekisho.things.store import ThingRows

ACTIONS: Final[Mapping[str, str]] = {
    "CONNECT": "iot:Connect",
    "PUBLISH": "iot:Publish",
    "RECEIVE": "iot:Receive",
    "SUBSCRIBE": "iot:Subscribe",
}
"""Policy actions by the action types of the API."""

_EXAMPLES: Final[Mapping[str, str]] = {
    "CONNECT": "client/<clientId>",
    "PUBLISH": "topic/<topic>",
    "RECEIVE": "topic/<topic>",
    "SUBSCRIBE": "topicfilter/<filter>",
}


@dataclass(frozen=True, slots=True)
class Question:
    """One ``authInfo`` of TestAuthorization. ``action_type``: a key of ``ACTIONS``. ``resources``: ARNs."""

    action_type: str
    resources: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The decision on one question. Policies are names, in the order in which they are attached."""

    question: Question
    decision: Literal["ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY"]
    allowed_by: Sequence[str]
    """Policies that allow at least one of the resources."""
    explicitly_denied_by: Sequence[str]
    """Policies that deny at least one of the resources."""
    implicitly_denied_by: Sequence[str]
    """Policies that deny nothing, where no policy allows one of the resources."""
    missing_context_values: Sequence[str]
    """Names of policy variables without a value, in alphabetical order."""


class Authorization:
    """Computes the decisions that the gateway would make."""

    def __init__(self, store: Store, engine: PolicyEngine) -> None:
        self._store = store
        self._engine = engine

    def test(
        self,
        realm: Realm,
        questions: Sequence[Question],
        *,
        principal: str | None = None,
        client_id: str | None = None,
        policy_names_to_add: Sequence[str] = (),
        policy_names_to_skip: Sequence[str] = (),
    ) -> Sequence[Answer]:
        """Return one answer per question, in their order.

        Args:
            principal: A certificate, a Cognito identity or a thing group; None: only ``policy_names_to_add``.
            client_id: The MQTT client id of the connection.
            policy_names_to_add: Policies that are evaluated as if they were attached.
            policy_names_to_skip: Policies that are not evaluated.

        Raises:
            ResourceNotFoundException: No such certificate, thing group or policy.
            InvalidRequestException: There is neither a principal nor a policy; a question has an unknown action type,
                or a resource that is not an ARN.
            LimitExceededException: There would be more than MAX_PER_TARGET policies.
        """
        for question in questions:
            _check_question(realm, question)
        if principal is None and not policy_names_to_add:
            raise InvalidRequestException(
                "The request names neither a principal nor policies. Give a principal (the ARN of a certificate, or a "
                "Cognito identity id), or policyNamesToAdd."
            )
        with self._store.read() as tx:
            subject = _subject(tx, realm, principal)
            subject = _with_changes(tx, subject, policy_names_to_add, policy_names_to_skip)
        requests = [
            (ACTIONS[question.action_type], resource) for question in questions for resource in question.resources
        ]
        decisions = iter(self._engine.evaluate(subject, client_id, requests))
        return [_combined(question, [next(decisions) for _ in question.resources], subject) for question in questions]

    def effective_policies(
        self, realm: Realm, *, principal: str | None = None, thing_name: str | None = None
    ) -> Sequence[PolicyVersion]:
        """Return the default versions of the policies of a principal, of a thing, or of both.

        The policies of a thing are those of its groups and of all groups above them. With a principal they are included
        only if it is attached to the thing, since only then a connection inherits them.

        Raises:
            InvalidRequestException: Neither is given, or ``principal`` is not a principal of this realm.
            ResourceNotFoundException: No such certificate, thing group or thing.
        """
        if principal is None and thing_name is None:
            raise InvalidRequestException("Give a principal, a thingName, or both.")
        with self._store.read() as tx:
            if thing_name is not None and ThingRows(tx).get(realm, thing_name) is None:
                raise ResourceNotFoundException(f"Thing {thing_name} cannot be found.")
            if principal is None:
                names = [] if thing_name is None else inheritance.groups_of_thing(tx, realm, thing_name)
                return _default_versions(tx, realm, inheritance.policies_of(tx, realm, names))
            subject = _subject(tx, realm, principal)
        of_groups = [version for thing in subject.things if thing.name == thing_name for version in thing.policies]
        return tuple(_by_name((*subject.policies, *of_groups)).values())


def _check_question(realm: Realm, question: Question) -> None:
    if question.action_type not in ACTIONS:
        raise InvalidRequestException(
            f"authInfos: {question.action_type[:50]!r} is not an actionType. Give one of {', '.join(ACTIONS)}."
        )
    if not question.resources:
        raise InvalidRequestException("authInfos: resources is empty. Give at least one ARN.")
    for resource in question.resources:
        if not resource.startswith("arn:") or resource.count(":") < 5:
            example = f"arn:aws:iot:{realm.region}:{realm.account_id}:{_EXAMPLES[question.action_type]}"
            raise InvalidRequestException(
                f"authInfos: {resource[:200]!r} is not an ARN. For {question.action_type} give {example}."
            )


def _subject(tx: Transaction, realm: Realm, text: str | None) -> Subject:
    if text is None:
        return Subject(realm, None, ())
    principal = principals.parse_target(realm, text)
    if principal.group_name is not None:
        group = inheritance.existing_group(tx, realm, principal.group_name)
        return Subject(realm, None, _default_versions(tx, realm, inheritance.policies_of(tx, realm, group.lineage)))
    certificate = principals.certificate_of(tx, principal)
    if certificate is None:
        attached = PolicyRows(tx).attached_to(realm, principal.text, Window(limit=MAX_PER_TARGET)).items
        return Subject(realm, None, _default_versions(tx, realm, attached))
    key = (realm, certificate.certificate_id)
    identity = IdentityRows(tx).look_up([key])[key]
    return Subject(realm, certificate.certificate_pem, identity.policies, identity.things)


def _with_changes(tx: Transaction, subject: Subject, add: Sequence[str], skip: Sequence[str]) -> Subject:
    added = [_default_version(tx, subject.realm, name) for name in add]
    skipped = {_default_version(tx, subject.realm, name).policy_name for name in skip}
    kept = [version for version in (*subject.policies, *added) if version.policy_name not in skipped]
    policies = tuple(_by_name(kept).values())
    # A thing group may have more than MAX_PER_TARGET, with those of the groups above it.
    if len(policies) > max(MAX_PER_TARGET, len(subject.policies)):
        raise LimitExceededException(
            f"{len(policies)} policies would be in force; a principal can have at most {MAX_PER_TARGET}. "
            "Skip some with policyNamesToSkip."
        )
    things = tuple(
        replace(thing, policies=tuple(v for v in thing.policies if v.policy_name not in skipped))
        for thing in subject.things
    )
    return replace(subject, policies=policies, things=things)


def _default_versions(tx: Transaction, realm: Realm, policies: Sequence[Policy]) -> tuple[PolicyVersion, ...]:
    return tuple(_default_version(tx, realm, policy.name) for policy in policies)


def _default_version(tx: Transaction, realm: Realm, name: str) -> PolicyVersion:
    policy = PolicyRows(tx).get(realm, name)
    version = None if policy is None else PolicyRows(tx).version(realm, name, policy.default_version_id)
    if version is None:
        raise ResourceNotFoundException(f"Policy {name} does not exist. (region={realm.region})")
    return version


def _by_name(versions: Sequence[PolicyVersion]) -> Mapping[str, PolicyVersion]:
    return {version.policy_name: version for version in versions}


def _combined(question: Question, decisions: Sequence[Decision], subject: Subject) -> Answer:
    """Combine the decisions on all resources: EXPLICIT_DENY takes precedence over IMPLICIT_DENY, that over ALLOWED."""
    verdicts = {decision.decision for decision in decisions}
    order = list(_by_name((*subject.policies, *(version for thing in subject.things for version in thing.policies))))
    allowed = {name for decision in decisions for name in decision.allowed_by}
    denied = {name for decision in decisions for name in decision.denied_by}
    not_allowing = set(order) - denied if "IMPLICIT_DENY" in verdicts else set()
    verdict: Literal["ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY"]
    if "EXPLICIT_DENY" in verdicts:
        verdict = "EXPLICIT_DENY"
    elif "IMPLICIT_DENY" in verdicts:
        verdict = "IMPLICIT_DENY"
    else:
        verdict = "ALLOWED"
    return Answer(
        question=question,
        decision=verdict,
        allowed_by=[name for name in order if name in allowed],
        explicitly_denied_by=[name for name in order if name in denied],
        implicitly_denied_by=[name for name in order if name in not_allowing],
        missing_context_values=sorted({name for d in decisions for name in d.missing_context_values}),
    )
