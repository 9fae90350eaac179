"""Accounts and regions on one server: SNI selects one, and messages do not cross."""

from __future__ import annotations

import queue
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device, new_key, new_self_signed, openssl
from tests.e2e.command_line import answer
from tests.e2e.devices import V5, V311, Device, Refused, allow, endpoint, register
from tests.e2e.running_server import Clients, RunningServer
from tests.tools import require

HOME, ABROAD = "us-east-1", "eu-central-1"


@dataclass(frozen=True)
class Realm:
    """An account in a region: its clients, and the host name of its endpoint."""

    clients: Clients
    server_name: str


@dataclass(frozen=True)
class Realms:
    """Two accounts in two regions."""

    home: Realm
    abroad: Realm
    other: Realm
    other_abroad: Realm

    @property
    def all(self) -> tuple[Realm, ...]:
        return self.home, self.abroad, self.other, self.other_abroad


@pytest.fixture(scope="module")
def realms(server: RunningServer) -> Realms:
    made = answer("account", "create", "222222222222", "--data", server.data)
    assert made["accountId"] == "222222222222"

    def realm(account: str | None, region: str) -> Realm:
        clients = server.session(account, region)
        allow(clients.iot, "anything")
        return Realm(clients, endpoint(clients))

    return Realms(
        realm(None, HOME), realm(None, ABROAD), realm("222222222222", HOME), realm("222222222222", ABROAD)
    )  # fmt: skip


@pytest.fixture(scope="module")
def everywhere(realms: Realms, tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """Register one certificate in each account and region."""
    device_files = new_self_signed(tmp_path_factory.mktemp("device"))
    for realm in realms.all:
        register(realm.clients, device_files, "anything")
    return device_files


def test_each_account_and_region_has_its_own_endpoint_and_the_home_one_is_localhost(realms: Realms) -> None:
    names = [realm.server_name for realm in realms.all]
    assert names[0] == "localhost"
    assert len(set(names)) == 4
    for name, region in zip(names[1:], (ABROAD, HOME, ABROAD), strict=True):
        assert name.endswith(f"-ats.iot.{region}.localhost")
    assert [endpoint(realm.clients) for realm in realms.all] == names


def test_things_certificates_and_policies_of_one_realm_are_unknown_in_the_others(
    realms: Realms, tmp_path: Path
) -> None:
    for number, realm in enumerate(realms.all):
        realm.clients.iot.create_thing(thingName="kettle", attributePayload={"attributes": {"of": str(number)}})
    for number, realm in enumerate(realms.all):
        assert realm.clients.iot.describe_thing(thingName="kettle")["attributes"] == {"of": str(number)}

    arn = register(realms.other.clients, new_self_signed(tmp_path))
    assert arn.startswith(f"arn:aws:iot:{HOME}:222222222222:cert/")
    for realm in (realms.home, realms.abroad, realms.other_abroad):
        known = realm.clients.iot.list_certificates(pageSize=250)["certificates"]
        assert arn.split("/")[1] not in [each["certificateId"] for each in known]
        with pytest.raises(realm.clients.iot.exceptions.ResourceNotFoundException):
            realm.clients.iot.describe_certificate(certificateId=arn.split("/")[1])


def test_one_sni_only_ca_serves_two_accounts(realms: Realms, tmp_path: Path) -> None:
    ca = new_ca(tmp_path)
    device = new_device(tmp_path, ca)
    for realm in (realms.home, realms.other):
        iot = realm.clients.iot
        iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
        registered = iot.register_certificate(
            certificatePem=device.pem, caCertificatePem=ca.pem, status="ACTIVE"
        )  # fmt: skip
        assert registered["certificateId"] == device.certificate_id
        described = iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
        assert described["certificateMode"] == "SNI_ONLY"
        assert described["caCertificateId"] == ca.certificate_id
        assert described["ownedBy"] in registered["certificateArn"]


@pytest.mark.parametrize("version", [V311, V5])
def test_sni_selects_account_and_region_and_topics_do_not_cross(
    server: RunningServer, realms: Realms, everywhere: CertificateFiles, version: int
) -> None:
    devices = [
        # One client id in all four: none replaces another.
        Device(server, everywhere, "kettle", server_name=realm.server_name, version=version)  # type: ignore[arg-type]
        for realm in realms.all
    ]
    for device in devices:
        device.connect()
        assert not device.subscribe("shared/topic", 1).is_failure
    for number, device in enumerate(devices):
        device.publish("shared/topic", f"from {number}", 1)
    for number, realm in enumerate(realms.all):
        realm.clients.iot_data.publish(topic="shared/topic", payload=f"by API {number}".encode(), qos=1)
    for number, device in enumerate(devices):
        assert {device.message().payload, device.message().payload} == {
            f"from {number}".encode(),
            f"by API {number}".encode(),
        }
        with pytest.raises(queue.Empty):
            device.messages.get_nowait()
        assert device.ended.empty()
        device.disconnect()


def test_an_unknown_name_and_the_name_of_another_account_are_refused(
    server: RunningServer, realms: Realms, tmp_path: Path
) -> None:
    device_files = new_self_signed(tmp_path, "OnlyAtHome")
    register(realms.home.clients, device_files, "anything")
    with Device(server, device_files, "right"):
        pass

    for realm in (realms.abroad, realms.other, realms.other_abroad):
        with pytest.raises(Refused):
            Device(server, device_files, "wrong", server_name=realm.server_name, version=V311).connect()
    server.wait_for_refusal(certificate_id=device_files.certificate_id, account_id="222222222222")

    unknown = f"aunknown-ats.iot.{HOME}.localhost"
    with pytest.raises(Refused):
        Device(server, device_files, "wrong", server_name=unknown, version=V311).connect()
    server.wait_for_refusal(server_name=unknown)


def test_without_sni_an_sni_only_certificate_is_refused(server: RunningServer, everywhere: CertificateFiles) -> None:
    with pytest.raises(Refused):
        Device(server, everywhere, "nameless", server_name=None, version=V311).connect()
    server.wait_for_log(
        "connection_refused", reason="CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI", certificate_id=everywhere.certificate_id
    )


def verification_certificate(folder: Path, ca: CertificateFiles, code: str) -> str:
    """Make the proof of possession of the CA's key, as in the guide."""
    key, request = new_key(folder / "verification.key", "P-256"), folder / "verification.csr"
    openssl("req", "-new", "-key", key, "-out", request, "-subj", f"/CN={code}")
    return openssl(
        "x509", "-req", "-in", request, "-CA", ca.certificate, "-CAkey", ca.key, "-CAcreateserial", "-days", "30",
        "-sha256",
    )  # fmt: skip


def register_default_ca(realm: Realm, folder: Path, ca: CertificateFiles) -> None:
    """Register a CA with a registration code."""
    iot = realm.clients.iot
    code = iot.get_registration_code()["registrationCode"]
    iot.register_ca_certificate(
        caCertificate=ca.pem, verificationCertificate=verification_certificate(folder, ca, code), setAsActive=True
    )


def test_a_certificate_of_a_default_ca_connects_without_sni_to_its_account(
    server: RunningServer, realms: Realms, tmp_path: Path
) -> None:
    ca = new_ca(tmp_path, "DefaultCA")
    register_default_ca(realms.other, tmp_path, ca)
    device = new_device(tmp_path, ca)
    iot = realms.other.clients.iot
    registered = iot.register_certificate(certificatePem=device.pem, status="ACTIVE")
    described = iot.describe_certificate(certificateId=registered["certificateId"])["certificateDescription"]
    assert described["certificateMode"] == "DEFAULT"
    iot.attach_policy(policyName="anything", target=registered["certificateArn"])

    with (
        Device(server, device, "nameless", server_name=None) as nameless,
        Device(server, device, "named", server_name=realms.other.server_name) as named,
    ):
        named.subscribe("t1", 1)
        nameless.publish("t1", "to the account of my CA", 1)
        assert named.message().payload == b"to the account of my CA"

    # With an IP address no SNI is sent (RFC 6066, section 3), and mosquitto does not compare it with the certificate.
    said = subprocess.run(
        [
            require("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(server.mqtt_port), "--insecure", "--cafile",
            server.root_ca, "--cert", str(device.certificate), "--key", str(device.key), "-t", "t1", "-m", "hello",
            "-q", "1", "-d",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "received PUBACK" in said.stdout


def test_a_ca_is_in_default_mode_in_only_one_account_of_a_region(realms: Realms, tmp_path: Path) -> None:
    ca = new_ca(tmp_path, "OneAccountOnly")
    register_default_ca(realms.home, tmp_path, ca)
    with pytest.raises(ClientError, match="Cannot accept this CACertificate") as refused:
        register_default_ca(realms.other, tmp_path, ca)
    assert refused.value.response["Error"]["Code"] == "InvalidRequestException"
    register_default_ca(realms.other_abroad, tmp_path, ca)
    realms.other.clients.iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY")


def test_a_verification_certificate_for_the_code_of_another_account_is_refused(realms: Realms, tmp_path: Path) -> None:
    ca = new_ca(tmp_path, "StolenCode")
    iot = realms.home.clients.iot
    code = realms.other.clients.iot.get_registration_code()["registrationCode"]
    assert code != iot.get_registration_code()["registrationCode"]
    with pytest.raises(iot.exceptions.RegistrationCodeValidationException):
        iot.register_ca_certificate(
            caCertificate=ca.pem, verificationCertificate=verification_certificate(tmp_path, ca, code)
        )
