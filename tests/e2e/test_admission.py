"""The admission table, row by row, in the server's answer and in its log.

The server does not tell a refused client the reason: the handshake succeeds and the connection ends without CONNACK, in
both versions of MQTT. Only MQTT 5 has a CONNACK for a refusal by policy.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import x509
from tests.e2e.certificate_files import CertificateFiles, in_files
from tests.e2e.devices import allow, register
from tests.e2e.mqtt_wire import CONNACK, V5, V311, Packet, attempt, is_taken
from tests.e2e.running_server import Clients, RunningServer
from tests.wait import eventually

VERSIONS = pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])

ROLE = "arn:aws:iam::123456789012:role/provisioning"
OWN_ID = "AWS::IoT::Certificate::Id"
TEMPLATE = json.dumps(
    {
        "Parameters": {OWN_ID: {"Type": "String"}},
        "Resources": {
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": OWN_ID}}}
        },
    }
)


@dataclass(frozen=True)
class Arrangement:
    """The server, with methods that make the objects of a row."""

    server: RunningServer
    clients: Clients
    folder: Path

    @property
    def iot(self) -> Any:
        return self.clients.iot

    def self_signed(self, **options: Any) -> CertificateFiles:
        return in_files(self.folder, x509.new_device(None, **options))

    def registered(self, **options: Any) -> CertificateFiles:
        """Register a device that may do anything, in SNI_ONLY mode."""
        device_files = self.self_signed(**options)
        register(self.clients, device_files, "anything")
        return device_files

    def signed(self, ca: x509.KeyAndCertificate, *, with_ca: bool = False) -> CertificateFiles:
        return in_files(self.folder, x509.new_device(ca), *([ca] if with_ca else []))

    def sni_only_ca(self, *, active: bool = True, auto: bool = False, **options: Any) -> x509.KeyAndCertificate:
        ca = new_ca()
        self.iot.register_ca_certificate(
            caCertificate=ca.pem,
            certificateMode="SNI_ONLY",
            setAsActive=active,
            allowAutoRegistration=auto,
            **options,
        )
        return ca

    def default_ca(self, *, auto: bool) -> x509.KeyAndCertificate:
        ca = new_ca()
        code = self.iot.get_registration_code()["registrationCode"]
        self.iot.register_ca_certificate(
            caCertificate=ca.pem,
            verificationCertificate=x509.new_device(ca, code).pem,
            setAsActive=True,
            allowAutoRegistration=auto,
        )
        return ca

    def default_mode(self) -> CertificateFiles:
        """Create a certificate on the server, which is in DEFAULT mode."""
        made = self.iot.create_keys_and_certificate(setAsActive=True)
        self.iot.attach_policy(policyName="anything", target=made["certificateArn"])
        key, certificate = self.folder / "made.key", self.folder / "made.crt"
        key.write_text(made["keyPair"]["PrivateKey"])
        certificate.write_text(made["certificatePem"])
        return CertificateFiles(key, certificate)

    def alter(self, device_files: CertificateFiles, column: str, value: str) -> None:
        """Write a state that no operation of the API makes, while the server is stopped."""
        assert self.server.stop() == 0
        with self.server.stopped_database() as database:
            changed = database.execute(
                f"UPDATE certificates SET {column} = ? WHERE certificate_id = ?",  # noqa: S608
                (value, device_files.certificate_id),
            )
            assert changed.rowcount == 1
        self.server.start()

    def attempt(
        self, device_files: CertificateFiles | None, client_id: str, version: int, server_name: str | None = "localhost"
    ) -> list[Packet]:
        return attempt(self.server, device_files, client_id, version, server_name)


_numbers = itertools.count()


def new_ca() -> x509.KeyAndCertificate:
    """Make a CA with a subject of its own, because an account has at most ten of one subject."""
    return x509.new_ca(f"CA {next(_numbers)}")


@pytest.fixture(scope="module")
def arrangement(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Arrangement:
    clients = server.session()
    allow(clients.iot, "anything")
    return Arrangement(server, clients, tmp_path_factory.mktemp("device"))


def inactive_ca(arrangement: Arrangement) -> CertificateFiles:
    ca = arrangement.sni_only_ca()
    device_files = arrangement.signed(ca)
    arn = arrangement.iot.register_certificate(
        certificatePem=device_files.pem, caCertificatePem=ca.pem, setAsActive=True
    )
    arrangement.iot.attach_policy(policyName="anything", target=arn["certificateArn"])
    arrangement.iot.update_ca_certificate(certificateId=ca.certificate_id, newStatus="INACTIVE")
    return device_files


def deleted_ca(arrangement: Arrangement) -> CertificateFiles:
    device_files = inactive_ca(arrangement)
    inactive = [ca for ca in arrangement.iot.list_ca_certificates()["certificates"] if ca["status"] == "INACTIVE"]
    for ca in inactive:
        arrangement.iot.delete_ca_certificate(certificateId=ca["certificateId"])
    assert inactive
    return device_files


@VERSIONS
@pytest.mark.parametrize(
    "arrange", [Arrangement.registered, inactive_ca, deleted_ca], ids=["no CA", "inactive", "deleted"]
)
def test_row_1_an_active_certificate_is_accepted_whatever_the_state_of_its_ca(
    arrangement: Arrangement, arrange: Callable[[Arrangement], CertificateFiles], version: int
) -> None:
    assert is_taken(arrangement.attempt(arrange(arrangement), "row-1", version))


@VERSIONS
def test_row_2_without_sni_a_certificate_in_default_mode_is_accepted(arrangement: Arrangement, version: int) -> None:
    assert is_taken(arrangement.attempt(arrangement.default_mode(), "row-2", version, None))


def inactive(arrangement: Arrangement) -> CertificateFiles:
    device_files = arrangement.registered()
    arrangement.iot.update_certificate(certificateId=device_files.certificate_id, newStatus="INACTIVE")
    return device_files


def revoked(arrangement: Arrangement) -> CertificateFiles:
    device_files = arrangement.registered()
    arrangement.iot.update_certificate(certificateId=device_files.certificate_id, newStatus="REVOKED")
    return device_files


def pending_transfer(arrangement: Arrangement) -> CertificateFiles:
    device_files = arrangement.registered()
    arrangement.alter(device_files, "status", "PENDING_TRANSFER")
    return device_files


def pending_activation(arrangement: Arrangement) -> CertificateFiles:
    device_files = arrangement.registered()
    arrangement.alter(device_files, "status", "PENDING_ACTIVATION")
    return device_files


def expired(arrangement: Arrangement) -> CertificateFiles:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    device_files = arrangement.registered(ends=ends)
    # The last second is valid; the test waits for the clock itself.
    eventually(lambda: datetime.now(UTC) >= ends + timedelta(seconds=1))
    return device_files


def not_yet_valid(arrangement: Arrangement) -> CertificateFiles:
    begins = x509.around_now()[1]
    device_files = arrangement.self_signed(begins=begins, ends=begins + timedelta(days=1))
    # It cannot be registered before its validity, but a server's clock can be set back.
    arrangement.alter(arrangement.registered(), "certificate_id", device_files.certificate_id)
    return device_files


def of_a_ca_that_registers(arrangement: Arrangement) -> CertificateFiles:
    return arrangement.signed(arrangement.sni_only_ca(auto=True))


def of_a_ca_with_a_template(arrangement: Arrangement) -> CertificateFiles:
    config = {"templateBody": TEMPLATE, "roleArn": ROLE}
    return arrangement.signed(arrangement.sni_only_ca(auto=True, registrationConfig=config))


def of_a_ca_that_does_not_register(arrangement: Arrangement) -> CertificateFiles:
    return arrangement.signed(arrangement.sni_only_ca(auto=False))


def of_an_inactive_ca(arrangement: Arrangement) -> CertificateFiles:
    return arrangement.signed(arrangement.sni_only_ca(active=False, auto=True))


def of_an_unknown_ca(arrangement: Arrangement) -> CertificateFiles:
    return arrangement.signed(new_ca())


def of_a_default_ca_alone(arrangement: Arrangement) -> CertificateFiles:
    return arrangement.signed(arrangement.default_ca(auto=True))


def of_a_default_ca_with_it(arrangement: Arrangement) -> CertificateFiles:
    return arrangement.signed(arrangement.default_ca(auto=True), with_ca=True)


def of_an_sni_only_ca_with_it(arrangement: Arrangement) -> CertificateFiles:
    return arrangement.signed(arrangement.sni_only_ca(auto=True), with_ca=True)


@VERSIONS
@pytest.mark.parametrize(
    ("row", "arrange", "server_name", "reason"),
    [
        (3, Arrangement.registered, None, "CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI"),
        (4, Arrangement.registered, "aunknown-ats.iot.us-east-1.localhost", "SNI_MISUSED"),
        (5, inactive, "localhost", "DEVICE_CERTIFICATE_INACTIVE"),
        (6, revoked, "localhost", "DEVICE_CERTIFICATE_REVOKED"),
        (7, pending_transfer, "localhost", "DEVICE_CERTIFICATE_PENDING_TRANSFER"),
        (8, pending_activation, "localhost", "DEVICE_CERTIFICATE_PENDING_ACTIVATION"),
        (9, expired, "localhost", "DEVICE_CERTIFICATE_EXPIRED"),
        (10, not_yet_valid, "localhost", "DEVICE_CERTIFICATE_NOT_YET_VALID"),
        (11, of_a_ca_that_registers, "localhost", "DEVICE_CERTIFICATE_PENDING_ACTIVATION"),
        (12, of_a_ca_with_a_template, "localhost", "DEVICE_CERTIFICATE_PROVISIONED"),
        (13, of_a_ca_that_does_not_register, "localhost", "CA_AUTO_REGISTRATION_DISABLED"),
        (14, of_an_inactive_ca, "localhost", "CA_INACTIVE"),
        (15, of_an_unknown_ca, "localhost", "CA_NOT_REGISTERED"),
        (16, of_a_default_ca_alone, None, "CA_NOT_IN_CHAIN_AND_NO_SNI"),
        (17, of_a_default_ca_with_it, None, "DEVICE_CERTIFICATE_PENDING_ACTIVATION"),
        (18, of_an_sni_only_ca_with_it, None, "CA_IS_SNI_ONLY_AND_NO_SNI"),
    ],
)
def test_rows_3_to_18_a_refused_certificate_gets_no_answer_and_the_log_has_the_reason(
    arrangement: Arrangement,
    row: int,
    arrange: Callable[[Arrangement], CertificateFiles],
    server_name: str | None,
    reason: str,
    version: int,
) -> None:
    device_files = arrange(arrangement)
    client_id = f"row-{row}-level-{version}"

    assert arrangement.attempt(device_files, client_id, version, server_name) == []

    line = arrangement.server.wait_for_refusal(client_id=client_id)
    assert line["reason"] == reason
    assert line["certificate_id"] == device_files.certificate_id
    assert line.get("server_name") == server_name


@VERSIONS
def test_row_22_the_name_of_another_region_searches_the_certificate_there(
    arrangement: Arrangement, version: int
) -> None:
    other = arrangement.server.session(region="eu-west-1").iot.describe_endpoint(endpointType="iot:Data-ATS")
    device_files = arrangement.registered()
    client_id = f"row-22-level-{version}"

    assert arrangement.attempt(device_files, client_id, version, other["endpointAddress"]) == []

    line = arrangement.server.wait_for_refusal(client_id=client_id)
    assert line["reason"] == "DEVICE_CERTIFICATE_NOT_REGISTERED"
    assert line["region"] == "eu-west-1"


@VERSIONS
def test_row_20_a_refusal_by_policy_closes_in_3_1_1_and_is_a_connack_in_mqtt_5(
    arrangement: Arrangement, version: int
) -> None:
    nothing = arrangement.self_signed()
    register(arrangement.clients, nothing)
    denied = arrangement.self_signed()
    forbid = {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"}
    register(arrangement.clients, denied, "anything", allow(arrangement.iot, f"no-connect-{version}", forbid))

    for number, device_files in enumerate((nothing, denied)):
        client_id = f"row-20-{number}-level-{version}"
        answer = arrangement.attempt(device_files, client_id, version)
        if version == V311:
            assert answer == []
        else:
            assert [(each.kind, each.body[:2]) for each in answer] == [(CONNACK, b"\x00\x87")]
        line = arrangement.server.wait_for_refusal(client_id=client_id)
        assert line["reason"] == "CONNECT_NOT_AUTHORIZED"


def test_an_activated_certificate_is_accepted_at_once(arrangement: Arrangement) -> None:
    device_files = inactive(arrangement)
    assert arrangement.attempt(device_files, "set-right", V311) == []
    arrangement.iot.update_certificate(certificateId=device_files.certificate_id, newStatus="ACTIVE")
    assert is_taken(arrangement.attempt(device_files, "set-right", V311))
