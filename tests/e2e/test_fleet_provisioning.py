"""Fleet provisioning with the unchanged AWS IoT Device SDK, and with paho in JSON and CBOR."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import cbor2
import pytest
from awscrt import mqtt as crt_mqtt
from awscrt import mqtt5 as crt_mqtt5
from awscrt.mqtt_request_response import ClientOptions
from awsiot import V2ServiceException, iotidentity, mqtt_connection_builder

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_key, new_self_signed, openssl
from tests.e2e.devices import WITHIN, Device, Refused, allow, register
from tests.e2e.running_server import RunningServer
from tests.e2e.test_sdks import Sdk5
from tests.wait import eventually

ROLE: Final = "arn:aws:iam::123456789012:role/provisioning"
CREATE: Final = "$aws/certificates/create"
FROM_CSR: Final = "$aws/certificates/create-from-csr"

# A pre-provisioning hook as for AWS Lambda.
HOOK: Final = """
def check(event, context):
    serial = event["parameters"]["SerialNumber"]
    if serial.startswith("stolen"):
        return {"allowProvisioning": False}
    overrides = {"Location": "roof of " + event["clientId"]} if serial.startswith("moved") else {}
    return {"allowProvisioning": True, "parameterOverrides": overrides}
"""

HOOK_HANDLER: Final = '[handlers.hook]\nfunction = "own_hook:check"\n'


def body(server: RunningServer) -> str:
    """Return a template whose devices may connect as their thing, and publish under its name."""
    realm = f"{server.run['region']}:{server.run['account']}"
    name = "${iot:Connection.Thing.ThingName}"
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"arn:aws:iot:{realm}:client/{name}"},
            {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"arn:aws:iot:{realm}:topic/lamps/{name}"},
        ],
    }
    thing = {
        "ThingName": {"Fn::Join": ["", ["lamp-", {"Ref": "SerialNumber"}]]},
        "AttributePayload": {"location": {"Fn::Join": ["_", {"Fn::Split": [" ", {"Ref": "Location"}]}]}},
    }
    certificate = {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"}
    return json.dumps(
        {
            "Parameters": {
                "SerialNumber": {"Type": "String"},
                "Location": {"Type": "String", "Default": "attic"},
                "AWS::IoT::Certificate::Id": {"Type": "String"},
            },
            "Resources": {
                "thing": {"Type": "AWS::IoT::Thing", "Properties": thing},
                "certificate": {"Type": "AWS::IoT::Certificate", "Properties": certificate},
                "policy": {
                    "Type": "AWS::IoT::Policy",
                    "Properties": {"PolicyName": "lamps", "PolicyDocument": document},
                },
            },
            "DeviceConfiguration": {"url": "https://lamps.example", "interval": 5},
        }
    )


def claim_policy(server: RunningServer, template: str) -> dict[str, Any]:
    """Return the Developer Guide's policy of claim certificates (provision-wo-cert), as statements."""
    realm = f"arn:aws:iot:{server.run['region']}:{server.run['account']}"
    topics = [f"{CREATE}/*", f"{FROM_CSR}/*", f"$aws/provisioning-templates/{template}/provision/*"]
    return {
        "connect": {"Effect": "Allow", "Action": ["iot:Connect"], "Resource": "*"},
        "topics": {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [f"{realm}:topic/{topic}" for topic in topics],
        },
        "filters": {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [f"{realm}:topicfilter/{topic}" for topic in topics],
        },
    }


def template(server: RunningServer, name: str = "lamps", **options: Any) -> str:
    server.session().iot.create_provisioning_template(
        **{
            "templateName": name,
            "templateBody": body(server),
            "provisioningRoleArn": ROLE,
            "enabled": True,
            **options,
        }
    )
    return name


def claim_certificate(server: RunningServer, folder: Path, name: str = "lamps") -> CertificateFiles:
    """Register the claim certificate that a factory installs on every device."""
    device_files = new_self_signed(folder, "Claim", kind="RSA-2048")
    policy = allow(server.session().iot, f"claim-{name}", *claim_policy(server, name).values())
    register(server.session(), device_files, policy)
    return device_files


@contextmanager
def serving(folder: Path, handlers: str = "") -> Iterator[RunningServer]:
    data = folder / "data"
    data.mkdir()
    (data / "own_hook.py").write_text(HOOK)
    (data / "sekisho.toml").write_text(handlers)
    running = RunningServer(data).start()
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run a server with the templates ``lamps`` and ``hooked``; the second has a hook."""
    with serving(tmp_path_factory.mktemp("fleet"), HOOK_HANDLER) as running:
        template(running)
        hook = {"payloadVersion": "2020-04-01", "targetArn": "arn:aws:lambda:eu-central-1:123456789012:function:hook"}
        template(running, "hooked", preProvisioningHook=hook)
        yield running


@pytest.fixture(scope="module")
def claim(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return claim_certificate(server, tmp_path_factory.mktemp("claim"))


@pytest.fixture(scope="module")
def listener(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Connect a device that subscribes to the messages of lamps."""
    device_files = new_self_signed(tmp_path_factory.mktemp("listener"), kind="RSA-2048")
    register(server.session(), device_files, allow(server.session().iot, "anything"))
    with Device(server, device_files, "listener") as device:
        device.subscribe("lamps/#", 1)
        yield device


def in_files(folder: Path, certificate_pem: str, key: str | Path) -> CertificateFiles:
    """Write the files of a device's new certificate, as the device stores them."""
    device_files = CertificateFiles(folder / "device.key" if isinstance(key, str) else key, folder / "device.crt")
    if isinstance(key, str):
        device_files.key.write_text(key)
    device_files.certificate.write_text(certificate_pem)
    return device_files


def request_for(key: Path, name: str = "lamp") -> str:
    return openssl("req", "-new", "-key", key, "-subj", f"/CN={name}")


class Provisioner:
    """A device on paho that sends requests in JSON or CBOR."""

    def __init__(self, device: Device, name: str = "lamps", form: str = "json") -> None:
        self._device = device
        self._form = form
        self.provision_topic = f"$aws/provisioning-templates/{name}/provision"
        for topic in (CREATE, FROM_CSR, self.provision_topic):
            for outcome in ("accepted", "rejected"):
                assert not device.subscribe(f"{topic}/{form}/{outcome}", 1).is_failure

    def tell(self, topic: str, content: Mapping[str, Any]) -> None:
        self._device.publish(
            f"{topic}/{self._form}",
            json.dumps(content) if self._form == "json" else cbor2.dumps(content),
            1,
        )

    def answer(self) -> tuple[str, dict[str, Any]]:
        message = self._device.message()
        assert message.topic.split("/")[-2] == self._form
        content = json.loads(message.payload) if self._form == "json" else cbor2.loads(message.payload)
        return message.topic, content

    def ask(self, topic: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer, which must be /accepted."""
        self.tell(topic, content)
        answered, content = self.answer()
        assert answered == f"{topic}/{self._form}/accepted", content
        return content

    def create(self, folder: Path, number: int = 0) -> tuple[CertificateFiles, str]:
        """Get a certificate for a certificate signing request."""
        place = folder / str(number)
        place.mkdir()
        key = new_key(place / "device.key", "P-256")
        made = self.ask(FROM_CSR, {"certificateSigningRequest": request_for(key)})
        device_files = in_files(place, made["certificatePem"], key)
        assert device_files.certificate_id == made["certificateId"]
        return device_files, made["certificateOwnershipToken"]

    def provision(self, token: str, serial: str, **parameters: str) -> dict[str, Any]:
        return self.ask(
            self.provision_topic,
            {"certificateOwnershipToken": token, "parameters": {"SerialNumber": serial, **parameters}},
        )

    def refused(self, token: str, serial: str) -> tuple[int, str]:
        content = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": serial}}
        self.tell(self.provision_topic, content)
        answered, answer = self.answer()
        assert answered == f"{self.provision_topic}/{self._form}/rejected", answer
        assert answer["errorMessage"]
        return answer["statusCode"], answer["errorCode"]


def status(server: RunningServer, device_files: CertificateFiles) -> str:
    described = server.session().iot.describe_certificate(certificateId=device_files.certificate_id)
    return described["certificateDescription"]["status"]


def is_gone(server: RunningServer, device_files: CertificateFiles) -> bool:
    iot = server.session().iot
    try:
        status(server, device_files)
    except iot.exceptions.ResourceNotFoundException:
        return True
    return False


def thing_names(server: RunningServer) -> set[str]:
    pages = server.session().iot.get_paginator("list_things").paginate()
    return {thing["thingName"] for page in pages for thing in page["things"]}


def says_hello(server: RunningServer, device_files: CertificateFiles, name: str, listener: Device) -> None:
    """Connect the lamp with its new certificate, and check that its message arrives."""
    with Device(server, device_files, name) as device:
        device.publish(f"lamps/{name}", "hello", 1)
    assert listener.message().topic == f"lamps/{name}"


@contextmanager
def sdk_311(server: RunningServer, device_files: CertificateFiles, client_id: str) -> Iterator[crt_mqtt.Connection]:
    connection = mqtt_connection_builder.mtls_from_path(
        str(device_files.certificate),
        str(device_files.key),
        endpoint="localhost",
        port=server.mqtt_port,
        ca_filepath=server.root_ca,
        client_id=client_id,
        clean_session=True,
        keep_alive_secs=30,
    )
    connection.connect().result(WITHIN)
    try:
        yield connection
    finally:
        connection.disconnect().result(WITHIN)


class Sdk:
    """Provisioning with the SDK; errors are V2ServiceException."""

    def __init__(self, connection: Any) -> None:
        options = ClientOptions(max_request_response_subscriptions=4, max_streaming_subscriptions=2)
        self._client = iotidentity.IotIdentityClientV2(connection, options)

    def create(self) -> Any:
        asked = iotidentity.CreateKeysAndCertificateRequest()
        return self._client.create_keys_and_certificate(asked).result(WITHIN)

    def create_from_csr(self, csr: str) -> Any:
        asked = iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=csr)
        return self._client.create_certificate_from_csr(asked).result(WITHIN)

    def register(self, asked: iotidentity.RegisterThingRequest) -> Any:
        return self._client.register_thing(asked).result(WITHIN)


class OlderSdk:
    """The same with the SDK's older client, which subscribes and publishes separately."""

    def __init__(self, connection: Any) -> None:
        self._client = iotidentity.IotIdentityClient(connection)

    def create(self) -> Any:
        return self._ask("create_keys_and_certificate", iotidentity.CreateKeysAndCertificateRequest())

    def create_from_csr(self, csr: str) -> Any:
        asked = iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=csr)
        return self._ask("create_certificate_from_csr", asked)

    def register(self, asked: iotidentity.RegisterThingRequest) -> Any:
        return self._ask("register_thing", asked)

    def _ask(self, what: str, asked: Any) -> Any:
        names = {
            "create_keys_and_certificate": "CreateKeysAndCertificateSubscriptionRequest",
            "create_certificate_from_csr": "CreateCertificateFromCsrSubscriptionRequest",
            "register_thing": "RegisterThingSubscriptionRequest",
        }
        wanted: dict[str, Any] = {}
        if what == "register_thing":
            wanted["template_name"] = asked.template_name
        outcome: Future[Any] = Future()
        answers = {
            "accepted": outcome.set_result,
            "rejected": lambda error: outcome.set_exception(V2ServiceException(what, None, error)),
        }
        for word, callback in answers.items():
            subscribe = getattr(self._client, f"subscribe_to_{what}_{word}")
            subscription = getattr(iotidentity, names[what])(**wanted)
            subscribed, _ = subscribe(request=subscription, qos=crt_mqtt.QoS.AT_LEAST_ONCE, callback=callback)
            subscribed.result(WITHIN)
        getattr(self._client, f"publish_{what}")(asked, crt_mqtt.QoS.AT_LEAST_ONCE).result(WITHIN)
        return outcome.result(WITHIN)


WAYS: Final = ["IotIdentityClientV2 on 5", "IotIdentityClientV2 on 3.1.1", "IotIdentityClient"]


@contextmanager
def provisioning(way: str, server: RunningServer, device_files: CertificateFiles) -> Iterator[Sdk | OlderSdk]:
    """Connect a device that has only a claim certificate."""
    with ExitStack() as stack:
        if way.endswith("on 5"):
            yield Sdk(stack.enter_context(Sdk5(server, device_files, "a new lamp")).client)
        else:
            connection = stack.enter_context(sdk_311(server, device_files, "a new lamp"))
            yield Sdk(connection) if "V2" in way else OlderSdk(connection)


def asked_for(token: str, serial: str, **parameters: str) -> iotidentity.RegisterThingRequest:
    return iotidentity.RegisterThingRequest(
        template_name="lamps",
        certificate_ownership_token=token,
        parameters={"SerialNumber": serial, **parameters},
    )


class TestTheDeviceSdk:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("has_key", [False, True], ids=["keys", "CSR"])
    def test_provisions_by_claim(
        self, server: RunningServer, claim: CertificateFiles, listener: Device, tmp_path: Path, way: str, has_key: bool
    ) -> None:
        serial = f"{WAYS.index(way)}-{'csr' if has_key else 'keys'}"
        with provisioning(way, server, claim) as sdk:
            if has_key:
                key: str | Path = new_key(tmp_path / "device.key")
                made = sdk.create_from_csr(request_for(Path(key)))
            else:
                made = sdk.create()
                key = made.private_key
            device_files = in_files(tmp_path, made.certificate_pem, key)
            assert device_files.certificate_id == made.certificate_id
            assert status(server, device_files) == "PENDING_ACTIVATION"
            done = sdk.register(asked_for(made.certificate_ownership_token, serial, Location="cellar"))
        assert done.thing_name == f"lamp-{serial}"
        assert done.device_configuration == {"url": "https://lamps.example", "interval": 5}
        described = server.session().iot.describe_thing(thingName=done.thing_name)
        assert described["attributes"] == {"location": "cellar"}
        assert status(server, device_files) == "ACTIVE"
        if way.endswith("on 5"):
            with Sdk5(server, device_files, done.thing_name) as device:
                hello = crt_mqtt5.PublishPacket(
                    topic=f"lamps/{done.thing_name}", payload=b"hello", qos=crt_mqtt5.QoS.AT_LEAST_ONCE
                )
                assert device.publish(hello).puback.reason_code == crt_mqtt5.PubackReasonCode.SUCCESS
        else:
            with sdk_311(server, device_files, done.thing_name) as connection:
                published, _ = connection.publish(f"lamps/{done.thing_name}", "hello", crt_mqtt.QoS.AT_LEAST_ONCE)
                published.result(WITHIN)
        assert listener.message().topic == f"lamps/{done.thing_name}"

    @pytest.mark.parametrize("way", WAYS)
    def test_gets_the_reason_of_a_rejection(self, server: RunningServer, claim: CertificateFiles, way: str) -> None:
        with provisioning(way, server, claim) as sdk:
            with pytest.raises(V2ServiceException) as refusal:
                sdk.register(asked_for("", "1"))
            error = refusal.value.modeled_error
            assert (error.status_code, error.error_code) == (400, "InvalidCertificateOwnershipToken")
            assert error.error_message == "Certificate ownership token cannot be empty."

    @pytest.mark.parametrize("way", WAYS)
    def test_provisions_with_a_claim_of_a_trusted_user(
        self, server: RunningServer, listener: Device, tmp_path: Path, way: str
    ) -> None:
        given = server.session().iot.create_provisioning_claim(templateName="lamps")
        (tmp_path / "claim").mkdir()
        temporary = in_files(tmp_path / "claim", given["certificatePem"], given["keyPair"]["PrivateKey"])
        serial = f"{WAYS.index(way)}-trusted"
        with provisioning(way, server, temporary) as sdk:
            made = sdk.create()
            done = sdk.register(asked_for(made.certificate_ownership_token, serial))
        device_files = in_files(tmp_path, made.certificate_pem, made.private_key)
        says_hello(server, device_files, done.thing_name, listener)


@pytest.mark.parametrize("form", ["json", "cbor"])
def test_a_device_provisions_in_json_and_in_cbor(
    server: RunningServer, claim: CertificateFiles, listener: Device, tmp_path: Path, form: str
) -> None:
    with Device(server, claim, "a new lamp") as device:
        fleet = Provisioner(device, form=form)
        device_files, token = fleet.create(tmp_path)
        made = fleet.ask(CREATE, {})
        assert set(made) == {"certificateId", "certificatePem", "privateKey", "certificateOwnershipToken"}
        assert fleet.refused("unknown", form) == (400, "InvalidCertificateOwnershipToken")
        assert fleet.provision(token, form) == {
            "thingName": f"lamp-{form}",
            "deviceConfiguration": {"url": "https://lamps.example", "interval": 5},
        }
        assert fleet.refused(token, "again") == (400, "InvalidCertificateOwnershipToken")
        device.publish(f"{CREATE}/{form}", b"\xff", 1)
        answered, answer = fleet.answer()
        assert answered == f"{CREATE}/{form}/rejected"
        assert (answer["statusCode"], answer["errorCode"]) == (400, "InvalidRequest")
    says_hello(server, device_files, f"lamp-{form}", listener)


def test_a_token_can_be_used_on_another_connection_of_the_same_claim_certificate_only(
    server: RunningServer, claim: CertificateFiles, tmp_path: Path
) -> None:
    given = server.session().iot.create_provisioning_claim(templateName="lamps")
    other = in_files(tmp_path, given["certificatePem"], given["keyPair"]["PrivateKey"])
    with Device(server, claim, "a new lamp") as device:
        _, token = Provisioner(device).create(tmp_path)
    with Device(server, other, "a thief") as device:
        assert Provisioner(device).refused(token, "stolen") == (400, "InvalidCertificateOwnershipToken")
    with Device(server, claim, "the lamp, connected again") as device:
        assert Provisioner(device).provision(token, "connected-again")["thingName"] == "lamp-connected-again"


def test_an_answer_reaches_only_the_connection_of_the_request(
    server: RunningServer, claim: CertificateFiles, listener: Device, tmp_path: Path
) -> None:
    anything = new_self_signed(tmp_path, kind="RSA-2048")
    register(server.session(), anything, "anything")
    with (
        Device(server, claim, "asks") as asks,
        Device(server, claim, "listens") as listens,
        Device(server, anything, "listens to everything") as everything,
    ):
        asking, listening = Provisioner(asks), Provisioner(listens)
        for topic_filter in ("$aws/certificates/#", "$aws/provisioning-templates/#", "#"):
            everything.subscribe(topic_filter, 1)
        device_files, token = asking.create(tmp_path)
        asking.provision(token, "heard-by-none")
        assert asking.refused(token, "heard-by-none") == (400, "InvalidCertificateOwnershipToken")
        # Each connection's first message is the answer of now: there was none before.
        answer = listening.ask(FROM_CSR, {"certificateSigningRequest": request_for(device_files.key)})
        assert answer["certificateId"] != device_files.certificate_id
        assert listens.messages.empty()
        says_hello(server, device_files, "lamp-heard-by-none", listener)
        assert everything.message().topic == "lamps/lamp-heard-by-none"
        assert everything.messages.empty()


def test_a_hook_rejects_one_device_and_changes_the_parameters_of_another(
    server: RunningServer, tmp_path: Path, listener: Device
) -> None:
    claim = claim_certificate(server, tmp_path, "hooked")
    iot = server.session().iot
    with Device(server, claim, "sender 7") as device:
        fleet = Provisioner(device, "hooked")
        device_files, token = fleet.create(tmp_path)
        assert fleet.refused(token, "stolen-1") == (403, "ACCESS_DENIED")
        assert status(server, device_files) == "PENDING_ACTIVATION"
        assert "lamp-stolen-1" not in thing_names(server)
        # The token can still be used, because the device may send other parameters.
        fleet.provision(token, "moved-1", Location="attic")
        _, token = fleet.create(tmp_path, 1)
        fleet.provision(token, "honest-1", Location="attic")
    assert iot.describe_thing(thingName="lamp-moved-1")["attributes"] == {"location": "roof_of_sender_7"}
    assert iot.describe_thing(thingName="lamp-honest-1")["attributes"] == {"location": "attic"}
    says_hello(server, device_files, "lamp-moved-1", listener)


def test_a_claim_certificate_that_may_not_receive_gets_no_answer_and_the_log_says_so(
    server: RunningServer, tmp_path: Path
) -> None:
    statements = claim_policy(server, "lamps")
    statements["topics"]["Action"] = ["iot:Publish"]
    deaf = new_self_signed(tmp_path, kind="RSA-2048")
    register(server.session(), deaf, allow(server.session().iot, "deaf", *statements.values()))
    with Device(server, deaf, "a deaf lamp") as device:
        Provisioner(device).tell(FROM_CSR, {})
        line = server.wait_for_log("delivery_refused", reason="RECEIVE_NOT_AUTHORIZED", client_id="a deaf lamp")
        assert line["detail"].startswith(f"{FROM_CSR}/json/rejected: ")
        assert device.messages.empty()


def test_a_claim_certificate_that_may_not_subscribe_is_refused_and_the_log_says_so(
    server: RunningServer, tmp_path: Path
) -> None:
    statements = claim_policy(server, "lamps")
    del statements["filters"]
    deaf = new_self_signed(tmp_path, kind="RSA-2048")
    register(server.session(), deaf, allow(server.session().iot, "unheard", *statements.values()))
    with Device(server, deaf, "an unheard lamp") as device:
        assert device.subscribe(f"{CREATE}/json/accepted", 1).is_failure
        line = server.wait_for_log(
            "subscription_refused", reason="SUBSCRIBE_NOT_AUTHORIZED", client_id="an unheard lamp"
        )
        assert f"{CREATE}/json/accepted" in line["detail"]


def test_a_certificate_provider_signs_with_the_users_ca(tmp_path: Path) -> None:
    ca = new_ca(tmp_path)
    ca.key.chmod(0o600)
    with serving(tmp_path, f'[handlers.sign]\nca_certificate = "{ca.certificate}"\nca_key = "{ca.key}"\n') as server:
        iot = server.session().iot
        # Also with automatic registration: a certificate that waits for its device has not just been registered.
        iot.register_ca_certificate(
            caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
        )
        iot.create_certificate_provider(
            certificateProviderName="own-ca",
            lambdaFunctionArn="arn:aws:lambda:eu-central-1:123456789012:function:sign",
            accountDefaultForOperations=["CreateCertificateFromCsr"],
        )
        template(server)
        claim = claim_certificate(server, tmp_path)
        watching = new_self_signed(tmp_path, kind="RSA-2048")
        register(server.session(), watching, allow(iot, "anything"))
        with Device(server, watching, "watches") as watcher, Device(server, claim, "a new lamp") as device:
            watcher.subscribe("$aws/events/certificates/registered/#", 1)
            watcher.subscribe("lamps/#", 1)
            fleet = Provisioner(device)
            device_files, token = fleet.create(tmp_path)
            openssl("verify", "-CAfile", ca.certificate, device_files.certificate)
            described = iot.describe_certificate(certificateId=device_files.certificate_id)["certificateDescription"]
            assert (described["status"], described["caCertificateId"]) == ("PENDING_ACTIVATION", ca.certificate_id)
            with pytest.raises(Refused):
                Device(server, device_files, "too early").connect()
            fleet.provision(token, "own")
            # The watcher's first message is this one: there was no registration event.
            says_hello(server, device_files, "lamp-own", watcher)
            assert status(server, device_files) == "ACTIVE"


def test_a_token_can_be_used_after_kill_9(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        template(server)
        claim = claim_certificate(server, tmp_path)
        with Device(server, claim, "a new lamp") as device:
            device_files, token = Provisioner(device).create(tmp_path)
            server.kill()
        server.start()
        with Device(server, claim, "a new lamp") as device:
            assert Provisioner(device).provision(token, "1")["thingName"] == "lamp-1"
        with Device(server, device_files, "lamp-1") as device:
            device.publish("lamps/lamp-1", "hello", 1)


def test_devices_interrupted_by_kill_9_are_provisioned_completely_or_not_at_all(tmp_path: Path) -> None:
    many = 12
    with serving(tmp_path) as server:
        template(server)
        claim = claim_certificate(server, tmp_path)
        with Device(server, claim, "new lamps") as device:
            fleet = Provisioner(device)
            made = [fleet.create(tmp_path, number) for number in range(many)]
            for number, (_, token) in enumerate(made):
                content = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": str(number)}}
                # Without waiting, so that requests are in progress when the server is killed.
                device.client.publish(f"{fleet.provision_topic}/json", json.dumps(content), 1)
            received = [device.message()]
            server.kill()
            while not device.messages.empty():
                received.append(device.messages.get())
            acknowledged = {json.loads(message.payload)["thingName"] for message in received}
        server.start()
        iot = server.session().iot
        done = thing_names(server)
        assert acknowledged <= done
        for number, (device_files, _) in enumerate(made):
            name = f"lamp-{number}"
            assert (status(server, device_files) == "ACTIVE") is (name in done)
            arn = f"arn:aws:iot:{server.run['region']}:{server.run['account']}:cert/{device_files.certificate_id}"
            if name in done:
                assert iot.list_thing_principals(thingName=name)["principals"] == [arn]
            policies = iot.list_attached_policies(target=arn)["policies"]
            assert [policy["policyName"] for policy in policies] == (["lamps"] if name in done else [])
        with Device(server, claim, "new lamps") as device:
            fleet = Provisioner(device)
            for number, (_, token) in enumerate(made):
                if f"lamp-{number}" in done:
                    assert fleet.refused(token, "again") == (400, "InvalidCertificateOwnershipToken")
                else:
                    fleet.provision(token, str(number))
        assert thing_names(server) == {f"lamp-{number}" for number in range(many)}


def test_the_running_server_deletes_expired_tokens_and_claims(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        template(server)
        iot = server.session().iot
        claim = claim_certificate(server, tmp_path)
        given = iot.create_provisioning_claim(templateName="lamps")
        (tmp_path / "claim").mkdir()
        temporary = in_files(tmp_path / "claim", given["certificatePem"], given["keyPair"]["PrivateKey"])
        with Device(server, claim, "a new lamp") as device:
            fleet = Provisioner(device)
            old, old_token = fleet.create(tmp_path, 1)
            young, young_token = fleet.create(tmp_path, 2)
        with Device(server, temporary, "a new lamp"):
            pass
        server.stop()
        with server.stopped_database() as database:
            # An hour passes for the token, and five minutes for the claim.
            database.execute(
                "UPDATE ownership_tokens SET expires_at = expires_at - 3600000000 WHERE certificate_id = ?",
                (old.certificate_id,),
            )
            database.execute("UPDATE provisioning_claims SET not_after = not_after - 300000000")
        server.start()
        eventually(lambda: is_gone(server, old))
        assert status(server, young) == "PENDING_ACTIVATION"
        with Device(server, claim, "a new lamp") as device:
            fleet = Provisioner(device)
            assert fleet.refused(old_token, "old") == (400, "InvalidCertificateOwnershipToken")
            fleet.provision(young_token, "young")
        with pytest.raises(Refused):
            Device(server, temporary, "a new lamp").connect()
