"""The promises of ``ports.IdentityRows``, kept by every store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event

from sekisho import arn
from sekisho.realm import Realm
from sekisho.registry.model import CertificateStatus, Identity, IdentityThing, RotationState, ThingPrincipalType
from sekisho.store import identities
from sekisho.store.unit_of_work import SqlStore
from tests.store.builders import (
    HOME,
    OTHER_ACCOUNT,
    OTHER_REGION,
    attachment,
    certificate,
    certificate_id,
    policy,
    rotation,
    thing,
    thing_group,
    version,
)


def principal(number: int, realm: Realm = HOME) -> str:
    return arn.certificate(realm, certificate_id(number))


def test_an_identity_is_the_certificate_with_default_policy_versions_and_things(store: SqlStore) -> None:
    with store.write() as tx:
        tx.certificates.add(certificate(1, status=CertificateStatus.REVOKED))
        for name in ("one", "two", "three"):
            tx.policies.add(policy(name), version(name))
        tx.policies.add_version(version("two", 2))
        tx.policies.replace(policy("two", default_version_id=2, last_version_id=2))
        tx.policies.attach(HOME, "two", principal(1))
        tx.policies.attach(HOME, "one", principal(1))
        tx.things.add(thing("lamp", type_name="light", attributes={"room": "1"}))
        tx.things.add(thing("door"))
        tx.things.add(thing("gate"))
        tx.attachments.add(attachment("door", principal(1)))
        tx.attachments.add(attachment("lamp", principal(1), type=ThingPrincipalType.EXCLUSIVE_THING))
    with store.read() as tx:
        found = tx.identities.look_up([(HOME, certificate_id(1))])
    assert found == {
        (HOME, certificate_id(1)): Identity(
            certificate=certificate(1, status=CertificateStatus.REVOKED),
            policies=(version("two", 2), version("one")),
            things=(
                IdentityThing("door", None, {}, exclusive=False),
                IdentityThing("lamp", "light", {"room": "1"}, exclusive=True),
            ),
        )
    }


def test_unknown_certificates_are_absent(store: SqlStore) -> None:
    with store.write() as tx:
        tx.certificates.add(certificate(1))
    with store.read() as tx:
        assert tx.identities.look_up([]) == {}
        assert tx.identities.look_up([(HOME, certificate_id(2)), (OTHER_ACCOUNT, certificate_id(1))]) == {}
        found = tx.identities.look_up([(HOME, certificate_id(2)), (HOME, certificate_id(1))])
        assert list(found) == [(HOME, certificate_id(1))]
        assert found[HOME, certificate_id(1)] == Identity(certificate(1), policies=(), things=())


def test_a_certificate_in_several_realms_has_in_each_what_that_realm_gave_it(store: SqlStore) -> None:
    realms = (HOME, OTHER_ACCOUNT, OTHER_REGION)
    with store.write() as tx:
        for realm in realms:
            tx.certificates.add(certificate(1, realm))
            tx.policies.add(policy("p", realm), version("p", realm=realm, document=str(realm)))
            tx.policies.attach(realm, "p", principal(1, realm))
            tx.things.add(thing(f"of {realm}", realm))
            tx.attachments.add(attachment(f"of {realm}", principal(1, realm), realm))
    with store.read() as tx:
        found = tx.identities.look_up([(realm, certificate_id(1)) for realm in realms])
    assert set(found) == {(realm, certificate_id(1)) for realm in realms}
    for (realm, _), identity in found.items():
        assert identity.certificate.realm == realm
        assert [each.document for each in identity.policies] == [str(realm)]
        assert [each.name for each in identity.things] == [f"of {realm}"]


def test_a_thing_has_the_policies_of_its_groups_and_of_all_above_them(store: SqlStore) -> None:
    with store.write() as tx:
        tx.certificates.add(certificate(1))
        tx.certificates.add(certificate(2))
        for realm in (HOME, OTHER_REGION):
            for name in ("own", "of lights", "of red", "of led", "of pumps", "of nobody"):
                tx.policies.add(policy(name, realm), version(name, realm=realm))
            tx.things.add(thing("lamp", realm))
            for group in (
                thing_group("lights", realm=realm),
                thing_group("red", "lights", realm=realm),
                thing_group("led", "lights", "red", realm=realm),
                thing_group("pumps", realm=realm),
                thing_group("nobody", "lights", realm=realm),
            ):
                tx.thing_groups.add(group)
                tx.policies.attach(realm, f"of {group.name}", arn.thing_group(realm, group.name))
        tx.policies.add_version(version("of red", 2))
        tx.policies.replace(policy("of red", default_version_id=2, last_version_id=2))
        tx.policies.attach(HOME, "of led", arn.thing_group(HOME, "lights"))
        tx.policies.attach(HOME, "own", principal(1))
        tx.things.add(thing("door"))
        tx.thing_groups.join("lamp", thing_group("led", "lights", "red"))
        tx.thing_groups.join("lamp", thing_group("pumps"))
        tx.thing_groups.join("lamp", thing_group("nobody", "lights", realm=OTHER_REGION))
        for name in ("door", "lamp"):
            tx.attachments.add(attachment(name, principal(1)))
        tx.attachments.add(attachment("door", principal(2)))
    with store.read() as tx:
        found = tx.identities.look_up([(HOME, certificate_id(number)) for number in (1, 2)])
    one, two = (found[HOME, certificate_id(number)] for number in (1, 2))
    assert one.policies == (version("own"),)
    assert [(each.name, each.policies) for each in one.things] == [
        ("door", ()),
        ("lamp", (version("of led"), version("of red", 2), version("of lights"), version("of pumps"))),
    ]
    assert [(each.name, each.policies) for each in two.things] == [("door", ())]


def test_what_another_realm_has_attached_to_a_principal_is_not_its_own(store: SqlStore) -> None:
    """The domain refuses such attachments; the gate does not rely on it."""
    with store.write() as tx:
        tx.certificates.add(certificate(1))
        tx.policies.add(policy("p", OTHER_ACCOUNT), version("p", realm=OTHER_ACCOUNT))
        tx.policies.attach(OTHER_ACCOUNT, "p", principal(1))
        tx.things.add(thing("lamp", OTHER_ACCOUNT))
        tx.attachments.add(attachment("lamp", principal(1), OTHER_ACCOUNT))
    with store.read() as tx:
        found = tx.identities.look_up([(HOME, certificate_id(1))])
    assert found == {(HOME, certificate_id(1)): Identity(certificate(1), policies=(), things=())}


@contextmanager
def selects() -> Iterator[list[str]]:
    """The queries that are sent."""
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def test_the_new_certificate_of_a_pending_rotation_is_awaited(store: SqlStore) -> None:
    realms = (HOME, OTHER_ACCOUNT, OTHER_REGION)
    with store.write() as tx:
        for realm in realms:
            for number in range(1, 5):
                tx.certificates.add(certificate(number, realm))
        tx.rotations.add(rotation(1, 2))
        tx.rotations.add(rotation(3, 4, state=RotationState.DONE))
        tx.rotations.add(rotation(3, 4, OTHER_REGION))
    keys = [(realm, certificate_id(number)) for realm in realms for number in range(1, 5)]

    def awaited() -> set[tuple[Realm, str]]:
        with store.read() as tx:
            return {key for key, identity in tx.identities.look_up(keys).items() if identity.is_awaited}

    assert awaited() == {(HOME, certificate_id(2)), (OTHER_REGION, certificate_id(4))}
    with store.write() as tx:
        tx.rotations.finish(rotation(1, 2, state=RotationState.CANCELLED))
    assert awaited() == {(OTHER_REGION, certificate_id(4))}


@pytest.mark.parametrize("size", [1, identities.CHUNK, identities.CHUNK + 1, 3 * identities.CHUNK])
def test_a_batch_takes_three_statements_per_chunk(store: SqlStore, size: int) -> None:
    with store.write() as tx:
        for number in range(size):
            tx.certificates.add(certificate(number))
        tx.policies.add(policy(), version())
        tx.policies.attach(HOME, "p", principal(size - 1))
    keys = [(HOME, certificate_id(number)) for number in range(size)]
    with selects() as statements, store.read() as tx:
        found = tx.identities.look_up(keys + keys)
    assert set(found) == set(keys)
    assert found[HOME, certificate_id(size - 1)].policies == (version(),)
    assert len(statements) == 3 * -(-size // identities.CHUNK)


def test_groups_take_two_statements_more_however_many_things_are_in_them(store: SqlStore) -> None:
    size = identities.CHUNK
    with store.write() as tx:
        tx.policies.add(policy(), version())
        red = thing_group("red", "lights")
        for group in (thing_group("lights"), red):
            tx.thing_groups.add(group)
        tx.policies.attach(HOME, "p", arn.thing_group(HOME, "lights"))
        for number in range(size):
            tx.certificates.add(certificate(number))
            tx.things.add(thing(f"lamp {number}"))
            tx.attachments.add(attachment(f"lamp {number}", principal(number)))
    keys = [(HOME, certificate_id(number)) for number in range(size)]
    with selects() as statements, store.read() as tx:
        tx.identities.look_up(keys)
    assert len(statements) == 3
    with store.write() as tx:
        for number in range(size):
            tx.thing_groups.join(f"lamp {number}", red)
    with selects() as statements, store.read() as tx:
        found = tx.identities.look_up(keys)
    assert len(statements) == 5
    assert {identity.things[0].policies for identity in found.values()} == {(version(),)}
