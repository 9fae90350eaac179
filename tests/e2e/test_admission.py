"""Who is let in: the admission table, row by row, on the wire and in the server's log.

A certificate at fault is never told so: the handshake succeeds and the connection ends without CONNACK, in both
versions of MQTT. Only the policy's refusal is spoken, and only in MQTT 5.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import x509
from tests.e2e.devices import allow, register
from tests.e2e.mqtt_wire import CONNACK, V5, V311, Packet, attempt, is_taken
from tests.e2e.papers import Papers, in_files
from tests.e2e.running_server import Clients, RunningServer

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
class Gate:
    """The server with what a row needs to be arranged."""

    server: RunningServer
    clients: Clients
    folder: Path

    @property
    def iot(self) -> Any:
        return self.clients.iot

    def self_signed(self, **options: Any) -> Papers:
        return in_files(self.folder, x509.new_device(None, **options))

    def registered(self, **options: Any) -> Papers:
        """A device that may do anything, in SNI_ONLY mode."""
        papers = self.self_signed(**options)
        register(self.clients, papers, "anything")
        return papers

    def signed(self, ca: x509.Papers, *, with_ca: bool = False) -> Papers:
        return in_files(self.folder, x509.new_device(ca), *([ca] if with_ca else []))

    def sni_only_ca(self, *, active: bool = True, auto: bool = False, **options: Any) -> x509.Papers:
        ca = new_ca()
        self.iot.register_ca_certificate(
            caCertificate=ca.pem,
            certificateMode="SNI_ONLY",
            setAsActive=active,
            allowAutoRegistration=auto,
            **options,
        )
        return ca

    def default_ca(self, *, auto: bool) -> x509.Papers:
        ca = new_ca()
        code = self.iot.get_registration_code()["registrationCode"]
        self.iot.register_ca_certificate(
            caCertificate=ca.pem,
            verificationCertificate=x509.new_device(ca, code).pem,
            setAsActive=True,
            allowAutoRegistration=auto,
        )
        return ca

    def default_mode(self) -> Papers:
        """A certificate of AWS IoT's own making, which is in DEFAULT mode."""
        made = self.iot.create_keys_and_certificate(setAsActive=True)
        self.iot.attach_policy(policyName="anything", target=made["certificateArn"])
        key, certificate = self.folder / "made.key", self.folder / "made.crt"
        key.write_text(made["keyPair"]["PrivateKey"])
        certificate.write_text(made["certificatePem"])
        return Papers(key, certificate)

    def alter(self, papers: Papers, column: str, value: str) -> None:
        """Write a state that no operation of the API leads to, while the server is stopped."""
        assert self.server.stop() == 0
        with closing(sqlite3.connect(self.server.data / "sekisho.db")) as database, database:
            changed = database.execute(
                f"UPDATE certificates SET {column} = ? WHERE certificate_id = ?",  # noqa: S608
                (value, papers.certificate_id),
            )
            assert changed.rowcount == 1
        self.server.start()

    def attempt(
        self, papers: Papers | None, client_id: str, version: int, server_name: str | None = "localhost"
    ) -> list[Packet]:
        return attempt(self.server, papers, client_id, version, server_name)


_numbers = itertools.count()


def new_ca() -> x509.Papers:
    """Of a subject of its own: an account holds ten of one subject."""
    return x509.new_ca(f"CA {next(_numbers)}")


@pytest.fixture(scope="module")
def gate(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Gate:
    clients = server.session()
    allow(clients.iot, "anything")
    return Gate(server, clients, tmp_path_factory.mktemp("papers"))


def inactive_ca(gate: Gate) -> Papers:
    ca = gate.sni_only_ca()
    papers = gate.signed(ca)
    arn = gate.iot.register_certificate(certificatePem=papers.pem, caCertificatePem=ca.pem, setAsActive=True)
    gate.iot.attach_policy(policyName="anything", target=arn["certificateArn"])
    gate.iot.update_ca_certificate(certificateId=ca.certificate_id, newStatus="INACTIVE")
    return papers


def deleted_ca(gate: Gate) -> Papers:
    papers = inactive_ca(gate)
    inactive = [ca for ca in gate.iot.list_ca_certificates()["certificates"] if ca["status"] == "INACTIVE"]
    for ca in inactive:
        gate.iot.delete_ca_certificate(certificateId=ca["certificateId"])
    assert inactive
    return papers


@VERSIONS
@pytest.mark.parametrize("arrange", [Gate.registered, inactive_ca, deleted_ca], ids=["no CA", "inactive", "deleted"])
def test_row_1_an_active_certificate_is_let_in_whatever_became_of_its_ca(
    gate: Gate, arrange: Callable[[Gate], Papers], version: int
) -> None:
    assert is_taken(gate.attempt(arrange(gate), "row-1", version))


@VERSIONS
def test_row_2_without_sni_a_certificate_in_default_mode_is_let_in(gate: Gate, version: int) -> None:
    assert is_taken(gate.attempt(gate.default_mode(), "row-2", version, None))


def inactive(gate: Gate) -> Papers:
    papers = gate.registered()
    gate.iot.update_certificate(certificateId=papers.certificate_id, newStatus="INACTIVE")
    return papers


def revoked(gate: Gate) -> Papers:
    papers = gate.registered()
    gate.iot.update_certificate(certificateId=papers.certificate_id, newStatus="REVOKED")
    return papers


def pending_transfer(gate: Gate) -> Papers:
    papers = gate.registered()
    gate.alter(papers, "status", "PENDING_TRANSFER")
    return papers


def pending_activation(gate: Gate) -> Papers:
    papers = gate.registered()
    gate.alter(papers, "status", "PENDING_ACTIVATION")
    return papers


def expired(gate: Gate) -> Papers:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    papers = gate.registered(ends=ends)
    # The last second counts as valid; the wait is for the clock itself.
    while datetime.now(UTC) < ends + timedelta(seconds=1):
        time.sleep(0.05)
    return papers


def not_yet_valid(gate: Gate) -> Papers:
    begins = x509.around_now()[1]
    papers = gate.self_signed(begins=begins, ends=begins + timedelta(days=1))
    # It cannot be registered before its time, but a server's clock can be set back.
    gate.alter(gate.registered(), "certificate_id", papers.certificate_id)
    return papers


def of_a_ca_that_registers(gate: Gate) -> Papers:
    return gate.signed(gate.sni_only_ca(auto=True))


def of_a_ca_with_a_template(gate: Gate) -> Papers:
    config = {"templateBody": TEMPLATE, "roleArn": ROLE}
    return gate.signed(gate.sni_only_ca(auto=True, registrationConfig=config))


def of_a_ca_that_does_not_register(gate: Gate) -> Papers:
    return gate.signed(gate.sni_only_ca(auto=False))


def of_an_inactive_ca(gate: Gate) -> Papers:
    return gate.signed(gate.sni_only_ca(active=False, auto=True))


def of_an_unknown_ca(gate: Gate) -> Papers:
    return gate.signed(new_ca())


def of_a_default_ca_alone(gate: Gate) -> Papers:
    return gate.signed(gate.default_ca(auto=True))


def of_a_default_ca_with_it(gate: Gate) -> Papers:
    return gate.signed(gate.default_ca(auto=True), with_ca=True)


def of_an_sni_only_ca_with_it(gate: Gate) -> Papers:
    return gate.signed(gate.sni_only_ca(auto=True), with_ca=True)


@VERSIONS
@pytest.mark.parametrize(
    ("row", "arrange", "server_name", "reason"),
    [
        (3, Gate.registered, None, "CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI"),
        (4, Gate.registered, "anobody-ats.iot.us-east-1.localhost", "SNI_MISUSED"),
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
def test_rows_3_to_18_a_certificate_at_fault_ends_without_a_word_and_the_log_has_the_reason(
    gate: Gate, row: int, arrange: Callable[[Gate], Papers], server_name: str | None, reason: str, version: int
) -> None:
    papers = arrange(gate)
    client_id = f"row-{row}-level-{version}"

    assert gate.attempt(papers, client_id, version, server_name) == []

    line = gate.server.wait_for_refusal(client_id=client_id)
    assert line["reason"] == reason
    assert line["certificate_id"] == papers.certificate_id
    assert line["server_name"] == server_name


@VERSIONS
def test_row_22_the_name_of_another_region_looks_the_certificate_up_there(gate: Gate, version: int) -> None:
    other = gate.server.session(region="eu-west-1").iot.describe_endpoint(endpointType="iot:Data-ATS")
    papers = gate.registered()
    client_id = f"row-22-level-{version}"

    assert gate.attempt(papers, client_id, version, other["endpointAddress"]) == []

    line = gate.server.wait_for_refusal(client_id=client_id)
    assert line["reason"] == "DEVICE_CERTIFICATE_NOT_REGISTERED"
    assert line["region"] == "eu-west-1"


@VERSIONS
def test_row_20_the_policys_refusal_is_a_close_in_3_1_1_and_a_connack_in_mqtt_5(gate: Gate, version: int) -> None:
    nothing = gate.self_signed()
    register(gate.clients, nothing)
    denied = gate.self_signed()
    forbid = {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"}
    register(gate.clients, denied, "anything", allow(gate.iot, f"no-connect-{version}", forbid))

    for number, papers in enumerate((nothing, denied)):
        client_id = f"row-20-{number}-level-{version}"
        answer = gate.attempt(papers, client_id, version)
        if version == V311:
            assert answer == []
        else:
            assert [(each.kind, each.body[:2]) for each in answer] == [(CONNACK, b"\x00\x87")]
        line = gate.server.wait_for_refusal(client_id=client_id)
        assert line["reason"] == "CONNECT_NOT_AUTHORIZED"


def test_a_certificate_that_is_activated_is_let_in_at_once(gate: Gate) -> None:
    papers = inactive(gate)
    assert gate.attempt(papers, "set-right", V311) == []
    gate.iot.update_certificate(certificateId=papers.certificate_id, newStatus="ACTIVE")
    assert is_taken(gate.attempt(papers, "set-right", V311))
