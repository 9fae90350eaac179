"""The article on own-CA certificates, with its commands, in bash after ``eval "$(sekisho env)"``.

Three things differ. ``--cafile`` names this server's root, and ``-p`` a free port. Option 2 as printed leaves a JSON
document in CERTIFICATE_ARN where later commands need the ARN, on AWS too: it is run as printed, and then the variable
gets the ARN alone.

Source: "AWS IoT Coreで独自CAで署名した証明書を使う話", 2023-10-15.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command_line import clean_environment
from tests.e2e.devices import allow
from tests.e2e.running_server import RunningServer
from tests.tools import require

CA = r"""
openssl genrsa -out ca.key 2048

openssl req -x509 -new -nodes \
    -key ca.key \
    -sha256 -days 1024 \
    -out ca.crt \
    -subj "/CN=MyCA"
"""

REGISTER_CA = r"""
CERTIFICATE_ID=$(aws iot register-ca-certificate \
    --ca-certificate file://ca.crt \
    --certificate-mode SNI_ONLY \
    --set-as-active \
    --query 'certificateId' \
    --output text)

aws iot describe-ca-certificate --certificate-id $CERTIFICATE_ID
"""

DEVICE = r"""
openssl genrsa -out device.key 2048

openssl req -new \
    -key device.key \
    -out device.csr \
    -subj "/CN=MyDevice"

openssl x509 -req \
    -in device.csr \
    -CA ca.crt \
    -CAkey ca.key \
    -CAcreateserial \
    -out device.crt \
    -days 500 -sha256
"""

OPTION_1 = r"""
CERTIFICATE_ARN=$(aws iot register-certificate \
    --set-as-active \
    --certificate-pem file://device.crt \
    --ca-certificate-pem file://ca.crt \
    --query 'certificateArn' \
    --output text)

echo $CERTIFICATE_ARN

aws iot list-certificates --query "certificates[?certificateArn=='$CERTIFICATE_ARN']"
"""

OPTION_2 = r"""
CERTIFICATE_ARN=$(aws iot register-certificate-without-ca --status ACTIVE --certificate-pem file://device.crt)

echo $CERTIFICATE_ARN
"""

ARN_ALONE = r"""
CERTIFICATE_ARN=$(aws iot list-certificates --query 'certificates[0].certificateArn' --output text)
"""

REST = r"""
THING_NAME=$(cat /dev/urandom | LC_ALL=C tr -dc 'a-z0-9' | head -c 8; echo)
echo $THING_NAME

aws iot create-thing --thing-name $THING_NAME

aws iot attach-thing-principal --principal $CERTIFICATE_ARN --thing-name $THING_NAME

aws iot attach-policy \
    --target $CERTIFICATE_ARN \
    --policy-name p1

END_POINT=$(aws iot describe-endpoint --endpoint-type iot:Data-ATS --query endpointAddress --output text)

mosquitto_pub --cafile AmazonRootCA1.pem \
  --cert device.crt \
  --key device.key \
  -h $END_POINT \
  -p 8883 \
  -t t1 \
  -d \
  -m '{"id":1}' \
  -i $THING_NAME

openssl x509 -in ca.crt -text -noout
"""


def run_commands(server: RunningServer, folder: Path, commands: str) -> str:
    """Run commands in bash, which stops at the first one that fails, and return everything printed."""
    require("mosquitto_pub")
    require("aws")
    folder.mkdir(exist_ok=True)
    commands = commands.replace("AmazonRootCA1.pem", "$SEKISHO_ROOT_CA").replace("8883", str(server.mqtt_port))
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = subprocess.run(
        ["bash", "-e", "-c", f'eval "$(sekisho env --data {server.data})"\n{commands}'],
        cwd=folder,
        env=clean_environment() | {"PATH": programs},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout
    return said.stdout


@pytest.fixture
def prepared(own_server: RunningServer) -> RunningServer:
    """Start a server where p1 exists, as the article says."""
    allow(own_server.session().iot, "p1")
    return own_server


def test_the_article_with_option_1_works_twice_with_two_cas_of_one_name(
    prepared: RunningServer, tmp_path: Path
) -> None:
    for folder in ("first", "again"):
        said = run_commands(prepared, tmp_path / folder, CA + REGISTER_CA + DEVICE + OPTION_1 + REST)
        assert '"certificateMode": "SNI_ONLY"' in said
        assert '"autoRegistrationStatus": "DISABLE"' in said
        assert "received CONNACK (0)" in said
        assert "sending PUBLISH (d0, q0, r0, m1, 't1', ... (8 bytes))" in said

    iot = prepared.session().iot
    authorities = [
        iot.describe_ca_certificate(certificateId=each["certificateId"])["certificateDescription"]
        for each in iot.list_ca_certificates()["certificates"]
    ]
    assert len(authorities) == 2
    assert {each["status"] for each in authorities} == {"ACTIVE"}
    for folder in ("first", "again"):
        [device] = iot.list_certificates_by_ca(caCertificateId=certificate_id(tmp_path / folder / "ca.crt"))[
            "certificates"
        ]
        assert device["certificateId"] == certificate_id(tmp_path / folder / "device.crt")
        # The later CA of the same name does not affect the first device.
        again = f"END_POINT=localhost THING_NAME={folder}\n{REST[REST.index('mosquitto_pub') :]}"
        assert "received CONNACK (0)" in run_commands(prepared, tmp_path / folder, again)


def test_the_article_with_option_2_works_without_any_ca_registered(prepared: RunningServer, tmp_path: Path) -> None:
    said = run_commands(prepared, tmp_path / "only", CA + DEVICE + OPTION_2)
    printed = json.loads(re.search(r"\{.*\}", said, re.DOTALL)[0])  # type: ignore[index]
    assert set(printed) == {"certificateArn", "certificateId"}
    assert printed["certificateId"] == certificate_id(tmp_path / "only" / "device.crt")

    said = run_commands(prepared, tmp_path / "only", ARN_ALONE + REST)
    assert "received CONNACK (0)" in said
    iot = prepared.session().iot
    assert iot.list_ca_certificates()["certificates"] == []
    [thing] = iot.list_principal_things(principal=printed["certificateArn"])["things"]
    assert re.fullmatch("[a-z0-9]{8}", thing)


def test_a_certificate_signed_by_openssl_3_0_as_in_the_article_is_version_1(tmp_path: Path) -> None:
    said = subprocess.run(
        ["bash", "-e", "-c", f"{CA}{DEVICE}openssl version; openssl x509 -in device.crt -noout -text"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if not said.startswith(("OpenSSL 3.0", "OpenSSL 3.1")):
        pytest.skip("from OpenSSL 3.2 on the same command writes version 3")
    assert "Version: 1 (0x0)" in said


def certificate_id(file: Path) -> str:
    """Return the SHA-256 fingerprint without its colons, as a person would find the id."""
    said = subprocess.run(
        ["openssl", "x509", "-in", file, "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return said.split("=")[1].strip().replace(":", "").lower()
