"""A template is carried out completely or not at all, and can be repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from sekisho import arn
from sekisho.billing_groups.rules import BillingGroups
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificates import rules as registry_certificates
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.rules import Certificates
from sekisho.certificates.store import CertificateRows
from sekisho.change import Change, ChangeKind
from sekisho.gateway.engine import RustPolicyEngine
from sekisho.pages import Window
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.engine import PolicyEngine
from sekisho.policies.rules import Policies
from sekisho.policies.store import PolicyRows
from sekisho.principals.model import ThingPrincipalType
from sekisho.provisioning.provisioner import Provisioned, ProvisioningError, ResourceConflict, provision
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.templates.subject import certificate_parameters
from sekisho.templates.template import parse
from sekisho.thing_groups.rules import ThingGroups
from sekisho.thing_types.rules import ThingTypes
from sekisho.things.rules import Things
from sekisho.things.store import ThingRows
from tests.stores import empty_store
from tests.unit.features.arrange import DOCUMENT, HOME, OTHER_ACCOUNT, LiteralEngine, SetClock
from tests.x509 import KeyAndCertificate, new_ca, new_device, new_request, p256

ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED
PENDING = CertificateStatus.PENDING_ACTIVATION
ALL: Final = Window(limit=100)
COMMON_NAME: Final = "AWS::IoT::Certificate::CommonName"
ID: Final = "AWS::IoT::Certificate::Id"


@dataclass
class World:
    """A registry, and the provisioner."""

    store: Store
    clock: SetClock
    authority: IssuingAuthority

    def __post_init__(self) -> None:
        self.use(LiteralEngine())
        self.things = Things(self.store, self.clock)
        self.types = ThingTypes(self.store, self.clock)
        self.groups = ThingGroups(self.store, self.clock)
        self.billing_groups = BillingGroups(self.store, self.clock)
        self.certificates = Certificates(self.store, self.clock, self.authority)
        self.cas = CACertificates(self.store, self.clock)

    def use(self, engine: PolicyEngine) -> None:
        self.engine = engine
        self.policies = Policies(self.store, self.clock, engine)

    def device(
        self, status: CertificateStatus = PENDING, *, name: str = "device-7", realm: Realm = HOME
    ) -> KeyAndCertificate:
        """Register a certificate."""
        issued = new_device(None, name)
        with self.store.write() as tx:
            read = X509Certificate.from_der(issued.der)
            registry_certificates.add_new(
                tx, self.clock.now, realm, read, status, CertificateMode.SNI_ONLY, ca_certificate_id=None
            )
        return issued

    def at_first_connect(
        self, device: KeyAndCertificate, resources: dict[str, Any], realm: Realm = HOME
    ) -> Provisioned:
        """Provision as just-in-time provisioning does: parameters from the certificate, and only that certificate."""
        names = (COMMON_NAME, ID)
        body = {"Parameters": {name: {"Type": "String"} for name in names}, "Resources": resources}
        read = parse(json.dumps(body)).resolve(certificate_parameters(X509Certificate.from_der(device.der)))
        certificate = self.certificates.describe(realm, device.certificate_id)
        with self.store.write() as tx:
            return provision(
                tx,
                realm,
                self.clock.now,
                read,
                certificate=certificate,
                engine=self.engine,
                authority=self.authority,
            )

    def by_request(self, resources: dict[str, Any], **sections: Any) -> Provisioned:
        """Provision as RegisterThing does: only certificates that the template names or contains."""
        read = parse(json.dumps({"Resources": resources, **sections}, indent=1)).resolve({})
        with self.store.write() as tx:
            return provision(
                tx, HOME, self.clock.now, read, certificate=None, engine=self.engine, authority=self.authority
            )

    def status(self, issued: KeyAndCertificate) -> CertificateStatus:
        return self.certificates.describe(HOME, issued.certificate_id).status

    def add_groups(self, *names: str, **trees: tuple[str, ...]) -> None:
        """Add groups, and groups with those below them."""
        for name in (*names, *trees):
            self.groups.create(HOME, name)
        for parent, children in trees.items():
            for name in children:
                self.groups.create(HOME, name, parent_name=parent)

    def groups_of(self, name: str) -> list[str]:
        return list(self.groups.groups_of(HOME, name, ALL).items)

    def attached(self, issued: KeyAndCertificate) -> tuple[dict[str, ThingPrincipalType], list[str]]:
        """Return its things and its policies."""
        principal = arn.certificate(HOME, issued.certificate_id)
        things = self.things.things_of(HOME, principal, ALL).items
        policies = self.policies.attached_to(HOME, principal, ALL).items
        return {each.thing_name: each.type for each in things}, [each.name for each in policies]

    def nothing_but(self, *certificate_ids: str) -> bool:
        with self.store.read() as tx:
            kept = [each.certificate_id for each in CertificateRows(tx).page(HOME, ALL).items]
            return (
                kept == list(certificate_ids)
                and not ThingRows(tx).page(HOME, ALL).items
                and not PolicyRows(tx).page(HOME, ALL).items
            )


@pytest.fixture
def announced() -> list[Change]:
    return []


@pytest.fixture
def world(announced: list[Change], authority: IssuingAuthority) -> Iterator[World]:
    with empty_store(announced.extend) as store:
        yield World(store, SetClock(), authority)


def thing(name: Any = "t", overrides: dict[str, str] | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::IoT::Thing",
        "Properties": {"ThingName": name, **properties},
        "OverrideSettings": overrides or {},
    }


def certificate(override: str = "DO_NOTHING", **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::IoT::Certificate",
        "Properties": properties,
        "OverrideSettings": {"Status": override},
    }


def policy(**properties: str) -> dict[str, Any]:
    return {"Type": "AWS::IoT::Policy", "Properties": properties}


DEVICE: Final = {
    "thing": thing({"Ref": COMMON_NAME}, AttributePayload={"site": "north"}),
    "certificate": certificate(CertificateId={"Ref": ID}),
    "policy": policy(PolicyName="devices", PolicyDocument="allow all"),
}


class TestAtFirstConnect:
    def test_thing_policy_and_attachments_are_created_and_the_certificate_is_active(
        self, world: World, announced: list[Change]
    ) -> None:
        device = world.device()
        done = world.at_first_connect(device, DEVICE)
        assert done.resource_arns == {
            "thing": arn.thing(HOME, "device-7"),
            "certificate": arn.certificate(HOME, device.certificate_id),
            "policy": arn.policy(HOME, "devices"),
        }
        assert done.thing_name == "device-7"
        assert done.certificate == world.certificates.describe(HOME, device.certificate_id)
        assert done.certificate.status is ACTIVE
        assert world.things.describe(HOME, "device-7").attributes == {"site": "north"}
        assert world.policies.get(HOME, "devices")[1].document == "allow all"
        assert world.attached(device) == ({"device-7": ThingPrincipalType.NON_EXCLUSIVE_THING}, ["devices"])
        assert Change(HOME, ChangeKind.CERTIFICATE, device.certificate_id) in announced

    def test_a_repetition_changes_nothing(self, world: World) -> None:
        device = world.device()
        world.at_first_connect(device, DEVICE)
        before = world.things.describe(HOME, "device-7"), world.certificates.describe(HOME, device.certificate_id)
        world.clock.move(60)
        world.at_first_connect(device, DEVICE)
        assert before == (
            world.things.describe(HOME, "device-7"),
            world.certificates.describe(HOME, device.certificate_id),
        )
        assert world.attached(device) == ({"device-7": ThingPrincipalType.NON_EXCLUSIVE_THING}, ["devices"])

    def test_another_device_shares_the_policy(self, world: World) -> None:
        first, second = world.device(), world.device(name="device-8")
        for each in (first, second):
            world.at_first_connect(each, DEVICE)
        assert world.attached(first)[1] == world.attached(second)[1] == ["devices"]
        assert world.policies.get(HOME, "devices")[0].last_version_id == 1

    def test_a_device_cannot_get_another_s_certificate(self, world: World) -> None:
        device, other = world.device(), world.device(INACTIVE, name="device-8")
        for named in ({"CertificateId": other.certificate_id}, {"CertificatePem": other.pem}):
            resources = {**DEVICE, "certificate": certificate("REPLACE", **named)}
            with pytest.raises(ProvisioningError, match="names a certificate other than") as refusal:
                world.at_first_connect(device, resources)
            assert (refusal.value.resource, refusal.value.certificate_id) == ("certificate", device.certificate_id)
        assert (world.status(device), world.status(other)) == (PENDING, INACTIVE)

    def test_the_id_in_the_template_may_be_an_arn_or_in_capital_letters(self, world: World) -> None:
        device = world.device()
        written = f"0x{device.certificate_id.upper()}"
        world.at_first_connect(device, {"c": certificate(CertificateId=written)})
        assert world.status(device) is ACTIVE

    def test_a_template_without_certificate_leaves_it_as_it_is(self, world: World) -> None:
        device = world.device()
        done = world.at_first_connect(device, {"t": thing(), "p": policy(PolicyName="p", PolicyDocument="allow x")})
        assert done.certificate is not None
        assert done.certificate.status is PENDING
        assert world.attached(device) == ({}, [])
        assert world.things.describe(HOME, "t").version == 1

    def test_it_stays_in_its_realm(self, world: World) -> None:
        device = world.device(realm=OTHER_ACCOUNT)
        done = world.at_first_connect(device, DEVICE, OTHER_ACCOUNT)
        assert done.resource_arns["thing"] == arn.thing(OTHER_ACCOUNT, "device-7")
        assert world.nothing_but()


class TestNothingIsHalfDone:
    @pytest.mark.parametrize(
        ("spoilt", "resource", "reason"),
        [
            ({"policy": policy(PolicyName="absent")}, "policy", "there is no policy absent. Create it, or give"),
            ({"policy": policy(PolicyDocument="permit all")}, "policy", "neither allow nor deny"),
            ({"thing": thing("t", ThingTypeName="absent")}, "thing", "absent"),
            ({"thing": thing("t", ThingGroups=["absent"])}, "thing", "absent"),
            ({"thing": thing("t", BillingGroup="absent")}, "thing", "absent"),
            ({"thing": thing("t", AttributePayload=dict.fromkeys("abcd", "1"))}, "thing", "would have 4 attributes"),
            (
                {f"policy{n}": policy(PolicyName=f"p{n}", PolicyDocument="allow x") for n in range(10)},
                "policy9",
                "has 10 policies",
            ),
        ],
    )
    def test_the_first_failure_is_named_and_nothing_is_kept(
        self, world: World, spoilt: dict[str, Any], resource: str, reason: str
    ) -> None:
        device = world.device()
        with pytest.raises(ProvisioningError) as refusal:
            world.at_first_connect(device, {**DEVICE, **spoilt})
        assert refusal.value.resource == resource
        assert reason in refusal.value.reason
        assert refusal.value.certificate_id == device.certificate_id
        assert str(refusal.value).startswith(f"resource '{resource}', line 1 of the template: ")
        assert str(refusal.value).endswith(f"(certificateId={device.certificate_id})")
        assert world.nothing_but(device.certificate_id)
        assert world.status(device) is PENDING

    def test_the_line_is_that_of_the_resource(self, world: World) -> None:
        with pytest.raises(ProvisioningError) as refusal:
            world.by_request({"thing": thing(), "policy": policy(PolicyName="absent")})
        assert refusal.value.line == 10
        assert refusal.value.certificate_id is None
        assert str(refusal.value) == (
            "resource 'policy', line 10 of the template: there is no policy absent. Create it, or give its "
            "PolicyDocument in the template."
        )

    def test_a_certificate_with_an_exclusive_thing_gets_no_second(self, world: World) -> None:
        device = world.device()
        exclusive = certificate(CertificateId={"Ref": ID}, ThingPrincipalType="EXCLUSIVE_THING")
        world.at_first_connect(device, {**DEVICE, "certificate": exclusive})
        assert world.attached(device)[0] == {"device-7": ThingPrincipalType.EXCLUSIVE_THING}
        world.at_first_connect(device, DEVICE)
        assert world.attached(device)[0] == {"device-7": ThingPrincipalType.EXCLUSIVE_THING}
        with pytest.raises(ProvisioningError, match="can have no other thing") as refusal:
            world.at_first_connect(device, {**DEVICE, "thing": thing("another")})
        assert refusal.value.resource == "certificate"


class TestAnExistingThing:
    @pytest.mark.parametrize(
        ("override", "after"),
        [
            ("DO_NOTHING", {"a": "1", "b": "2"}),
            ("REPLACE", {"b": "3", "c": "4"}),
            ("MERGE", {"a": "1", "b": "3", "c": "4"}),
        ],
    )
    def test_its_attributes_are_what_the_override_says(
        self, world: World, override: str, after: dict[str, str]
    ) -> None:
        world.things.create(HOME, "t", attributes={"a": "1", "b": "2"})
        given = {"b": "3", "c": "4"}
        for _ in range(2):
            world.by_request({"t": thing(overrides={"AttributePayload": override}, AttributePayload=given)})
            found = world.things.describe(HOME, "t")
            assert found.attributes == after
            assert found.version == (1 if override == "DO_NOTHING" else 2)

    def test_fail_fails_where_its_attributes_differ(self, world: World) -> None:
        world.things.create(HOME, "t", attributes={"a": "1"})
        same = {"t": thing(overrides={"AttributePayload": "FAIL"}, AttributePayload={"a": "1"})}
        world.by_request(same)
        differs = {"t": thing(overrides={"AttributePayload": "FAIL"}, AttributePayload={"a": "2"})}
        with pytest.raises(ResourceConflict, match="thing t exists with other attributes"):
            world.by_request(differs)
        assert world.things.describe(HOME, "t").version == 1

    def test_an_empty_value_removes_an_attribute(self, world: World) -> None:
        world.things.create(HOME, "t", attributes={"a": "1", "b": "2"})
        merged = {"t": thing(overrides={"AttributePayload": "MERGE"}, AttributePayload={"a": ""})}
        for _ in range(2):
            world.by_request(merged)
            assert world.things.describe(HOME, "t").attributes == {"b": "2"}
            assert world.things.describe(HOME, "t").version == 2

    def test_omitted_properties_do_not_change(self, world: World) -> None:
        world.things.create(HOME, "t", attributes={"a": "1"})
        world.by_request({"t": thing(overrides={"AttributePayload": "REPLACE", "ThingGroups": "REPLACE"})})
        assert world.things.describe(HOME, "t").attributes == {"a": "1"}

    def test_its_type_is_what_the_override_says(self, world: World) -> None:
        for name in ("old", "new"):
            world.types.create(HOME, name)
        world.things.create(HOME, "t", type_name="old")
        for override, after, version in (("DO_NOTHING", "old", 1), ("REPLACE", "new", 2), ("FAIL", "new", 2)):
            world.by_request({"t": thing(overrides={"ThingTypeName": override}, ThingTypeName="new")})
            found = world.things.describe(HOME, "t")
            assert (found.type_name, found.version) == (after, version)
        with pytest.raises(ResourceConflict, match="thing t exists with the thing type new"):
            world.by_request({"t": thing(overrides={"ThingTypeName": "FAIL"}, ThingTypeName="old")})

    def test_a_type_and_its_fifty_attributes_are_set_together(self, world: World) -> None:
        world.types.create(HOME, "sensor")
        world.things.create(HOME, "t", attributes={"a": "1"})
        many = {f"a{n}": "1" for n in range(50)}
        overrides = {"ThingTypeName": "REPLACE", "AttributePayload": "REPLACE"}
        world.by_request({"t": thing(overrides=overrides, ThingTypeName="sensor", AttributePayload=many)})
        found = world.things.describe(HOME, "t")
        assert (found.type_name, found.attributes, found.version) == ("sensor", many, 2)

    @pytest.mark.parametrize(
        ("override", "after"),
        [("DO_NOTHING", ["north", "lab"]), ("REPLACE", ["lab", "south"]), ("MERGE", ["north", "lab", "east"])],
    )
    def test_its_groups_are_what_the_override_says(self, world: World, override: str, after: list[str]) -> None:
        world.add_groups("lab", "east", sites=("north", "south"))
        world.things.create(HOME, "t")
        for name in ("north", "lab"):
            world.groups.add_thing(HOME, name, "t")
        wanted = ["lab", "east"] if override == "MERGE" else ["lab", "south"]
        for _ in range(2):
            world.by_request({"t": thing(overrides={"ThingGroups": override}, ThingGroups=wanted)})
            assert world.groups_of("t") == after

    def test_fail_fails_where_its_groups_differ(self, world: World) -> None:
        world.add_groups("lab", "east")
        world.by_request({"t": thing(ThingGroups=["lab", "east"])})
        fails = {"ThingGroups": "FAIL"}
        world.by_request({"t": thing(overrides=fails, ThingGroups=["east", "lab"])})
        with pytest.raises(ResourceConflict, match="thing t exists, in the thing groups lab, east"):
            world.by_request({"t": thing(overrides=fails, ThingGroups=["lab"])})
        world.things.create(HOME, "u")
        with pytest.raises(ResourceConflict, match="thing u exists, in no thing group"):
            world.by_request({"t": thing("u", overrides=fails, ThingGroups=["lab"])})

    def test_two_groups_of_one_tree_are_refused(self, world: World) -> None:
        world.add_groups(sites=("north", "south"))
        with pytest.raises(ProvisioningError, match="in the same tree as south") as refusal:
            world.by_request({"t": thing(ThingGroups=["north", "south"])})
        assert refusal.value.resource == "t"
        assert world.nothing_but()


class TestANewThing:
    def test_it_has_type_groups_and_billing_group(self, world: World) -> None:
        world.types.create(HOME, "sensor")
        world.billing_groups.create(HOME, "bill")
        world.add_groups("lab", "east")
        properties = {"ThingTypeName": "sensor", "ThingGroups": ["lab", "east"], "BillingGroup": "bill"}
        world.by_request({"t": thing(overrides={"ThingGroups": "FAIL"}, **properties)})
        found = world.things.describe(HOME, "t")
        assert (found.type_name, found.billing_group_name, found.version) == ("sensor", "bill", 1)
        assert world.groups_of("t") == ["lab", "east"]

    def test_a_deprecated_type_gets_no_new_thing(self, world: World) -> None:
        world.types.create(HOME, "sensor")
        world.types.deprecate(HOME, "sensor")
        with pytest.raises(ProvisioningError, match="sensor"):
            world.by_request({"t": thing(ThingTypeName="sensor")})


class TestTheStatus:
    @pytest.mark.parametrize("override", ["DO_NOTHING", "REPLACE", "FAIL"])
    @pytest.mark.parametrize("word", ["active", "INACTIVE"])
    def test_a_waiting_certificate_gets_the_template_s(self, world: World, override: str, word: str) -> None:
        device = world.device()
        world.at_first_connect(device, {"c": certificate(override, CertificateId={"Ref": ID}, Status=word)})
        assert world.status(device).value == word.upper()

    @pytest.mark.parametrize(
        ("before", "override", "after"),
        [
            (INACTIVE, "DO_NOTHING", INACTIVE),
            (INACTIVE, "REPLACE", ACTIVE),
            (REVOKED, "DO_NOTHING", REVOKED),
            (ACTIVE, "FAIL", ACTIVE),
        ],
    )
    def test_any_other_stays_unless_it_is_overridden(
        self, world: World, before: CertificateStatus, override: str, after: CertificateStatus
    ) -> None:
        device = world.device(before)
        world.at_first_connect(device, {"c": certificate(override, CertificateId={"Ref": ID})})
        assert world.status(device) is after

    def test_fail_fails_where_it_differs(self, world: World) -> None:
        device = world.device(INACTIVE)
        with pytest.raises(ResourceConflict, match="the certificate is INACTIVE, not ACTIVE"):
            world.at_first_connect(device, {**DEVICE, "certificate": certificate("FAIL", CertificateId={"Ref": ID})})
        assert world.nothing_but(device.certificate_id)

    def test_a_revoked_certificate_stays_revoked(self, world: World) -> None:
        device = world.device(REVOKED)
        with pytest.raises(ProvisioningError, match="A REVOKED certificate cannot be set to"):
            world.at_first_connect(device, {"c": certificate("REPLACE", CertificateId={"Ref": ID})})


class TestPolicies:
    def test_an_existing_policy_with_this_document_is_used(self, world: World) -> None:
        world.policies.create(HOME, "p", "allow x")
        world.policies.create_version(HOME, "p", "allow y", set_as_default=True)
        for document in ("allow x", "allow y"):
            world.by_request({"p": policy(PolicyName="p", PolicyDocument=document)})
        assert world.policies.get(HOME, "p")[1].document == "allow y"

    def test_the_layout_of_a_document_does_not_count(self, world: World) -> None:
        world.use(RustPolicyEngine())
        world.policies.create(HOME, "p", DOCUMENT)
        world.by_request({"p": policy(PolicyName="p", PolicyDocument=json.dumps(json.loads(DOCUMENT), indent=2))})
        as_object = {
            "Type": "AWS::IoT::Policy",
            "Properties": {"PolicyName": "p", "PolicyDocument": json.loads(DOCUMENT)},
        }
        world.by_request({"p": as_object})
        assert world.policies.get(HOME, "p")[0].last_version_id == 1

    def test_an_existing_policy_with_another_document_is_a_conflict(self, world: World) -> None:
        world.policies.create(HOME, "p", "allow x")
        with pytest.raises(ResourceConflict, match="policy p exists, and none of its versions"):
            world.by_request({"p": policy(PolicyName="p", PolicyDocument="allow y")})

    def test_a_document_without_a_name_makes_one_policy_for_all(self, world: World) -> None:
        resources = {"p": policy(PolicyDocument="allow x")}
        assert world.by_request(resources).resource_arns == world.by_request(resources).resource_arns
        with world.store.read() as tx:
            [found] = PolicyRows(tx).page(HOME, ALL).items
        assert len(found.name) == 40


class TestCertificatesThatATemplateBrings:
    def registered(self, world: World, **properties: str) -> Certificate:
        done = world.by_request({**DEVICE_BY_REQUEST, "certificate": certificate(**properties)})
        assert done.certificate is not None
        with world.store.read() as tx:
            assert CertificateRows(tx).get(HOME, done.certificate.certificate_id) == done.certificate
        assert done.resource_arns["certificate"] == arn.certificate(HOME, done.certificate.certificate_id)
        return done.certificate

    def test_with_its_ca_it_belongs_to_the_ca(self, world: World) -> None:
        ca = new_ca()
        world.cas.register(HOME, ca.pem, mode=CertificateMode.SNI_ONLY, set_as_active=True)
        for given in ({"CACertificatePem": ca.pem}, {}):
            device = new_device(ca)
            found = self.registered(world, CertificatePem=device.pem, **given)
            assert (found.certificate_id, found.ca_certificate_id) == (device.certificate_id, ca.certificate_id)
            assert found.status is ACTIVE
            assert world.attached(device) == ({"t": ThingPrincipalType.NON_EXCLUSIVE_THING}, ["devices"])

    def test_without_a_registered_ca_it_is_registered_without_one(self, world: World) -> None:
        found = self.registered(world, CertificatePem=new_device(new_ca()).pem, Status="INACTIVE")
        assert (found.ca_certificate_id, found.status, found.mode) == (None, INACTIVE, CertificateMode.SNI_ONLY)

    def test_a_ca_that_is_not_registered_or_is_inactive_is_an_error(self, world: World) -> None:
        ca = new_ca()
        device = new_device(ca)
        with pytest.raises(ProvisioningError, match="No CA certificate exists") as refusal:
            self.registered(world, CertificatePem=device.pem, CACertificatePem=ca.pem)
        assert refusal.value.certificate_id == device.certificate_id
        world.cas.register(HOME, ca.pem, mode=CertificateMode.SNI_ONLY)
        for given in ({"CACertificatePem": ca.pem}, {}):
            with pytest.raises(ProvisioningError, match="INACTIVE"):
                self.registered(world, CertificatePem=device.pem, **given)
        assert world.nothing_but()

    def test_a_registered_certificate_is_used(self, world: World) -> None:
        device = world.device(INACTIVE)
        assert self.registered(world, CertificatePem=device.pem).status is INACTIVE
        world.certificates.update(HOME, device.certificate_id, ACTIVE)
        assert self.registered(world, CertificateId=device.certificate_id).status is ACTIVE

    def test_for_a_signing_request_a_certificate_is_issued(self, world: World) -> None:
        key = p256()
        request = new_request(key)
        first, second = (self.registered(world, CertificateSigningRequest=request) for _ in range(2))
        assert first.certificate_id != second.certificate_id
        issued = X509Certificate.from_pem(first.certificate_pem)
        assert issued.parsed.public_key() == key.public_key()
        assert (first.status, first.mode) == (ACTIVE, CertificateMode.DEFAULT)

    @pytest.mark.parametrize(
        ("properties", "reason"),
        [
            ({"CertificateId": "ab" * 32}, "There is no certificate abab"),
            ({"CertificatePem": "x"}, "certificatePem: "),
            ({"CertificateSigningRequest": "x"}, "certificateSigningRequest: "),
        ],
    )
    def test_an_invalid_certificate_is_refused(self, world: World, properties: dict[str, str], reason: str) -> None:
        with pytest.raises(ProvisioningError, match=reason) as refusal:
            self.registered(world, **properties)
        assert refusal.value.resource == "certificate"
        assert world.nothing_but()


DEVICE_BY_REQUEST: Final = {
    "thing": thing(),
    "policy": policy(PolicyName="devices", PolicyDocument="allow all"),
}


def test_the_device_s_configuration_is_returned(world: World) -> None:
    done = world.by_request({"t": thing()}, DeviceConfiguration={"url": "x", "port": 8883})
    assert done.device_configuration == {"url": "x", "port": 8883}
    assert done.certificate is None
