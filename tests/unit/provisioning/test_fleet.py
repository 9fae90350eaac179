"""Fleet provisioning: the answers to a device with a claim certificate, and the resulting registry."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import cbor2
import pytest
from cryptography import x509 as cryptography_x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from sekisho import arn
from sekisho.ca_certificates.rules import CACertificates
from sekisho.certificate_providers.model import CertificateProviderOperation
from sekisho.certificate_providers.rules import CertificateProviders
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.certificates.rules import Certificates
from sekisho.certificates.store import CertificateRows
from sekisho.change import Change, ChangeKind
from sekisho.gateway.engine import RustPolicyEngine
from sekisho.messaging.requests import Request
from sekisho.pages import Window
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.rules import Policies
from sekisho.policies.store import PolicyRows
from sekisho.principals.store import AttachmentRows
from sekisho.provisioning.csr_signer import HandlerCsrSigner
from sekisho.provisioning.fleet import FleetProvisioning
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.provisioning.templates.model import ProvisioningHook, TemplateType
from sekisho.provisioning.templates.rules import ProvisioningTemplates
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.things.rules import Things
from sekisho.things.store import ThingRows
from tests.logs import captured_log
from tests.stores import content, empty_store
from tests.unit.features.arrange import DOCUMENT, HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE, SetClock
from tests.x509 import new_ca, new_device, new_request, p256

pytestmark = pytest.mark.usefixtures("few_rsa_keys")

ACTIVE, PENDING = CertificateStatus.ACTIVE, CertificateStatus.PENDING_ACTIVATION
ROLE: Final = "arn:aws:iam::123456789012:role/provisioning"
FUNCTION: Final = "arn:aws:lambda:eu-central-1:123456789012:function:hook"
CLAIM: Final = "c1" * 32
HOUR: Final = 3600.0

CREATE: Final = "$aws/certificates/create"
FROM_CSR: Final = "$aws/certificates/create-from-csr"
PROVISION: Final = "$aws/provisioning-templates/lamps/provision"

BODY: Final[Mapping[str, Any]] = {
    "Parameters": {
        "SerialNumber": {"Type": "String"},
        "Location": {"Type": "String", "Default": "attic"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    },
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["", ["lamp-", {"Ref": "SerialNumber"}]]},
                "AttributePayload": {"location": {"Ref": "Location"}},
            },
            "OverrideSettings": {"AttributePayload": "FAIL"},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
        },
        "policy": {
            "Type": "AWS::IoT::Policy",
            "Properties": {"PolicyName": "lamps", "PolicyDocument": json.loads(DOCUMENT)},
        },
    },
    "DeviceConfiguration": {"url": "https://lamps.example", "interval": 5},
}


@dataclass
class Handlers:
    """Returns what it is told to, and records its calls."""

    answer: Any = None
    meanwhile: Callable[[], object] = lambda: None
    calls: list[tuple[Realm, str, Mapping[str, Any], float | None]] = field(default_factory=list)

    def invoke(
        self,
        realm: Realm,
        function: str,
        event: Mapping[str, Any],
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Any:
        assert request_id is None
        self.calls.append((realm, function, event, timeout))
        self.meanwhile()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> Sequence[str]:
        raise NotImplementedError(realm, ca_certificate_id)


@dataclass(frozen=True)
class Answer:
    """A decoded reply."""

    accepted: bool
    content: Mapping[str, Any]

    @property
    def refusal(self) -> tuple[int, str, str]:
        assert not self.accepted, self.content
        assert set(self.content) == {"statusCode", "errorCode", "errorMessage"}
        return self.content["statusCode"], self.content["errorCode"], self.content["errorMessage"]

    @property
    def given(self) -> Mapping[str, Any]:
        assert self.accepted, self.content
        return self.content


@dataclass
class World:
    """A registry with an enabled template ``lamps``, and a device with a claim certificate."""

    store: Store
    clock: SetClock
    authority: IssuingAuthority
    handlers: Handlers = field(default_factory=Handlers)

    def __post_init__(self) -> None:
        engine = RustPolicyEngine()
        self.certificates = Certificates(self.store, self.clock, self.authority, HandlerCsrSigner(self.handlers))
        self.templates = ProvisioningTemplates(self.store, self.clock, self.authority)
        self.things = Things(self.store, self.clock)
        self.policies = Policies(self.store, self.clock, engine)
        self.fleet = FleetProvisioning(self.store, self.clock, self.certificates, engine, self.authority, self.handlers)
        self.template("lamps")

    def template(self, name: str, body: object = BODY, realm: Realm = HOME, **options: Any) -> None:
        self.templates.create(realm, name, json.dumps(body, indent=1), ROLE, **{"enabled": True, **options})

    def with_hook(self, answer: Any) -> None:
        self.handlers.answer = answer
        self.templates.update(HOME, "lamps", hook=ProvisioningHook(FUNCTION, "2020-04-01"))

    def send(self, topic: str, payload: bytes, *, realm: Realm = HOME, claim: str = CLAIM) -> Answer:
        reply = self.fleet.answer(Request(realm, 7, "the lamp", claim, topic, payload))
        assert reply is not None
        asked, _, outcome = reply.topic.rpartition("/")
        assert asked == topic
        assert outcome in ("accepted", "rejected")
        read = json.loads if topic.endswith("/json") else cbor2.loads
        return Answer(outcome == "accepted", read(reply.payload))

    def ask(self, topic: str, content: object, form: str = "json", **whose: Any) -> Answer:
        payload = json.dumps(content).encode() if form == "json" else cbor2.dumps(content)
        return self.send(f"{topic}/{form}", payload, **whose)

    def claimed(self, **whose: Any) -> tuple[str, str]:
        """Issue a certificate that waits for its device; returns its id, and its token."""
        given = self.ask(FROM_CSR, {"certificateSigningRequest": new_request(p256())}, **whose).given
        return given["certificateId"], given["certificateOwnershipToken"]

    def provision(self, token: object, serial: object = "1", topic: str = PROVISION, **whose: Any) -> Answer:
        parameters = {} if serial is None else {"SerialNumber": serial}
        return self.ask(topic, {"certificateOwnershipToken": token, "parameters": parameters}, **whose)

    def kept(self, certificate_id: str, realm: Realm = HOME) -> Certificate | None:
        with self.store.read() as tx:
            return CertificateRows(tx).get(realm, certificate_id)

    def status(self, certificate_id: str) -> CertificateStatus:
        return self.certificates.describe(HOME, certificate_id).status

    def all_things(self) -> list[str]:
        with self.store.read() as tx:
            return [thing.name for thing in ThingRows(tx).page(HOME, Window(limit=100)).items]

    def all_policies(self) -> list[str]:
        with self.store.read() as tx:
            return [policy.name for policy in PolicyRows(tx).page(HOME, Window(limit=100)).items]

    def nothing_happened(self, certificate_id: str, token: str) -> None:
        """Check that a rejected provisioning left no trace, and the device may try again."""
        self.handlers.answer = {"allowProvisioning": True}
        assert self.status(certificate_id) is PENDING
        assert self.all_things() == []
        assert self.all_policies() == []
        assert self.provision(token, "again").accepted
        assert self.status(certificate_id) is ACTIVE


@pytest.fixture
def announced() -> list[Change]:
    return []


@pytest.fixture
def world(authority: IssuingAuthority, announced: list[Change]) -> Iterator[World]:
    with empty_store(announced.extend) as store:
        yield World(store, SetClock(), authority)


@pytest.fixture(scope="module")
def lasting(authority: IssuingAuthority) -> Iterator[World]:
    """One world for tests and examples that do not depend on its content."""
    with empty_store() as store:
        yield World(store, SetClock(), authority)


class TestACertificate:
    @pytest.mark.parametrize("topic", [f"{CREATE}/json", f"{CREATE}/cbor"])
    @pytest.mark.parametrize("is_empty", [True, False])
    def test_is_made_with_its_key_and_waits(self, world: World, topic: str, is_empty: bool) -> None:
        an_object = b"{}" if topic.endswith("json") else b"\xa0"
        given = world.send(topic, b"" if is_empty else an_object).given
        assert set(given) == {"certificateId", "certificatePem", "privateKey", "certificateOwnershipToken"}
        kept = world.kept(given["certificateId"])
        assert kept is not None
        assert (kept.status, kept.mode, kept.ca_certificate_id) == (PENDING, CertificateMode.DEFAULT, None)
        assert kept.certificate_pem == given["certificatePem"]
        certificate = cryptography_x509.load_pem_x509_certificate(given["certificatePem"].encode())
        key = load_pem_private_key(given["privateKey"].encode(), None)
        of_certificate, of_key = (
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for public in (certificate.public_key(), key.public_key())
        )
        assert of_certificate == of_key

    @pytest.mark.parametrize("form", ["json", "cbor"])
    def test_is_made_for_a_request_and_waits(self, world: World, form: str) -> None:
        key = p256()
        given = world.ask(FROM_CSR, {"certificateSigningRequest": new_request(key)}, form).given
        assert set(given) == {"certificateId", "certificatePem", "certificateOwnershipToken"}
        assert world.status(given["certificateId"]) is PENDING
        certificate = cryptography_x509.load_pem_x509_certificate(given["certificatePem"].encode())
        assert certificate.public_key() == key.public_key()

    def test_of_a_certificate_provider_belongs_to_its_ca(self, world: World) -> None:
        ca, key = new_ca(), p256()
        CACertificates(world.store, world.clock).register(
            HOME, ca.pem, mode=CertificateMode.SNI_ONLY, set_as_active=True, allow_auto_registration=True
        )
        CertificateProviders(world.store, world.clock).create(
            HOME, "own-ca", FUNCTION, [CertificateProviderOperation.CREATE_CERTIFICATE_FROM_CSR]
        )
        device = new_device(ca, key=key)
        world.handlers.answer = {"certificatePem": device.pem}
        csr = new_request(key)
        given = world.ask(FROM_CSR, {"certificateSigningRequest": csr}).given
        assert given["certificateId"] == device.certificate_id
        event = {"certificateSigningRequest": csr, "principalId": CLAIM, "clientId": "the lamp"}
        assert [call[2] for call in world.handlers.calls] == [event]
        kept = world.kept(device.certificate_id)
        assert kept is not None
        assert (kept.status, kept.ca_certificate_id) == (PENDING, ca.certificate_id)
        assert world.provision(given["certificateOwnershipToken"]).accepted
        assert world.status(device.certificate_id) is ACTIVE

    @pytest.mark.parametrize(
        ("is_permanent", "status", "code"), [(True, 400, "InvalidRequest"), (False, 503, "ServiceUnavailable")]
    )
    def test_is_not_kept_if_a_provider_did_not_sign_it(
        self, world: World, is_permanent: bool, status: int, code: str
    ) -> None:
        CertificateProviders(world.store, world.clock).create(
            HOME, "own-ca", FUNCTION, [CertificateProviderOperation.CREATE_CERTIFICATE_FROM_CSR]
        )
        world.handlers.answer = HandlerFailed("it fell over", is_permanent=is_permanent)
        refusal = world.ask(FROM_CSR, {"certificateSigningRequest": new_request(p256())}).refusal
        assert refusal[:2] == (status, code)
        assert "own-ca did not sign the request: it fell over" in refusal[2]
        assert world.certificates.list(HOME, Window(limit=10)).items == []

    @pytest.mark.parametrize("csr", [None, "", 7, ["x"], "not a request", "\ud800"])
    def test_takes_a_certificate_signing_request(self, world: World, csr: object) -> None:
        status, code, message = world.ask(FROM_CSR, {"certificateSigningRequest": csr}).refusal
        assert (status, code) == (400, "InvalidRequest")
        assert "certificateSigningRequest" in message

    def test_takes_a_payload(self, world: World) -> None:
        for form in ("json", "cbor"):
            status, code, message = world.send(f"{FROM_CSR}/{form}", b"").refusal
            assert (status, code) == (400, "InvalidRequest")
            assert "certificateSigningRequest is missing" in message

    def test_is_not_issued_if_it_cannot_be_stored(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: Store) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(Store, "write", full)
        assert world.ask(FROM_CSR, {"certificateSigningRequest": new_request(p256())}).refusal[:2] == (
            503,
            "ServiceUnavailable",
        )

    def test_is_refused_with_a_reason_after_an_unexpected_error(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise OSError(28, "No space left on device", "/var/lib/sekisho/issuing")

        monkeypatch.setattr(IssuingAuthority, "issue_with_key", broken)
        with captured_log() as logged:
            status, code, message = world.send(f"{CREATE}/json", b"").refusal
        assert (status, code) == (500, "InternalFailure")
        # Devices do not get paths of the server.
        assert "/var/lib" not in message
        assert [line["log_level"] for line in logged].count("error") == 1


class TestATemplate:
    @pytest.mark.parametrize("form", ["json", "cbor"])
    def test_is_carried_out(self, world: World, form: str, announced: list[Change]) -> None:
        certificate_id, token = world.claimed()
        announced.clear()
        content = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": "1", "Location": "cellar"}}
        assert world.ask(PROVISION, content, form).given == {
            "deviceConfiguration": {"url": "https://lamps.example", "interval": 5},
            "thingName": "lamp-1",
        }
        assert world.status(certificate_id) is ACTIVE
        principal = arn.certificate(HOME, certificate_id)
        assert world.things.describe(HOME, "lamp-1").attributes == {"location": "cellar"}
        with world.store.read() as tx:
            assert AttachmentRows(tx).get(HOME, "lamp-1", principal) is not None
            assert [each.name for each in PolicyRows(tx).attached_to(HOME, principal, Window(limit=5)).items] == [
                "lamps"
            ]
        # The gateway may have asked for it while it waited.
        assert Change(HOME, ChangeKind.CERTIFICATE, certificate_id) in announced

    def test_has_defaults_and_ignores_parameters_that_only_a_hook_needs(self, world: World) -> None:
        _, token = world.claimed()
        parameters = {"SerialNumber": "1", "Undeclared": "x"}
        assert world.ask(PROVISION, {"certificateOwnershipToken": token, "parameters": parameters}).accepted
        assert world.things.describe(HOME, "lamp-1").attributes == {"location": "attic"}

    @pytest.mark.parametrize("parameters", [None, {}])
    def test_may_need_no_parameters(self, world: World, parameters: object) -> None:
        resources = {
            "certificate": BODY["Resources"]["certificate"],
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "the-only-one"}},
        }
        declared = {"AWS::IoT::Certificate::Id": {"Type": "String"}}
        world.template("plain", {"Parameters": declared, "Resources": resources})
        certificate_id, token = world.claimed()
        content = {"certificateOwnershipToken": token, "parameters": parameters}
        assert world.ask("$aws/provisioning-templates/plain/provision", content).given == {
            "deviceConfiguration": {},
            "thingName": "the-only-one",
        }
        assert world.status(certificate_id) is ACTIVE

    def test_without_a_thing_returns_no_name(self, world: World) -> None:
        resources = {"certificate": BODY["Resources"]["certificate"]}
        declared = {"AWS::IoT::Certificate::Id": {"Type": "String"}}
        world.template("thingless", {"Parameters": declared, "Resources": resources})
        _, token = world.claimed()
        answer = world.provision(token, topic="$aws/provisioning-templates/thingless/provision")
        assert answer.given == {"deviceConfiguration": {}, "thingName": None}

    def test_is_the_default_version(self, world: World) -> None:
        body = json.loads(json.dumps(BODY).replace("lamp-", "torch-"))
        world.templates.create_version(HOME, "lamps", json.dumps(body))
        assert world.provision(world.claimed()[1], "1").given["thingName"] == "lamp-1"
        world.templates.update(HOME, "lamps", default_version_id=2)
        assert world.provision(world.claimed()[1], "1").given["thingName"] == "torch-1"

    def test_of_another_realm_is_not_found(self, world: World) -> None:
        world.template("elsewhere", realm=OTHER_ACCOUNT)
        certificate_id, token = world.claimed()
        answer = world.provision(token, topic="$aws/provisioning-templates/elsewhere/provision")
        assert answer.refusal[:2] == (404, "ResourceNotFound")
        world.nothing_happened(certificate_id, token)

    @pytest.mark.parametrize(
        ("name", "options", "status", "code", "says"),
        [
            ("absent", None, 404, "ResourceNotFound", "template absent does not exist"),
            ("off", {"enabled": False}, 400, "InvalidTemplate", "off is not enabled"),
            ("jitp", {"template_type": TemplateType.JITP}, 400, "InvalidTemplate", "is of type JITP, not FLEET_PROV"),
        ],
    )
    def test_that_cannot_be_used_is_rejected(
        self, world: World, name: str, options: Mapping[str, Any] | None, status: int, code: str, says: str
    ) -> None:
        if options is not None:
            world.template(name, **options)
        certificate_id, token = world.claimed()
        refusal = world.provision(token, topic=f"$aws/provisioning-templates/{name}/provision").refusal
        assert refusal[:2] == (status, code)
        assert says in refusal[2]
        world.nothing_happened(certificate_id, token)

    def test_with_a_missing_parameter_is_rejected_with_the_name_and_the_line(self, world: World) -> None:
        certificate_id, token = world.claimed()
        status, code, message = world.provision(token, None).refusal
        assert (status, code) == (400, "InvalidParameters")
        line = next(
            number for number, text in enumerate(json.dumps(BODY, indent=1).splitlines(), 1) if '"Ref": "Seri' in text
        )
        assert f"line {line}," in message
        assert "SerialNumber" in message
        assert "version 1 of the template" in message
        assert message.count(certificate_id) == 1
        world.nothing_happened(certificate_id, token)

    def test_that_conflicts_is_rejected_with_the_place(self, world: World) -> None:
        world.things.create(HOME, "lamp-1", attributes={"location": "the moon"})
        certificate_id, token = world.claimed()
        status, code, message = world.provision(token, "1").refusal
        assert (status, code) == (409, "ResourceConflict")
        line = next(
            number for number, text in enumerate(json.dumps(BODY, indent=1).splitlines(), 1) if '"thing": {' in text
        )
        assert f"resource 'thing', line {line} of the template" in message
        assert message.count(certificate_id) == 1
        assert world.status(certificate_id) is PENDING
        assert world.all_policies() == []
        assert world.provision(token, "2").accepted

    def test_whose_last_resource_fails_leaves_nothing_of_the_first(self, world: World) -> None:
        resources = {**BODY["Resources"], "more": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "absent"}}}
        world.template("half", {**BODY, "Resources": resources})
        certificate_id, token = world.claimed()
        status, code, message = world.provision(token, topic="$aws/provisioning-templates/half/provision").refusal
        assert (status, code) == (400, "InvalidParameters")
        assert "there is no policy absent" in message
        world.nothing_happened(certificate_id, token)

    @pytest.mark.parametrize(
        ("parameters", "says"),
        [
            ([], "an object whose values are strings"),
            ("x", "an object whose values are strings"),
            ({"SerialNumber": 1}, "an object whose values are strings"),
            ({"SerialNumber": None}, "an object whose values are strings"),
            ({"SerialNumber": {}}, "an object whose values are strings"),
            ({"SerialNumber": "\ud800"}, "an object whose values are strings"),
            ({"\udfff": "1"}, "an object whose values are strings"),
            ({"SerialNumber": "1", "AWS::IoT::Certificate::Id": "ab" * 32}, "AWS::IoT::Certificate::Id comes from"),
            ({"SerialNumber": "1", "AWS::IoT::Certificate::Id": ""}, "the request has another value"),
            ({"SerialNumber": "1", "AWS::IoT::Certificate::Country": "JP"}, "(the certificate has none)"),
            ({"SerialNumber": "1", "AWS::IoT::Certificate::id": "x"}, "AWS::IoT::Certificate::id is not a parameter"),
            ({"SerialNumber": "1", "AWS::anything": "x"}, "AWS::anything is not a parameter"),
            ({"SerialNumber": "no name for a thing"}, "ThingName"),
            ({"SerialNumber": "\x00"}, "ThingName"),
            ({"SerialNumber": ""}, None),
        ],
    )
    def test_accepts_texts_that_fit(self, world: World, parameters: object, says: str | None) -> None:
        certificate_id, token = world.claimed()
        answer = world.ask(PROVISION, {"certificateOwnershipToken": token, "parameters": parameters})
        if says is None:
            assert answer.given["thingName"] == "lamp-"
            return
        status, code, message = answer.refusal
        assert (status, code) == (400, "InvalidParameters")
        assert says in message
        world.nothing_happened(certificate_id, token)


class TestAParameterOfTheService:
    """Four published firmwares send the id of the certificate that they provision with."""

    OWN_ID: ClassVar = "AWS::IoT::Certificate::Id"
    COUNTRY: ClassVar = "AWS::IoT::Certificate::Country"

    @pytest.mark.parametrize("form", ["json", "cbor"])
    @pytest.mark.parametrize("is_declared", [True, False])
    def test_may_be_repeated_with_the_same_value(self, world: World, is_declared: bool, form: str) -> None:
        declared = {name: each for name, each in BODY["Parameters"].items() if is_declared or name != self.OWN_ID}
        world.template("repeated", {**BODY, "Parameters": declared})
        certificate_id, token = world.claimed()
        parameters = {"SerialNumber": "1", self.OWN_ID: certificate_id}
        asked = {"certificateOwnershipToken": token, "parameters": parameters}
        topic = "$aws/provisioning-templates/repeated/provision"
        assert world.ask(topic, asked, form).given["thingName"] == "lamp-1"
        assert world.status(certificate_id) is ACTIVE

    def test_never_acts_with_another_value(self, world: World) -> None:
        other, _ = world.claimed()
        certificate_id, token = world.claimed()
        for value in (other, certificate_id.upper(), f" {certificate_id}", f"{certificate_id}\n", certificate_id[:-1]):
            parameters = {"SerialNumber": "1", self.OWN_ID: value}
            asked = {"certificateOwnershipToken": token, "parameters": parameters}
            status, code, message = world.ask(PROVISION, asked).refusal
            assert (status, code) == (400, "InvalidParameters")
            assert f"(its value is {certificate_id})" in message
            assert world.status(other) is PENDING
        world.nothing_happened(certificate_id, token)

    def test_of_the_subject_cannot_come_from_the_device(self, world: World) -> None:
        body = json.loads(json.dumps(BODY))
        body["Parameters"][self.COUNTRY] = {"Type": "String", "Default": "none"}
        body["Resources"]["thing"]["Properties"]["AttributePayload"] = {"country": {"Ref": self.COUNTRY}}
        world.template("country", body)
        topic = "$aws/provisioning-templates/country/provision"
        _, token = world.claimed()
        parameters = {"SerialNumber": "1", self.COUNTRY: "JP"}
        asked = {"certificateOwnershipToken": token, "parameters": parameters}
        assert "(the certificate has none)" in world.ask(topic, asked).refusal[2]
        assert world.provision(token, "1", topic=topic).accepted
        assert world.things.describe(HOME, "lamp-1").attributes == {"country": "none"}

    @pytest.mark.parametrize("name", [OWN_ID, COUNTRY, "AWS::anything"])
    def test_has_no_other_value_from_a_hook(self, world: World, name: str) -> None:
        world.with_hook({"allowProvisioning": True, "parameterOverrides": {name: "ab" * 32}})
        certificate_id, token = world.claimed()
        with captured_log() as logged:
            status, code, message = world.provision(token, "1").refusal
        assert (status, code) == (500, "InternalFailure")
        assert name in message
        assert [line["parameter"] for line in logged if line["log_level"] == "error"] == [name]
        world.nothing_happened(certificate_id, token)


class TestARequestThatIsNotCarriedOutBecauseTooManyWait:
    @pytest.mark.parametrize("topic", [CREATE, FROM_CSR, PROVISION])
    @pytest.mark.parametrize("form", ["json", "cbor"])
    def test_is_rejected_as_throttled(self, world: World, topic: str, form: str) -> None:
        reply = world.fleet.throttled(Request(HOME, 7, "the lamp", CLAIM, f"{topic}/{form}", b""))
        assert reply is not None
        assert reply.topic == f"{topic}/{form}/rejected"
        read = json.loads if form == "json" else cbor2.loads
        status, code, message = Answer(False, read(reply.payload)).refusal
        assert (status, code) == (429, "Throttling")
        assert "Try again later" in message

    def test_is_not_answered_on_a_topic_without_a_form(self, world: World) -> None:
        assert world.fleet.throttled(Request(HOME, 7, "the lamp", CLAIM, f"{CREATE}/yaml", b"")) is None


class TestThePolicyOfADevice:
    TEXT: ClassVar = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Publish","Resource":"%s"}]}'
    RESOURCE: ClassVar = "arn:aws:iot:eu-central-1:123456789012:topic/${Location}"
    INJECTED: ClassVar = 'attic"},{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:a:1:client/x'

    def asked(
        self, world: World, location: str, document: object, overrides: Mapping[str, str] | None = None
    ) -> Answer:
        body = json.loads(json.dumps(BODY))
        del body["Resources"]["thing"]["Properties"]["AttributePayload"]
        body["Resources"]["policy"]["Properties"] = {"PolicyName": "built", "PolicyDocument": document}
        world.handlers.answer = {"allowProvisioning": True, "parameterOverrides": overrides}
        hook = None if overrides is None else ProvisioningHook(FUNCTION, "2020-04-01")
        world.template("built", body, hook=hook)
        parameters = {"SerialNumber": "1", "Location": location}
        asked = {"certificateOwnershipToken": world.claimed()[1], "parameters": parameters}
        return world.ask("$aws/provisioning-templates/built/provision", asked)

    def resources(self, world: World) -> Sequence[str]:
        """Return the resources of each statement of the created policy."""
        with world.store.read() as tx:
            [version] = PolicyRows(tx).versions(HOME, "built")
        return [statement["Resource"] for statement in json.loads(version.document)["Statement"]]

    def test_gets_no_statement_from_a_quote_in_a_value(self, world: World) -> None:
        assert self.asked(world, self.INJECTED, {"Fn::Sub": self.TEXT % self.RESOURCE}).accepted
        assert self.resources(world) == [self.RESOURCE.replace("${Location}", self.INJECTED)]

    @pytest.mark.parametrize("value", ["*", "?", "${iot:ClientId}", "a*b"])
    @pytest.mark.parametrize("is_text", [True, False])
    def test_is_not_widened_by_a_value_of_the_device(self, world: World, value: str, is_text: bool) -> None:
        statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": {"Fn::Sub": self.RESOURCE}}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        given = {"Fn::Sub": self.TEXT % self.RESOURCE} if is_text else document
        status, code, message = self.asked(world, value, given).refusal
        assert (status, code) == (400, "InvalidParameters")
        assert "the value of the parameter 'Location' has" in message
        assert world.all_policies() == []

    def test_may_be_widened_by_a_hook_that_chooses_the_value(self, world: World) -> None:
        assert self.asked(world, "attic", {"Fn::Sub": self.TEXT % self.RESOURCE}, {"Location": "*"}).accepted
        assert self.resources(world) == [self.RESOURCE.replace("${Location}", "*")]

    def test_is_not_widened_by_a_hook_that_returns_the_device_s_value(self, world: World) -> None:
        assert not self.asked(world, "*", {"Fn::Sub": self.TEXT % self.RESOURCE}, {"Location": "*"}).accepted
        assert world.all_policies() == []


class TestAPayload:
    @pytest.mark.parametrize("topic", [CREATE, FROM_CSR, PROVISION])
    @pytest.mark.parametrize(
        ("form", "payload", "says"),
        [
            ("json", b"{", "is not JSON"),
            ("json", b"\xff\xfe\xfd", "is not JSON"),
            ("json", b"\xa0", "is not JSON"),
            ("json", b"[" * 100_000, "is not JSON"),
            ("json", b'{"a":' * 100_000, "is not JSON"),
            ("json", b"1" * 10_000, "is not JSON"),
            ("json", b"[]", "not a JSON object"),
            ("json", b"null", "not a JSON object"),
            ("json", b'"{}"', "not a JSON object"),
            ("json", b"NaN", "not a JSON object"),
            ("cbor", b"{}", "is not CBOR"),
            ("cbor", b"\xff", "is not CBOR"),
            ("cbor", b"\x81" * 100_000, "is not CBOR"),
            ("cbor", b"\xd8\x1c" * 50_000, "is not CBOR"),
            ("cbor", bytes.fromhex("c5821b7fffffffffffffff01"), "is not CBOR"),
            ("cbor", bytes.fromhex("5b00000fffffffffff"), "is not CBOR"),
            ("cbor", b"\x80", "not a CBOR object"),
            ("cbor", b"\x20", "not a CBOR object"),
            ("cbor", bytes.fromhex("d81c81d81d00"), "not a CBOR object"),
        ],
    )
    def test_that_is_not_an_object_is_refused(
        self, lasting: World, topic: str, form: str, payload: bytes, says: str
    ) -> None:
        before = lasting.certificates.list(HOME, Window(limit=100)).items
        status, code, message = lasting.send(f"{topic}/{form}", payload).refusal
        assert (status, code) == (400, "InvalidRequest")
        assert says in message
        assert len(message) < 1000
        assert lasting.certificates.list(HOME, Window(limit=100)).items == before

    @pytest.mark.parametrize("topic", [CREATE, FROM_CSR, PROVISION])
    @pytest.mark.parametrize("ending", ["JSON", "xml", "", "accepted"])
    def test_on_a_topic_with_another_ending_is_not_answered(self, lasting: World, topic: str, ending: str) -> None:
        before = lasting.certificates.list(HOME, Window(limit=100)).items
        assert lasting.fleet.answer(Request(HOME, 7, "c", CLAIM, f"{topic}/{ending}", b"{}")) is None
        assert lasting.certificates.list(HOME, Window(limit=100)).items == before


class TestAToken:
    def refused(self, answer: Answer) -> str:
        status, code, message = answer.refusal
        assert (status, code) == (400, "InvalidCertificateOwnershipToken")
        return message

    @pytest.mark.parametrize("content", [{}, {"certificateOwnershipToken": ""}, {"certificateOwnershipToken": None}])
    def test_is_needed(self, world: World, content: object) -> None:
        # Word for word as AWS IoT.
        assert self.refused(world.ask(PROVISION, content)) == "Certificate ownership token cannot be empty."
        assert not world.send(f"{PROVISION}/json", b"").accepted

    @pytest.mark.parametrize("token", [7, True, ["x"], {}, "\ud800"])
    def test_is_a_text(self, world: World, token: object) -> None:
        status, code, message = world.provision(token).refusal
        assert (status, code) == (400, "InvalidRequest")
        assert "certificateOwnershipToken" in message

    def test_that_was_never_issued_is_refused(self, world: World) -> None:
        world.claimed()
        assert "unknown" in self.refused(world.provision("x" * 128))

    def test_is_valid_for_an_hour(self, world: World) -> None:
        world.clock.now = world.clock.now.replace(microsecond=123456)
        first, early = world.claimed()
        _, late = world.claimed()
        world.clock.move(HOUR - 0.000001)
        assert world.provision(early).accepted
        world.clock.move(0.000001)
        assert "expired" in self.refused(world.provision(late))
        assert world.status(first) is ACTIVE

    def test_is_valid_once(self, world: World) -> None:
        _, token = world.claimed()
        assert world.provision(token, "1").accepted
        assert "used already" in self.refused(world.provision(token, "2"))
        assert world.all_things() == ["lamp-1"]

    def test_is_valid_for_its_claim_certificate(self, world: World) -> None:
        certificate_id, token = world.claimed()
        assert "another certificate" in self.refused(world.provision(token, claim="c2" * 32))
        world.nothing_happened(certificate_id, token)

    @pytest.mark.parametrize("realm", [OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE])
    def test_is_valid_in_its_realm(self, world: World, realm: Realm) -> None:
        world.template("lamps", realm=realm)
        certificate_id, token = world.claimed()
        self.refused(world.provision(token, realm=realm))
        world.nothing_happened(certificate_id, token)

    def test_of_a_deleted_certificate_is_not_valid(self, world: World) -> None:
        certificate_id, token = world.claimed()
        world.certificates.delete(HOME, certificate_id)
        assert "was deleted" in self.refused(world.provision(token))

    def test_does_not_make_a_revoked_certificate_active(self, world: World) -> None:
        certificate_id, token = world.claimed()
        world.certificates.update(HOME, certificate_id, CertificateStatus.REVOKED)
        world.provision(token)
        assert world.status(certificate_id) is CertificateStatus.REVOKED

    def test_is_stored_as_a_hash(self, world: World) -> None:
        _, token = world.claimed()
        kept = content(world.store)
        assert hashlib.sha256(token.encode()).hexdigest().encode() in kept
        assert token.encode() not in kept

    def test_is_used_by_one_of_two_requests_at_once(self, world: World) -> None:
        certificate_id, token = world.claimed()
        # Both have found the token valid before either uses it.
        together = threading.Barrier(2, timeout=30)
        world.with_hook({"allowProvisioning": True})
        world.handlers.meanwhile = together.wait
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(lambda serial: world.provision(token, serial), ["1", "2"]))
        winners = [answer.content["thingName"] for answer in answers if answer.accepted]
        assert len(winners) == 1
        [loser] = [answer for answer in answers if not answer.accepted]
        self.refused(loser)
        assert world.all_things() == winners
        assert world.status(certificate_id) is ACTIVE


class TestAHook:
    def test_gets_the_event_of_aws_iot(self, world: World) -> None:
        world.with_hook({"allowProvisioning": True})
        # It may use the registry itself.
        world.handlers.meanwhile = lambda: world.things.create(HOME, "made-by-the-hook")
        certificate_id, token = world.claimed()
        parameters = {"SerialNumber": "1", "Undeclared": "x"}
        assert world.ask(PROVISION, {"certificateOwnershipToken": token, "parameters": parameters}).accepted
        event = {
            "claimCertificateId": CLAIM,
            "certificateId": certificate_id,
            "certificatePem": world.certificates.describe(HOME, certificate_id).certificate_pem,
            "templateArn": "arn:aws:iot:eu-central-1:123456789012:provisioningtemplate/lamps",
            "clientId": "the lamp",
            "parameters": parameters,
        }
        assert world.handlers.calls == [(HOME, FUNCTION, event, 5.0)]
        assert world.all_things() == ["made-by-the-hook", "lamp-1"]

    def test_is_not_called_without_a_valid_token(self, world: World) -> None:
        world.with_hook({"allowProvisioning": True})
        assert not world.provision("nobody's").accepted
        assert world.handlers.calls == []

    def test_rejects(self, world: World) -> None:
        world.with_hook({"allowProvisioning": False, "parameterOverrides": {"SerialNumber": "9"}})
        certificate_id, token = world.claimed()
        status, code, message = world.provision(token).refusal
        assert (status, code) == (403, "ACCESS_DENIED")
        assert "refused to provision" in message
        world.nothing_happened(certificate_id, token)

    @pytest.mark.parametrize("overrides", [None, {}])
    def test_accepts_unchanged(self, world: World, overrides: object) -> None:
        world.with_hook({"allowProvisioning": True, "parameterOverrides": overrides, "more": 1})
        assert world.provision(world.claimed()[1], "1").given["thingName"] == "lamp-1"

    def test_replaces_parameters(self, world: World) -> None:
        certificate_id, token = world.claimed()
        own_id = {"AWS::IoT::Certificate::Id": certificate_id}
        overrides = {"SerialNumber": "9", "Location": "roof", "Other": "x", **own_id}
        world.with_hook({"allowProvisioning": True, "parameterOverrides": overrides})
        assert world.provision(token, "1").given["thingName"] == "lamp-9"
        assert world.things.describe(HOME, "lamp-9").attributes == {"location": "roof"}
        assert world.status(certificate_id) is ACTIVE

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            True,
            "yes",
            [],
            {},
            {"allowProvisioning": "true"},
            {"allowProvisioning": 1},
            {"allowProvisioning": None},
            {"allowProvisioning": True, "parameterOverrides": {"SerialNumber": 9}},
            {"allowProvisioning": True, "parameterOverrides": {"SerialNumber": None}},
            {"allowProvisioning": True, "parameterOverrides": "x"},
            {"allowProvisioning": True, "parameterOverrides": []},
            {"allowProvisioning": True, "parameterOverrides": ""},
            {"allowProvisioning": True, "parameterOverrides": {"SerialNumber": "\ud800"}},
        ],
    )
    def test_with_an_answer_in_another_form_rejects_the_device(self, world: World, answer: object) -> None:
        world.with_hook(answer)
        certificate_id, token = world.claimed()
        with captured_log() as logged:
            status, code, message = world.provision(token).refusal
        assert (status, code) == (500, "InternalFailure")
        assert "returned an answer that is not valid" in message
        assert [line["function"] for line in logged if line["log_level"] == "error"] == [FUNCTION]
        world.nothing_happened(certificate_id, token)

    def test_that_fails_rejects_the_device_and_logs_the_reason(self, world: World) -> None:
        world.with_hook(HandlerFailed("handler 'hook' raised KeyError: 'secret'"))
        certificate_id, token = world.claimed()
        with captured_log() as logged:
            status, code, message = world.provision(token).refusal
        assert (status, code, message) == (500, "InternalFailure", "The pre-provisioning hook failed.")
        [line] = [line for line in logged if line["log_level"] == "error"]
        assert "KeyError" in line["reason"]
        world.nothing_happened(certificate_id, token)

    def test_that_takes_until_the_token_has_expired_rejects_the_device(self, world: World) -> None:
        world.with_hook({"allowProvisioning": True})
        _, token = world.claimed()
        world.handlers.meanwhile = lambda: world.clock.move(HOUR)
        assert world.provision(token).refusal[1] == "InvalidCertificateOwnershipToken"
        assert world.all_things() == []


class TestAnUnclaimedCertificate:
    def test_is_deleted_after_an_hour(self, world: World, announced: list[Change]) -> None:
        first, _ = world.claimed()
        world.clock.move(1)
        second, token = world.claimed()
        other, _ = world.claimed(realm=OTHER_ACCOUNT)
        world.clock.move(HOUR - 1.000001)
        assert world.fleet.remove_expired() == 0
        announced.clear()
        world.clock.move(0.000001)
        assert world.fleet.remove_expired() == 1
        assert world.kept(first) is None
        # The gateway may have asked for it.
        lost = RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED
        assert announced == [Change(HOME, ChangeKind.CERTIFICATE, first, lost)]
        assert world.provision(token).accepted
        world.clock.move(1)
        assert world.fleet.remove_expired() == 1
        assert world.kept(other, OTHER_ACCOUNT) is None
        assert world.status(second) is ACTIVE
        assert world.fleet.remove_expired() == 0

    @pytest.mark.parametrize("status", [ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED])
    def test_stays_after_its_status_was_set(self, world: World, status: CertificateStatus) -> None:
        certificate_id, token = world.claimed()
        world.certificates.update(HOME, certificate_id, status)
        world.clock.move(HOUR)
        assert world.fleet.remove_expired() == 1
        assert world.status(certificate_id) is status
        assert world.provision(token).refusal[1] == "InvalidCertificateOwnershipToken"

    def test_is_deleted_with_its_attachments(self, world: World) -> None:
        certificate_id, _ = world.claimed()
        principal = arn.certificate(HOME, certificate_id)
        world.policies.create(HOME, "p", DOCUMENT)
        world.policies.attach(HOME, "p", principal)
        for name in ("t", "u"):
            world.things.create(HOME, name)
            world.things.attach_principal(HOME, name, principal)
        world.clock.move(HOUR)
        assert world.fleet.remove_expired() == 1
        assert world.kept(certificate_id) is None
        # Nothing refers to it.
        world.policies.delete(HOME, "p")
        for name in ("t", "u"):
            world.things.delete(HOME, name)

    def test_may_be_deleted_earlier(self, world: World) -> None:
        certificate_id, _ = world.claimed()
        world.certificates.delete(HOME, certificate_id)
        world.clock.move(HOUR)
        assert world.fleet.remove_expired() == 1

    def test_is_deleted_also_if_there_are_more_than_one_look_finds(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sekisho.provisioning.fleet._TOKENS_PER_TRANSACTION", 2)
        ids = [world.claimed()[0] for _ in range(5)]
        world.clock.move(HOUR)
        assert world.fleet.remove_expired() == 5
        assert [world.kept(each) for each in ids] == [None] * 5


TOPICS: Final = [f"{topic}/{form}" for topic in (CREATE, FROM_CSR, PROVISION) for form in ("json", "cbor")]
NAMES: Final = ["certificateOwnershipToken", "parameters", "certificateSigningRequest", "SerialNumber", "Location"]
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | TEXTS, inner, max_size=3),
    max_leaves=8,
)


def said(answer: Answer) -> None:
    """Return whether it was accepted, or refused with a known reason."""
    assert answer.accepted or answer.refusal[0] in (400, 404, 409)


@given(topic=st.sampled_from(TOPICS), payload=st.binary(max_size=60))
def test_any_bytes_are_answered(lasting: World, topic: str, payload: bytes) -> None:
    said(lasting.send(topic, payload))


@given(topic=st.sampled_from(TOPICS[2:]), content=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_any_object_is_answered(lasting: World, topic: str, content: dict[str, Any]) -> None:
    try:
        payload = json.dumps(content).encode() if topic.endswith("json") else cbor2.dumps(content)
    except (ValueError, cbor2.CBOREncodeError):
        return
    said(lasting.send(topic, payload))


@given(parameters=VALUES | st.dictionaries(st.sampled_from(["SerialNumber", "Location"]) | TEXTS, TEXTS, max_size=4))
def test_any_parameters_with_a_valid_token_are_answered(lasting: World, parameters: object) -> None:
    certificate_id, token = lasting.claimed()
    answer = lasting.ask(PROVISION, {"certificateOwnershipToken": token, "parameters": parameters})
    said(answer)
    assert lasting.status(certificate_id) is (ACTIVE if answer.accepted else PENDING)
