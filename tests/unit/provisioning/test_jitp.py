"""Just-in-time provisioning: the effect of a template for a connecting device, and of its failure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import pytest

from sekisho import arn
from sekisho.admission.model import Identity
from sekisho.admission.rules import Admission, AdmissionRequest
from sekisho.ca_certificates.model import AutoRegistrationStatus, CACertificateStatus, RegistrationConfig
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.rules import Certificates
from sekisho.certificates.store import CertificateRows
from sekisho.change import Change, ChangeKind
from sekisho.messaging.publishing import Message
from sekisho.pages import Window
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.rules import Policies
from sekisho.policies.store import PolicyRows
from sekisho.provisioning import jitp
from sekisho.provisioning.deliveries.rules import Enqueuing
from sekisho.provisioning.deliveries.store import DeliveryRows
from sekisho.provisioning.jitp import RETRY_INTERVAL, JustInTimeProvisioning
from sekisho.provisioning.jitr import JustInTimeRegistration
from sekisho.provisioning.outbox.rules import Outbox
from sekisho.provisioning.outbox.store import OutboxRows
from sekisho.provisioning.registration_handlers import RegistrationHandlers
from sekisho.provisioning.templates.model import TemplateType
from sekisho.provisioning.templates.rules import ProvisioningTemplates
from sekisho.provisioning.templates.store import ProvisioningTemplateRows
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason, Refused
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.thing_groups.rules import ThingGroups
from sekisho.thing_types.rules import ThingTypes
from sekisho.things.rules import Things
from sekisho.things.store import ThingRows
from tests.logs import captured_log, lines_of
from tests.stores import empty_store
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, LiteralEngine, SetClock
from tests.x509 import KeyAndCertificate, new_ca, new_device, p256

DEFAULT, SNI_ONLY = CertificateMode.DEFAULT, CertificateMode.SNI_ONLY
ACTIVE, INACTIVE, WAITING = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.PENDING_ACTIVATION
PENDING: Final = "DEVICE_CERTIFICATE_PENDING_ACTIVATION"
PROVISIONED: Final = "DEVICE_CERTIFICATE_PROVISIONED"
ROLE: Final = "arn:aws:iam::123456789012:role/provisioning"
ALL: Final = Window(limit=100)
COMMON_NAME: Final = "AWS::IoT::Certificate::CommonName"
ID: Final = "AWS::IoT::Certificate::Id"
BEFORE_IT_IS_DUE: Final = RETRY_INTERVAL.total_seconds() - 0.001


def body(*, thing: Mapping[str, Any] | None = None, policy: Mapping[str, Any] | None = None, **certificate: Any) -> str:
    """Return a template as people write it, in many lines."""
    resources = {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": COMMON_NAME}, **(thing or {})}},
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": ID}, **certificate},
        },
        "policy": {
            "Type": "AWS::IoT::Policy",
            "Properties": policy or {"PolicyName": "devices", "PolicyDocument": "allow all"},
        },
    }
    parameters = {name: {"Type": "String"} for name in (COMMON_NAME, ID)}
    return json.dumps({"Parameters": parameters, "Resources": resources}, indent=1)


LACKS_POLICY: Final = body(policy={"PolicyName": "by-hand"})


@dataclass
class Listener:
    """Records published messages."""

    heard: list[Message] = field(default_factory=list)

    def publish(self, _realm: Realm, message: Message) -> None:
        self.heard.append(message)


class OneHandler:
    """One handler for every registration; it is never called here."""

    def invoke(self, realm: Realm, function: str, event: Mapping[str, Any], **_: Any) -> Any:
        raise AssertionError(realm, function, event)

    def for_certificate_registered(self, _realm: Realm, _ca_certificate_id: str) -> Sequence[str]:
        return ["curious"]


@dataclass
class World:
    """A registry with admission, and everything that a template may refer to."""

    store: Store
    clock: SetClock
    listener: Listener
    authority: IssuingAuthority

    def __post_init__(self) -> None:
        engine = LiteralEngine()
        self.policies = Policies(self.store, self.clock, engine)
        self.things = Things(self.store, self.clock)
        self.groups = ThingGroups(self.store, self.clock)
        self.types = ThingTypes(self.store, self.clock)
        self.cas = CACertificates(self.store, self.clock)
        self.certificates = Certificates(self.store, self.clock, self.authority)
        self.templates = ProvisioningTemplates(self.store, self.clock, self.authority)
        self.admission = JustInTimeRegistration(
            Admission(self.store),
            self.store,
            self.clock,
            Outbox(self.store, self.listener),
            JustInTimeProvisioning(self.store, self.clock, engine, self.authority),
            RegistrationHandlers(self.store, OneHandler(), Enqueuing(), lambda: None),
        )

    def trust(
        self,
        template: str | None = None,
        name: str = "MyCA",
        *,
        template_name: str | None = None,
        mode: CertificateMode = SNI_ONLY,
        realm: Realm = HOME,
        ca: KeyAndCertificate | None = None,
    ) -> KeyAndCertificate:
        """Register a CA that registers automatically, with a template if one is given."""
        ca = ca or new_ca(name)
        verification = new_device(ca, self.cas.get_registration_code(realm)).pem if mode is DEFAULT else None
        config = RegistrationConfig(
            template_body=template, role_arn=ROLE if template else None, template_name=template_name
        )
        self.cas.register(
            realm,
            ca.pem,
            verification_certificate_pem=verification,
            mode=mode,
            set_as_active=True,
            allow_auto_registration=True,
            registration_config=config if template or template_name else None,
        )
        return ca

    def named(self, template: str, name: str = "fleet", *, enabled: bool = True) -> str:
        """Create a template of type JITP."""
        self.templates.create(HOME, name, template, ROLE, template_type=TemplateType.JITP, enabled=enabled)
        return name

    def connect(
        self, *devices: KeyAndCertificate, realm: Realm | None = HOME, chain: tuple[KeyAndCertificate, ...] = ()
    ) -> list[object]:
        """Return the result for each: the name of a reason with its detail; the status of an identity."""
        asked = [
            AdmissionRequest(realm, each.certificate_id, each.der, [ca.der for ca in chain], "c") for each in devices
        ]
        answers = self.admission.answer(asked)
        return [each.certificate.status if isinstance(each, Identity) else str(each) for each in answers]

    def kept(self, device: KeyAndCertificate, realm: Realm = HOME) -> Certificate | None:
        with self.store.read() as tx:
            return CertificateRows(tx).get(realm, device.certificate_id)

    def status(self, device: KeyAndCertificate) -> CertificateStatus:
        return self.certificates.describe(HOME, device.certificate_id).status

    def attached(self, device: KeyAndCertificate, realm: Realm = HOME) -> tuple[list[str], list[str]]:
        """Return its things and its policies."""
        principal = arn.certificate(realm, device.certificate_id)
        things = self.things.things_of(realm, principal, ALL).items
        policies = self.policies.attached_to(realm, principal, ALL).items
        return [each.thing_name for each in things], [each.name for each in policies]

    def names(self) -> tuple[list[str], list[str]]:
        """Return all things and all policies of the realm."""
        with self.store.read() as tx:
            things = [each.name for each in ThingRows(tx).page(HOME, ALL).items]
            return things, [each.name for each in PolicyRows(tx).page(HOME, ALL).items]

    def told_of(self) -> list[str]:
        """Return certificates with an event that was published or will be, or with a delivery to a handler."""
        with self.store.read() as tx:
            kept = [event.payload for _, event in OutboxRows(tx).first(10)]
            kept += [delivery.payload for _, delivery in DeliveryRows(tx).upcoming("curious", HOME.account_id, 10)]
        return [json.loads(each)["certificateId"] for each in [*kept, *(each.payload for each in self.listener.heard)]]


@pytest.fixture
def announced() -> list[Change]:
    return []


@pytest.fixture
def world(announced: list[Change], authority: IssuingAuthority) -> Iterator[World]:
    with empty_store(announced.extend) as store:
        yield World(store, SetClock(), Listener(), authority)


def full(_: Store) -> None:
    """Replaces ``Store.write``."""
    raise StoreError("the disk is full")


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[Store]:
    """Return one entry for each write transaction."""
    begun: list[Store] = []
    write = Store.write

    @contextmanager
    def counting(store: Store) -> Iterator[Transaction]:
        begun.append(store)
        with write(store) as tx:
            yield tx

    monkeypatch.setattr(Store, "write", counting)
    return begun


def line_of(template: str, begins: str) -> int:
    """Return the first line of a template that begins so."""
    return next(
        number for number, line in enumerate(template.splitlines(), 1) if line.strip().startswith(f'"{begins}"')
    )


def lacks_policy(device: KeyAndCertificate) -> str:
    """Return the detail where ``LACKS_POLICY`` fails."""
    return (
        f"PROVISIONING_FAILED: resource 'policy', line {line_of(LACKS_POLICY, 'policy')} of the template: there is no "
        "policy by-hand. Create it, or give its PolicyDocument in the template. "
        f"(certificateId={device.certificate_id})"
    )


class TestAFirstConnection:
    def test_it_is_refused_and_all_resources_of_the_template_exist_afterwards(
        self, world: World, announced: list[Change]
    ) -> None:
        world.types.create(HOME, "kettle")
        world.groups.create(HOME, "kitchen")
        ca = world.trust(
            body(thing={"ThingTypeName": "kettle", "ThingGroups": ["kitchen"], "AttributePayload": {"site": "north"}})
        )
        device = new_device(ca, "kettle-7")
        announced.clear()

        with captured_log() as logs:
            assert world.connect(device) == [PROVISIONED]

        kept = world.kept(device)
        assert kept is not None
        assert (kept.status, kept.mode, kept.ca_certificate_id) == (ACTIVE, SNI_ONLY, ca.certificate_id)
        assert world.attached(device) == (["kettle-7"], ["devices"])
        assert world.policies.get(HOME, "devices")[1].document == "allow all"
        thing = world.things.describe(HOME, "kettle-7")
        assert (thing.type_name, thing.attributes) == ("kettle", {"site": "north"})
        assert list(world.groups.groups_of(HOME, "kettle-7", ALL).items) == ["kitchen"]
        assert Change(HOME, ChangeKind.CERTIFICATE, device.certificate_id) in announced
        assert [(each["code"], each["thing_name"], each["certificate_id"]) for each in logs] == [
            ("device_provisioned", "kettle-7", device.certificate_id)
        ]
        assert world.connect(device) == [ACTIVE]

    def test_no_event_is_published_and_no_handler_called(self, world: World) -> None:
        provisions, fails, plain = world.trust(body()), world.trust(LACKS_POLICY, "Other"), world.trust(name="Plain")
        devices = [new_device(ca, name) for ca, name in ((provisions, "a"), (fails, "b"), (plain, "c"))]
        for _ in range(3):
            world.connect(*devices)
            world.clock.move(60)
        # Again for each attempt, and for a handler.
        assert world.told_of() == [devices[2].certificate_id] * 4

    def test_a_batch_is_one_transaction_for_all_its_cas(self, world: World, writes: list[Store]) -> None:
        first, second = new_device(world.trust(body()), "a"), new_device(world.trust(body(), "Other"), "b")
        writes.clear()
        assert world.connect(first, second, first) == [PROVISIONED] * 3
        assert len(writes) == 1
        assert world.names() == (["a", "b"], ["devices"])

    def test_without_sni_the_ca_in_the_chain_and_in_default_mode_determines_the_account(self, world: World) -> None:
        ca = world.trust(body(), mode=DEFAULT)
        device = new_device(ca, "a")
        assert world.connect(device, realm=None) == ["CA_NOT_IN_CHAIN_AND_NO_SNI"]
        assert world.connect(device, realm=None, chain=(ca,)) == [PROVISIONED]
        # A registered certificate needs no chain.
        assert world.connect(device, realm=None) == [ACTIVE]
        assert world.attached(device) == (["a"], ["devices"])

    def test_each_account_provisions_by_its_own_template(self, world: World) -> None:
        ca = world.trust(body())
        world.trust(body(policy={"PolicyName": "theirs", "PolicyDocument": "allow x"}), realm=OTHER_ACCOUNT, ca=ca)
        device = new_device(ca, "a")
        for realm, policy in ((HOME, "devices"), (OTHER_ACCOUNT, "theirs")):
            assert world.connect(device, realm=realm) == [PROVISIONED]
            assert world.attached(device, realm) == (["a"], [policy])

    def test_a_live_connection_examined_again_provisions_nothing(self, world: World) -> None:
        device = new_device(world.trust(LACKS_POLICY), "a")
        request = AdmissionRequest(HOME, device.certificate_id, device.der, [], "c", at_connect=False)
        assert world.admission.answer([request]) == [Refused(RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED)]
        assert world.kept(device) is None
        world.connect(device)
        world.policies.create(HOME, "by-hand", "allow all")
        world.clock.move(60)
        [answer] = world.admission.answer([request])
        assert isinstance(answer, Identity)
        assert world.status(device) is WAITING

    def test_a_device_that_the_template_leaves_inactive_is_not_announced_as_accepted(self, world: World) -> None:
        device = new_device(world.trust(body(Status="INACTIVE")), "a")
        assert world.connect(device) == ["DEVICE_CERTIFICATE_INACTIVE"]
        assert world.connect(device) == [INACTIVE]
        assert world.attached(device) == (["a"], ["devices"])

    def test_of_two_cas_of_one_key_the_one_without_a_template_registers(self, world: World) -> None:
        key = p256()
        provisions = world.trust(body(), ca=new_ca(key=key))
        plain = world.trust(ca=new_ca(key=key))
        first, second = new_device(plain, "a"), new_device(plain, "b")
        assert world.connect(first) == [PENDING]
        kept = world.kept(first)
        assert kept is not None
        assert kept.ca_certificate_id == plain.certificate_id
        world.cas.update(HOME, plain.certificate_id, status=CACertificateStatus.INACTIVE)
        assert world.connect(second) == [PROVISIONED]
        kept = world.kept(second)
        assert kept is not None
        assert kept.ca_certificate_id == provisions.certificate_id
        # The CA was determined at its registration.
        world.clock.move(60)
        assert world.connect(first) == [WAITING]
        assert world.told_of().count(second.certificate_id) == 0

    def test_of_two_cas_of_one_key_with_templates_each_provisions_what_it_registered(self, world: World) -> None:
        key = p256()
        first = world.trust(LACKS_POLICY, ca=new_ca(key=key))
        device = new_device(first, "a")
        assert world.connect(device) == [lacks_policy(device)]
        second = world.trust(body(), ca=new_ca(key=key))
        world.clock.move(60)
        assert world.connect(device) == [lacks_policy(device)]
        world.cas.update(HOME, first.certificate_id, status=CACertificateStatus.INACTIVE)
        assert world.connect(new_device(second, "b")) == [PROVISIONED]


class TestATemplateByName:
    def test_it_provisions(self, world: World) -> None:
        device = new_device(world.trust(template_name=world.named(body())), "a")
        assert world.connect(device) == [PROVISIONED]
        assert world.attached(device) == (["a"], ["devices"])

    def test_a_disabled_template_leaves_the_certificate_waiting_until_it_is_enabled(self, world: World) -> None:
        ca = world.trust(template_name=world.named(body(), enabled=False))
        device = new_device(ca, "a")
        why = (
            "PROVISIONING_FAILED: provisioning template fleet is not enabled. Enable it with UpdateProvisioningTemplate"
        )
        assert world.connect(device) == [why]
        assert (world.status(device), world.names()) == (WAITING, ([], []))
        world.templates.update(HOME, "fleet", enabled=True)
        assert world.connect(device) == [why]
        world.clock.move(5)
        assert world.connect(device) == [PROVISIONED]

    def test_the_default_version_is_used(self, world: World) -> None:
        ca = world.trust(template_name=world.named(body()))
        world.templates.create_version(HOME, "fleet", body(policy={"PolicyName": "p2", "PolicyDocument": "allow x"}))
        world.connect(first := new_device(ca, "a"))
        world.templates.update(HOME, "fleet", default_version_id=2)
        world.connect(second := new_device(ca, "b"))
        assert [world.attached(each)[1] for each in (first, second)] == [["devices"], ["p2"]]

    def test_a_corrected_version_provisions_waiting_certificates(self, world: World) -> None:
        device = new_device(world.trust(template_name=world.named(LACKS_POLICY)), "a")
        assert world.connect(device) == [lacks_policy(device)]
        world.templates.create_version(HOME, "fleet", body(), set_as_default=True)
        world.clock.move(5)
        assert world.connect(device) == [PROVISIONED]

    def test_a_missing_template_is_named(self, world: World) -> None:
        # DeleteProvisioningTemplate refuses that while a CA names it; a database that was edited may have it.
        ca = world.trust(template_name=world.named(body()))
        with world.store.write() as tx:
            ProvisioningTemplateRows(tx).remove(HOME, "fleet")
        device = new_device(ca, "a")
        assert world.connect(device) == ["PROVISIONING_FAILED: provisioning template fleet does not exist any more"]
        world.named(body())
        world.clock.move(5)
        assert world.connect(device) == [PROVISIONED]


class TestATemplateThatFails:
    def test_the_certificate_waits_no_resource_is_created_and_the_others_are_provisioned(
        self, world: World, announced: list[Change]
    ) -> None:
        # The thing is created first, and the certificate's own limits are checked last.
        fails, works = world.trust(LACKS_POLICY), world.trust(body(), "Other")
        first, device, last = new_device(works, "a"), new_device(fails, "b"), new_device(works, "c")
        announced.clear()
        with captured_log() as logs:
            assert world.connect(first, device, last) == [PROVISIONED, lacks_policy(device), PROVISIONED]
        assert [world.status(each) for each in (first, device, last)] == [ACTIVE, WAITING, ACTIVE]
        assert world.names() == (["a", "c"], ["devices"])
        assert world.attached(device) == ([], [])
        # For an announcement without a change, the gateway would ask again without need.
        assert device.certificate_id not in {change.id for change in announced}
        [said] = [line for line in logs if line["log_level"] == "error"]
        assert (said["certificate_id"], said["ca_certificate_id"]) == (device.certificate_id, fails.certificate_id)
        assert f"line {line_of(LACKS_POLICY, 'policy')} of the template" in said["reason"]

    @pytest.mark.parametrize(
        ("template", "place", "reason"),
        [
            (body(thing={"ThingTypeName": "absent"}), "thing", "resource 'thing', line {} of the template: Thing type"),
            (
                body(thing={"ThingGroups": ["absent"]}),
                "thing",
                "resource 'thing', line {} of the template: Thing group",
            ),
            (body(thing={"BillingGroup": "absent"}), "thing", "resource 'thing', line {} of the template: Billing"),
            (body(policy={"PolicyDocument": "permit"}), "policy", "resource 'policy', line {} of the template: line 1"),
            (body(CertificateId="0" * 64), "certificate", "resource 'certificate', line {} of the template: the templ"),
        ],
        ids=["type", "group", "billing group", "document", "certificate"],
    )
    def test_the_line_of_the_template_is_in_the_detail(
        self, world: World, template: str, place: str, reason: str
    ) -> None:
        device = new_device(world.trust(template), "a")
        [answer] = world.connect(device)
        assert isinstance(answer, str)
        assert answer.startswith("PROVISIONING_FAILED: " + reason.format(line_of(template, place)))
        assert (world.status(device), world.names()) == (WAITING, ([], []))

    def test_an_invalid_value_of_the_certificate_is_in_the_detail(self, world: World) -> None:
        first, second = (new_device(world.trust(body()), name) for name in ("my kettle", "kettle"))
        line = line_of(body(), "Ref")
        assert world.connect(first, second) == [
            f"PROVISIONING_FAILED: line {line}, column 13: ThingName cannot be 'my kettle': it is 1 to 128 of a-z A-Z "
            "0-9 : _ -.",
            PROVISIONED,
        ]
        assert (world.status(first), world.names()[0]) == (WAITING, ["kettle"])

    @pytest.mark.parametrize("is_text", [True, False])
    def test_a_wildcard_of_the_certificate_widens_no_policy(self, world: World, is_text: bool) -> None:
        built = {"Fn::Sub": f"arn:aws:iot:eu-central-1:123456789012:topic/${{{COMMON_NAME}}}"}
        text = json.dumps({"Resource": built["Fn::Sub"]})
        document: Any = {"Fn::Sub": text} if is_text else {"Resource": built}
        template = json.loads(body(policy={"PolicyName": "built", "PolicyDocument": document}))
        template["Resources"]["thing"]["Properties"]["ThingName"] = "kettle"
        device = new_device(world.trust(json.dumps(template)), "*")
        [answer] = world.connect(device)
        assert isinstance(answer, str)
        assert answer.startswith("PROVISIONING_FAILED: ")
        assert f"the value of the parameter '{COMMON_NAME}' has '*'" in answer
        assert (world.status(device), world.names()) == (WAITING, ([], []))

    def test_a_parameter_that_the_certificate_lacks_is_in_the_detail(self, world: World) -> None:
        country = "AWS::IoT::Certificate::Country"
        template = json.loads(body())
        template["Parameters"][country] = {"Type": "String"}
        template["Resources"]["thing"]["Properties"]["AttributePayload"] = {"country": {"Ref": country}}
        [answer] = world.connect(device := new_device(world.trust(json.dumps(template)), "a"))
        assert isinstance(answer, str)
        assert answer.startswith("PROVISIONING_FAILED: ")
        assert f"Cannot resolve reference value: {{Ref={country}}}" in answer
        assert world.status(device) is WAITING

    def test_a_template_without_certificate_creates_nothing_because_it_cannot_activate_one(
        self, world: World, writes: list[Store]
    ) -> None:
        template = json.loads(body())
        del template["Resources"]["certificate"]
        device = new_device(world.trust(json.dumps(template)), "a")
        [answer] = world.connect(device)
        assert isinstance(answer, str)
        assert answer.startswith("PROVISIONING_FAILED: the template has no AWS::IoT::Certificate")
        assert (world.status(device), world.names()) == (WAITING, ([], []))
        writes.clear()
        assert world.connect(device) == [answer]
        assert writes == []

    @pytest.mark.parametrize(
        ("template", "mend"),
        [
            (LACKS_POLICY, lambda world: world.policies.create(HOME, "by-hand", "allow all")),
            (body(thing={"ThingGroups": ["absent"]}), lambda world: world.groups.create(HOME, "absent")),
            (body(thing={"ThingTypeName": "absent"}), lambda world: world.types.create(HOME, "absent")),
        ],
        ids=["policy", "group", "type"],
    )
    def test_it_is_tried_again_after_a_while_and_not_earlier(
        self, world: World, writes: list[Store], template: str, mend: Callable[[World], None]
    ) -> None:
        device = new_device(world.trust(template), "a")
        [why] = world.connect(device)
        mend(world)
        world.clock.move(BEFORE_IT_IS_DUE)
        writes.clear()
        for _ in range(3):
            assert world.connect(device) == [why]
        assert writes == []
        world.clock.move(0.001)
        assert world.connect(device) == [PROVISIONED]
        assert len(writes) == 1
        assert world.status(device) is ACTIVE
        assert world.attached(device)[0] == ["a"]

    def test_each_attempt_restarts_the_delay(self, world: World, writes: list[Store]) -> None:
        device = new_device(world.trust(LACKS_POLICY), "a")
        world.connect(device)
        world.clock.move(5)
        world.connect(device)
        writes.clear()
        world.clock.move(BEFORE_IT_IS_DUE)
        world.connect(device)
        assert writes == []
        world.clock.move(0.001)
        world.connect(device)
        assert len(writes) == 1

    def test_a_clock_that_is_set_back_delays_no_device(self, world: World) -> None:
        device = new_device(world.trust(LACKS_POLICY), "a")
        world.connect(device)
        world.policies.create(HOME, "by-hand", "allow all")
        world.clock.move(-3600)
        assert world.connect(device) == [PROVISIONED]

    def test_the_delay_of_one_certificate_does_not_apply_to_another_of_its_ca(self, world: World) -> None:
        ca = world.trust(LACKS_POLICY)
        first, second = new_device(ca, "a"), new_device(ca, "b")
        world.connect(first)
        world.clock.move(4)
        world.connect(second)
        world.policies.create(HOME, "by-hand", "allow all")
        world.clock.move(1)
        assert world.connect(first, second) == [PROVISIONED, lacks_policy(second)]

    def test_the_number_of_remembered_failures_is_bounded(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jitp, "MAX_FAILURES", 2)
        ca = world.trust(LACKS_POLICY)
        devices = [new_device(ca, name) for name in "abc"]
        world.connect(*devices)
        world.policies.create(HOME, "by-hand", "allow all")
        assert world.connect(*devices) == [PROVISIONED, lacks_policy(devices[1]), lacks_policy(devices[2])]

    def test_after_a_restart_it_is_tried_at_once(self, world: World) -> None:
        device = new_device(world.trust(LACKS_POLICY), "a")
        world.connect(device)
        world.policies.create(HOME, "by-hand", "allow all")
        again = World(world.store, world.clock, world.listener, world.authority)
        assert again.connect(device) == [PROVISIONED]


class TestMeanwhile:
    """A device waits, and its CA changes."""

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"status": CACertificateStatus.INACTIVE}, "is INACTIVE"),
            ({"auto_registration_status": AutoRegistrationStatus.DISABLE}, "does not register automatically"),
        ],
        ids=["switched off", "registers no more"],
    )
    def test_a_ca_that_may_not_provision_leaves_it_waiting_without_event_and_write(
        self, world: World, writes: list[Store], change: dict[str, Any], why: str
    ) -> None:
        ca = world.trust(LACKS_POLICY)
        device = new_device(ca, "a")
        world.connect(device)
        world.policies.create(HOME, "by-hand", "allow all")
        world.cas.update(HOME, ca.certificate_id, **change)
        world.clock.move(60)
        writes.clear()
        [answer] = world.connect(device)
        assert isinstance(answer, str)
        assert answer.startswith(f"{PENDING}: ")
        assert ca.certificate_id in answer
        assert why in answer
        assert (writes, world.told_of(), world.status(device)) == ([], [], WAITING)
        world.cas.update(
            HOME,
            ca.certificate_id,
            status=CACertificateStatus.ACTIVE,
            auto_registration_status=AutoRegistrationStatus.ENABLE,
        )
        assert world.connect(device) == [PROVISIONED]

    def test_without_its_template_the_ca_announces_it_like_one_without_a_template(self, world: World) -> None:
        ca = world.trust(LACKS_POLICY)
        device = new_device(ca, "a")
        world.connect(device)
        world.cas.update(HOME, ca.certificate_id, remove_auto_registration=True)
        assert world.connect(device) == [WAITING]
        # By an event and by the handler.
        assert world.told_of() == [device.certificate_id] * 2

    def test_a_template_added_later_provisions_earlier_registrations(self, world: World) -> None:
        ca = world.trust()
        device = new_device(ca, "a")
        assert world.connect(device) == [PENDING]
        told = world.told_of()
        world.cas.update(
            HOME, ca.certificate_id, registration_config=RegistrationConfig(template_body=body(), role_arn=ROLE)
        )
        assert world.connect(device) == [PROVISIONED]
        assert world.told_of() == told

    def test_after_the_deletion_of_its_ca_it_waits(self, world: World) -> None:
        ca = world.trust(LACKS_POLICY)
        device = new_device(ca, "a")
        world.connect(device)
        world.cas.update(HOME, ca.certificate_id, status=CACertificateStatus.INACTIVE)
        world.cas.delete(HOME, ca.certificate_id)
        assert world.connect(device) == [WAITING]

    def test_an_expired_certificate_is_not_provisioned(self, world: World) -> None:
        device = new_device(world.trust(LACKS_POLICY), "a", ends=world.clock.now + timedelta(hours=1))
        world.connect(device)
        world.policies.create(HOME, "by-hand", "allow all")
        world.clock.move(7200)
        assert world.connect(device) == ["DEVICE_CERTIFICATE_EXPIRED"]
        assert (world.status(device), world.told_of()) == (WAITING, [])

    def test_after_a_manual_activation_it_is_not_changed(self, world: World) -> None:
        device = new_device(world.trust(LACKS_POLICY), "a")
        world.connect(device)
        world.certificates.update(HOME, device.certificate_id, ACTIVE)
        assert world.connect(device) == [ACTIVE]
        assert world.names() == ([], [])

    def test_after_its_deletion_it_is_registered_and_provisioned_again_at_once(self, world: World) -> None:
        device = new_device(world.trust(LACKS_POLICY), "a")
        world.connect(device)
        world.certificates.delete(HOME, device.certificate_id)
        world.policies.create(HOME, "by-hand", "allow all")
        assert world.connect(device) == [PROVISIONED]

    @pytest.mark.parametrize("what", ["activated", "deleted", "CA without template"])
    def test_a_change_between_look_and_write_is_examined_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        ca = world.trust(LACKS_POLICY)
        device = new_device(ca, "a")
        world.connect(device)
        world.clock.move(60)
        write = Store.write
        to_do: list[Callable[[], object]] = [
            {
                "activated": lambda: world.certificates.update(HOME, device.certificate_id, ACTIVE),
                "deleted": lambda: world.certificates.delete(HOME, device.certificate_id),
                "CA without template": lambda: world.cas.update(HOME, ca.certificate_id, remove_auto_registration=True),
            }[what]
        ]

        @contextmanager
        def late(store: Store) -> Iterator[Transaction]:
            if to_do:
                to_do.pop()()
            with write(store) as tx:
                yield tx

        monkeypatch.setattr(Store, "write", late)
        [answer] = world.connect(device)
        # The gateway is told that it is not registered, looks whether that has changed, and asks again. A CA announces
        # nothing, so this is the device's next attempt.
        assert answer == (PENDING if what == "CA without template" else "DEVICE_CERTIFICATE_NOT_REGISTERED")
        assert world.names() == ([], [])


class TestAStoreThatFails:
    def test_it_affects_only_certificates_that_are_due(self, world: World) -> None:
        fails, plain = world.trust(LACKS_POLICY), world.trust(name="Plain")
        due, waits, told = new_device(fails, "a"), new_device(fails, "b"), new_device(plain, "c")
        known = new_device(world.trust(body(), "Other"), "d")
        world.connect(due, told, known)
        world.clock.move(4)
        world.connect(waits)
        world.clock.move(1)
        heard = len(world.listener.heard)
        with pytest.MonkeyPatch.context() as patched, captured_log() as logs:
            patched.setattr(Store, "write", full)
            answers = world.connect(due, waits, told, known, new_device(fails, "e"))
        assert answers == ["CONTROL_PLANE_FAILED", lacks_policy(waits), WAITING, ACTIVE, "CONTROL_PLANE_FAILED"]
        assert len(world.listener.heard) == heard + 1
        assert {(line["reason"], line["certificates"]) for line in lines_of(logs, "provisioning_unavailable")} == {
            ("the disk is full", 1)
        }

    def test_certificates_are_tried_again_as_soon_as_it_works(self, world: World) -> None:
        device = new_device(world.trust(LACKS_POLICY), "a")
        world.connect(device)
        world.policies.create(HOME, "by-hand", "allow all")
        world.clock.move(5)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Store, "write", full)
            assert world.connect(device) == ["CONTROL_PLANE_FAILED"]
        assert world.connect(device) == [PROVISIONED]

    def test_a_failed_commit_keeps_and_announces_nothing(self, world: World) -> None:
        device = new_device(world.trust(body()), "a")
        write = Store.write

        @contextmanager
        def failing(store: Store) -> Iterator[Transaction]:
            with write(store) as tx:
                yield tx
                raise StoreError("the disk is full")

        with pytest.MonkeyPatch.context() as patched, captured_log() as logs:
            patched.setattr(Store, "write", failing)
            assert world.connect(device) == ["CONTROL_PLANE_FAILED"]
        assert world.kept(device) is None
        assert [line["code"] for line in logs] == ["registration_unavailable"]
        assert world.connect(device) == [PROVISIONED]
