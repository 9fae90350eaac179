"""Certificate providers: the built-in signer and a user's function sign requests of boto3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_key, openssl
from tests.e2e.devices import Device, allow
from tests.e2e.running_server import RunningServer

# A function as for AWS Lambda, which calls openssl.
FUNCTION = """
import subprocess


def sign(event, context):
    command = ["openssl", "x509", "-req", "-CA", "{ca}", "-CAkey", "{key}", "-CAcreateserial", "-days", "30", "-sha256"]
    request = event["certificateSigningRequest"]
    signed = subprocess.run(command, input=request, capture_output=True, text=True, check=True)
    return {{"certificatePem": signed.stdout}}
"""


@pytest.fixture(params=["ca_certificate", "function"])
def signed(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Run a server with a signing handler; yields it with the CA that signs."""
    data = tmp_path / "data"
    data.mkdir()
    ca = new_ca(tmp_path)
    ca.key.chmod(0o600)
    if request.param == "function":
        (data / "own.py").write_text(FUNCTION.format(ca=ca.certificate, key=ca.key))
        how = 'function = "own:sign"'
    else:
        how = f'ca_certificate = "{ca.certificate}"\nca_key = "{ca.key}"'
    (data / "sekisho.toml").write_text(f"[handlers.sign]\n{how}\n")
    server = RunningServer(data).start()
    try:
        yield server, ca
    finally:
        server.stop()


def test_a_certificate_for_a_request_is_signed_by_the_users_ca_and_connects(
    signed: tuple[RunningServer, CertificateFiles], tmp_path: Path
) -> None:
    server, ca = signed
    iot = server.session().iot
    iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
    iot.create_certificate_provider(
        certificateProviderName="own-ca",
        lambdaFunctionArn="arn:aws:lambda:eu-central-1:123456789012:function:sign",
        accountDefaultForOperations=["CreateCertificateFromCsr"],
    )
    device_files = CertificateFiles(new_key(tmp_path / "device.key", "P-256"), tmp_path / "device.crt")
    request = openssl("req", "-new", "-key", device_files.key, "-subj", "/CN=lamp")
    made = iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=True)
    device_files.certificate.write_text(made["certificatePem"])
    openssl("verify", "-CAfile", ca.certificate, device_files.certificate)
    described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert described["caCertificateId"] == ca.certificate_id
    iot.attach_policy(policyName=allow(iot, "anything"), target=made["certificateArn"])
    with Device(server, device_files, "lamp") as device:
        device.publish("hello", "world", 1)
