"""The promises of ``ports.IdentityRows``, kept by every store."""

from __future__ import annotations

import pytest

from sekisho import arn
from sekisho.admission import store as identities
from sekisho.admission.model import Identity, IdentityThing
from sekisho.admission.store import IdentityRows
from sekisho.certificates.model import CertificateStatus
from sekisho.certificates.store import CertificateRows
from sekisho.policies.store import PolicyRows
from sekisho.principals.model import ThingPrincipalType
from sekisho.principals.store import AttachmentRows
from sekisho.realm import Realm
from sekisho.rotation.model import RotationState
from sekisho.rotation.store import RotationRows
from sekisho.store.store import Store
from sekisho.thing_groups.store import ThingGroupRows
from sekisho.things.store import ThingRows
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
from tests.store.sent_statements import sent_statements


def principal(number: int, realm: Realm = HOME) -> str:
    return arn.certificate(realm, certificate_id(number))


def test_an_identity_has_the_certificate_with_default_policy_versions_and_things(store: Store) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1, status=CertificateStatus.REVOKED))
        for name in ("one", "two", "three"):
            PolicyRows(tx).add(policy(name), version(name))
        PolicyRows(tx).add_version(version("two", 2))
        PolicyRows(tx).replace(policy("two", default_version_id=2, last_version_id=2))
        PolicyRows(tx).attach(HOME, "two", principal(1))
        PolicyRows(tx).attach(HOME, "one", principal(1))
        ThingRows(tx).add(thing("lamp", type_name="light", attributes={"room": "1"}))
        ThingRows(tx).add(thing("camera"))
        ThingRows(tx).add(thing("gate"))
        AttachmentRows(tx).add(attachment("camera", principal(1)))
        AttachmentRows(tx).add(attachment("lamp", principal(1), type=ThingPrincipalType.EXCLUSIVE_THING))
    with store.read() as tx:
        found = IdentityRows(tx).look_up([(HOME, certificate_id(1))])
    assert found == {
        (HOME, certificate_id(1)): Identity(
            certificate=certificate(1, status=CertificateStatus.REVOKED),
            policies=(version("two", 2), version("one")),
            things=(
                IdentityThing("camera", None, {}, exclusive=False),
                IdentityThing("lamp", "light", {"room": "1"}, exclusive=True),
            ),
        )
    }


def test_unknown_certificates_are_missing_in_the_result(store: Store) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1))
    with store.read() as tx:
        assert IdentityRows(tx).look_up([]) == {}
        assert IdentityRows(tx).look_up([(HOME, certificate_id(2)), (OTHER_ACCOUNT, certificate_id(1))]) == {}
        found = IdentityRows(tx).look_up([(HOME, certificate_id(2)), (HOME, certificate_id(1))])
        assert list(found) == [(HOME, certificate_id(1))]
        assert found[HOME, certificate_id(1)] == Identity(certificate(1), policies=(), things=())


def test_a_certificate_in_several_realms_has_in_each_the_policies_and_things_of_that_realm(store: Store) -> None:
    realms = (HOME, OTHER_ACCOUNT, OTHER_REGION)
    with store.write() as tx:
        for realm in realms:
            CertificateRows(tx).add(certificate(1, realm))
            PolicyRows(tx).add(policy("p", realm), version("p", realm=realm, document=str(realm)))
            PolicyRows(tx).attach(realm, "p", principal(1, realm))
            ThingRows(tx).add(thing(f"of {realm}", realm))
            AttachmentRows(tx).add(attachment(f"of {realm}", principal(1, realm), realm))
    with store.read() as tx:
        found = IdentityRows(tx).look_up([(realm, certificate_id(1)) for realm in realms])
    assert set(found) == {(realm, certificate_id(1)) for realm in realms}
    for (realm, _), identity in found.items():
        assert identity.certificate.realm == realm
        assert [each.document for each in identity.policies] == [str(realm)]
        assert [each.name for each in identity.things] == [f"of {realm}"]


def test_a_thing_has_the_policies_of_its_groups_and_of_all_above_them(store: Store) -> None:
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1))
        CertificateRows(tx).add(certificate(2))
        for realm in (HOME, OTHER_REGION):
            for name in ("own", "of lights", "of red", "of led", "of pumps", "of unused"):
                PolicyRows(tx).add(policy(name, realm), version(name, realm=realm))
            ThingRows(tx).add(thing("lamp", realm))
            for group in (
                thing_group("lights", realm=realm),
                thing_group("red", "lights", realm=realm),
                thing_group("led", "lights", "red", realm=realm),
                thing_group("pumps", realm=realm),
                thing_group("unused", "lights", realm=realm),
            ):
                ThingGroupRows(tx).add(group)
                PolicyRows(tx).attach(realm, f"of {group.name}", arn.thing_group(realm, group.name))
        PolicyRows(tx).add_version(version("of red", 2))
        PolicyRows(tx).replace(policy("of red", default_version_id=2, last_version_id=2))
        PolicyRows(tx).attach(HOME, "of led", arn.thing_group(HOME, "lights"))
        PolicyRows(tx).attach(HOME, "own", principal(1))
        ThingRows(tx).add(thing("camera"))
        ThingGroupRows(tx).join("lamp", thing_group("led", "lights", "red"))
        ThingGroupRows(tx).join("lamp", thing_group("pumps"))
        ThingGroupRows(tx).join("lamp", thing_group("unused", "lights", realm=OTHER_REGION))
        for name in ("camera", "lamp"):
            AttachmentRows(tx).add(attachment(name, principal(1)))
        AttachmentRows(tx).add(attachment("camera", principal(2)))
    with store.read() as tx:
        found = IdentityRows(tx).look_up([(HOME, certificate_id(number)) for number in (1, 2)])
    one, two = (found[HOME, certificate_id(number)] for number in (1, 2))
    assert one.policies == (version("own"),)
    assert [(each.name, each.policies) for each in one.things] == [
        ("camera", ()),
        ("lamp", (version("of led"), version("of red", 2), version("of lights"), version("of pumps"))),
    ]
    assert [(each.name, each.policies) for each in two.things] == [("camera", ())]


def test_attachments_of_another_realm_are_not_in_the_identity(store: Store) -> None:
    """The domain refuses such attachments; the gateway does not rely on that."""
    with store.write() as tx:
        CertificateRows(tx).add(certificate(1))
        PolicyRows(tx).add(policy("p", OTHER_ACCOUNT), version("p", realm=OTHER_ACCOUNT))
        PolicyRows(tx).attach(OTHER_ACCOUNT, "p", principal(1))
        ThingRows(tx).add(thing("lamp", OTHER_ACCOUNT))
        AttachmentRows(tx).add(attachment("lamp", principal(1), OTHER_ACCOUNT))
    with store.read() as tx:
        found = IdentityRows(tx).look_up([(HOME, certificate_id(1))])
    assert found == {(HOME, certificate_id(1)): Identity(certificate(1), policies=(), things=())}


def test_the_new_certificate_of_a_pending_rotation_is_awaited(store: Store) -> None:
    realms = (HOME, OTHER_ACCOUNT, OTHER_REGION)
    with store.write() as tx:
        for realm in realms:
            for number in range(1, 5):
                CertificateRows(tx).add(certificate(number, realm))
        RotationRows(tx).add(rotation(1, 2))
        RotationRows(tx).add(rotation(3, 4, state=RotationState.DONE))
        RotationRows(tx).add(rotation(3, 4, OTHER_REGION))
    keys = [(realm, certificate_id(number)) for realm in realms for number in range(1, 5)]

    def awaited() -> set[tuple[Realm, str]]:
        with store.read() as tx:
            return {key for key, identity in IdentityRows(tx).look_up(keys).items() if identity.is_awaited}

    assert awaited() == {(HOME, certificate_id(2)), (OTHER_REGION, certificate_id(4))}
    with store.write() as tx:
        RotationRows(tx).finish(rotation(1, 2, state=RotationState.CANCELLED))
    assert awaited() == {(OTHER_REGION, certificate_id(4))}


@pytest.mark.parametrize("size", [1, identities.CHUNK, identities.CHUNK + 1, 3 * identities.CHUNK])
def test_a_batch_needs_three_statements_per_chunk(store: Store, size: int) -> None:
    with store.write() as tx:
        for number in range(size):
            CertificateRows(tx).add(certificate(number))
        PolicyRows(tx).add(policy(), version())
        PolicyRows(tx).attach(HOME, "p", principal(size - 1))
    keys = [(HOME, certificate_id(number)) for number in range(size)]
    with sent_statements() as statements, store.read() as tx:
        found = IdentityRows(tx).look_up(keys + keys)
    assert set(found) == set(keys)
    assert found[HOME, certificate_id(size - 1)].policies == (version(),)
    assert len(statements) == 3 * -(-size // identities.CHUNK)


def test_groups_need_two_more_statements_for_any_number_of_things(store: Store) -> None:
    size = identities.CHUNK
    with store.write() as tx:
        PolicyRows(tx).add(policy(), version())
        red = thing_group("red", "lights")
        for group in (thing_group("lights"), red):
            ThingGroupRows(tx).add(group)
        PolicyRows(tx).attach(HOME, "p", arn.thing_group(HOME, "lights"))
        for number in range(size):
            CertificateRows(tx).add(certificate(number))
            ThingRows(tx).add(thing(f"lamp {number}"))
            AttachmentRows(tx).add(attachment(f"lamp {number}", principal(number)))
    keys = [(HOME, certificate_id(number)) for number in range(size)]
    with sent_statements() as statements, store.read() as tx:
        IdentityRows(tx).look_up(keys)
    assert len(statements) == 3
    with store.write() as tx:
        for number in range(size):
            ThingGroupRows(tx).join(f"lamp {number}", red)
    with sent_statements() as statements, store.read() as tx:
        found = IdentityRows(tx).look_up(keys)
    assert len(statements) == 5
    assert {identity.things[0].policies for identity in found.values()} == {(version(),)}
