"""A claim certificate connects, and may only provision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.certificate_files import CertificateFiles
from tests.e2e.devices import Device, Refused
from tests.e2e.running_server import RunningServer

BODY = json.dumps(
    {
        "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "lamp"}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            },
        },
    }
)


def claim(server: RunningServer, folder: Path, template: str) -> CertificateFiles:
    """Create a template and a claim for it."""
    iot = server.session().iot
    iot.create_provisioning_template(
        templateName=template, templateBody=BODY, provisioningRoleArn="arn:aws:iam::123456789012:role/p", enabled=True
    )
    made = iot.create_provisioning_claim(templateName=template)
    device_files = CertificateFiles(folder / "claim.key", folder / "claim.crt")
    device_files.key.write_text(made["keyPair"]["PrivateKey"])
    device_files.certificate.write_text(made["certificatePem"])
    assert device_files.certificate_id == made["certificateId"]
    return device_files


@pytest.mark.parametrize("server_name", ["localhost", None], ids=["SNI", "no SNI"])
def test_a_claim_may_only_provision(server: RunningServer, tmp_path: Path, server_name: str | None) -> None:
    template = f"claims-{server_name}"
    device_files = claim(server, tmp_path, template)
    with Device(server, device_files, "any client id", server_name=server_name) as device:
        provision = f"$aws/provisioning-templates/{template}/provision/json"
        assert not device.subscribe("$aws/certificates/create/json/accepted", 1).is_failure
        assert not device.subscribe(f"{provision}/rejected", 1).is_failure
        assert device.subscribe("$aws/provisioning-templates/other/provision/json/accepted").is_failure
        assert device.subscribe("hello").is_failure
        device.publish(provision, "{}", 1)
        assert device.ended.empty()


def test_a_claim_ends_with_its_template(server: RunningServer, tmp_path: Path) -> None:
    device_files = claim(server, tmp_path, "short-lived")
    device = Device(server, device_files, "claimant")
    device.connect()
    server.session().iot.delete_provisioning_template(templateName="short-lived")
    assert device.ended.get(timeout=15).is_failure
    with pytest.raises(Refused):
        Device(server, device_files, "claimant").connect()
