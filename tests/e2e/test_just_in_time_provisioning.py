"""Just-in-time provisioning: a CA with a template accepts its devices at their second attempt."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from sekisho.provisioning.jitp import RETRY_INTERVAL
from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device
from tests.e2e.devices import V5 as MQTT_5
from tests.e2e.devices import V311 as MQTT_311
from tests.e2e.devices import Device, allow
from tests.e2e.mqtt_wire import V5, V311, attempt, is_taken
from tests.e2e.running_server import RunningServer
from tests.tools import require
from tests.wait import eventually

ROLE: Final = "arn:aws:iam::123456789012:role/JITPRole"
COMMON_NAME: Final = "AWS::IoT::Certificate::CommonName"
ID: Final = "AWS::IoT::Certificate::Id"


def document(*actions: str) -> dict[str, Any]:
    """Return a policy for one device as in a template: it is limited to its thing's name."""
    thing = "${iot:Connection.Thing.ThingName}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"arn:aws:iot:*:*:client/{thing}"},
            {"Effect": "Allow", "Action": list(actions), "Resource": f"arn:aws:iot:*:*:topic/fleet/{thing}"},
        ],
    }


def template(thing: Mapping[str, Any] | None = None, policy: Mapping[str, Any] | None = None) -> str:
    """Return the Developer Guide's template with a thing type, a group and a policy, or with the given ones."""
    given = policy or {"PolicyName": "fleet", "PolicyDocument": json.dumps(document("iot:Publish"))}
    return json.dumps(
        {
            "Parameters": {COMMON_NAME: {"Type": "String"}, ID: {"Type": "String"}},
            "Resources": {
                "thing": {
                    "Type": "AWS::IoT::Thing",
                    "Properties": {"ThingName": {"Ref": COMMON_NAME}, **(thing or {})},
                },
                "certificate": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateId": {"Ref": ID}, "Status": "ACTIVE"},
                },
                "policy": {"Type": "AWS::IoT::Policy", "Properties": given},
            },
        },
        indent=2,
    )


def trust(
    server: RunningServer, folder: Path, name: str, config: Mapping[str, str], *, mode: str = "SNI_ONLY"
) -> CertificateFiles:
    """Register a CA that registers automatically, with this registration configuration."""
    iot = server.session().iot
    ca = new_ca(folder, name)
    proof: dict[str, Any] = {"certificateMode": "SNI_ONLY"}
    if mode == "DEFAULT":
        code = iot.get_registration_code()["registrationCode"]
        proof = {"verificationCertificate": new_device(folder, ca, code).pem}
    configured: dict[str, Any] = {"registrationConfig": config, **proof}
    iot.register_ca_certificate(caCertificate=ca.pem, setAsActive=True, allowAutoRegistration=True, **configured)
    return ca


def inline(body: str) -> dict[str, str]:
    return {"templateBody": body, "roleArn": ROLE}


def by_name(server: RunningServer, name: str, body: str, *, enabled: bool = True) -> dict[str, str]:
    server.session().iot.create_provisioning_template(
        templateName=name, templateBody=body, provisioningRoleArn=ROLE, type="JITP", enabled=enabled
    )
    return {"templateName": name}


def status(server: RunningServer, device: CertificateFiles) -> str:
    described = server.session().iot.describe_certificate(certificateId=device.certificate_id)
    return described["certificateDescription"]["status"]


def refusals(server: RunningServer, device: CertificateFiles, *, attempts: int) -> Sequence[Mapping[str, Any]]:
    """Return the log lines about refused connections of a device, when there are so many."""

    def lines() -> list[dict[str, Any]]:
        return server.log_events("connection_refused", certificate_id=device.certificate_id)

    eventually(lambda: len(lines()) >= attempts)
    return lines()


@pytest.fixture(scope="module")
def fleet(server: RunningServer) -> RunningServer:
    """Return the server, with the thing type and the groups of these templates."""
    iot = server.session().iot
    iot.create_thing_type(thingTypeName="kettle")
    iot.create_thing_group(thingGroupName="building")
    iot.create_thing_group(thingGroupName="kitchen", parentGroupName="building")
    return server


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("server_name", ["localhost", None], ids=["SNI", "no SNI"])
@pytest.mark.parametrize("named", [False, True], ids=["inline", "by name"])
def test_the_first_connection_is_closed_and_the_second_may_publish(
    fleet: RunningServer, tmp_path: Path, named: bool, server_name: str | None, version: int
) -> None:
    mode = "SNI_ONLY" if server_name else "DEFAULT"
    which = f"{mode}-{version}-{named}"
    body = template({"ThingTypeName": "kettle", "ThingGroups": ["kitchen"], "AttributePayload": {"site": "north"}})
    config = by_name(fleet, which, body) if named else inline(body)
    ca = trust(fleet, tmp_path, f"Fleet {which}", config, mode=mode)
    name = f"kettle-{which}"
    device = new_device(tmp_path, ca, name)
    if server_name is None:
        # The leaf first, then the CA, as in the Developer Guide.
        device.certificate.write_text(device.pem + ca.pem)
    iot = fleet.session().iot

    assert attempt(fleet, device, name, version, server_name) == []

    refused = fleet.wait_for_refusal(certificate_id=device.certificate_id)
    assert (refused["reason"], refused["client_id"]) == ("DEVICE_CERTIFICATE_PROVISIONED", name)
    described = iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
    assert (described["status"], described["certificateMode"]) == ("ACTIVE", mode)
    assert described["caCertificateId"] == ca.certificate_id
    thing = iot.describe_thing(thingName=name)
    assert (thing["thingTypeName"], thing["attributes"]) == ("kettle", {"site": "north"})
    assert [each["groupName"] for each in iot.list_thing_groups_for_thing(thingName=name)["thingGroups"]] == ["kitchen"]
    assert iot.list_thing_principals(thingName=name)["principals"] == [described["certificateArn"]]
    attached = iot.list_attached_policies(target=described["certificateArn"])["policies"]
    assert [each["policyName"] for each in attached] == ["fleet"]

    with Device(
        fleet, device, name, version=MQTT_5 if version == V5 else MQTT_311, server_name=server_name
    ) as connected:
        # At QoS 1, because a publish that no policy allows is not acknowledged and closes the connection.
        connected.publish(f"fleet/{name}", "hot", 1)
    assert len(refusals(fleet, device, attempts=1)) == 1


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_pub_fails_once_and_then_publishes(fleet: RunningServer, tmp_path: Path, version: str) -> None:
    name = f"mosquitto-{version}"
    device = new_device(tmp_path, trust(fleet, tmp_path, f"Fleet {name}", inline(template())), name)
    command = [
        require("mosquitto_pub"), "-V", version, "-h", "localhost", "-p", str(fleet.mqtt_port), "--cafile",
        fleet.root_ca, "--cert", str(device.certificate), "--key", str(device.key), "-i", name, "-q", "1",
        "-t", f"fleet/{name}", "-m", "hot",
    ]  # fmt: skip
    first = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert first.returncode != 0
    subprocess.run(command, check=True, timeout=30)
    assert [line["reason"] for line in refusals(fleet, device, attempts=1)] == ["DEVICE_CERTIFICATE_PROVISIONED"]


def test_for_a_ca_with_a_template_no_registration_event_is_published(fleet: RunningServer, tmp_path: Path) -> None:
    works, lacks = template(), template(policy={"PolicyName": "never"})
    devices = [
        new_device(tmp_path, trust(fleet, tmp_path, f"Quiet {name}", inline(body)), f"quiet-{name}")
        for name, body in (("works", works), ("lacks", lacks))
    ]
    listening = new_device(tmp_path, trust(fleet, tmp_path, "Listener", inline(template())), "listener")
    attempt(fleet, listening, "listener")
    arn = fleet.session().iot.describe_certificate(certificateId=listening.certificate_id)["certificateDescription"]
    fleet.session().iot.attach_policy(policyName=allow(fleet.session().iot, "listens"), target=arn["certificateArn"])
    with Device(fleet, listening, "listener") as listener:
        listener.subscribe("$aws/events/certificates/registered/+", 1)
        listener.subscribe("t/end", 1)
        for _ in range(2):
            for device in devices:
                attempt(fleet, device, "quiet")
        listener.publish("t/end", "end", 1)
        assert listener.message().topic == "t/end"


def test_a_failing_template_is_reported_with_its_line_and_works_after_its_correction(
    fleet: RunningServer, tmp_path: Path
) -> None:
    iot = fleet.session().iot
    body = template(policy={"PolicyName": "made-later"})
    line = next(number for number, each in enumerate(body.splitlines(), 1) if each.strip().startswith('"policy"'))
    ca = trust(fleet, tmp_path, "Unfinished", by_name(fleet, "unfinished", body))
    device = new_device(tmp_path, ca, "early")
    why = (
        f"resource 'policy', line {line} of the template: there is no policy made-later. Create it, or give its "
        f"PolicyDocument in the template. (certificateId={device.certificate_id})"
    )

    begun = time.monotonic()
    assert attempt(fleet, device, "early") == []

    refused = fleet.wait_for_refusal(certificate_id=device.certificate_id)
    assert (refused["reason"], refused["detail"]) == ("PROVISIONING_FAILED", why)
    said = fleet.wait_for_log("device_not_provisioned", certificate_id=device.certificate_id)
    assert (said["level"], said["reason"], said["ca_certificate_id"]) == ("error", why, ca.certificate_id)
    assert status(fleet, device) == "PENDING_ACTIVATION"
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName="early")

    allow(iot, "made-later")
    answers = [attempt(fleet, device, "early")]
    until_again = RETRY_INTERVAL.total_seconds()
    if time.monotonic() - begun < until_again:
        # Too early to try again: the reason is that of the last attempt.
        assert [each["detail"] for each in refusals(fleet, device, attempts=2)] == [why] * 2
    while not is_taken(answers[-1]):
        assert time.monotonic() - begun < until_again + 10
        # A device waits between its attempts.
        time.sleep(0.25)
        answers.append(attempt(fleet, device, "early"))
    assert time.monotonic() - begun >= until_again
    reasons = [each["reason"] for each in refusals(fleet, device, attempts=len(answers))]
    assert reasons == ["PROVISIONING_FAILED"] * (len(reasons) - 1) + ["DEVICE_CERTIFICATE_PROVISIONED"]
    # Nothing is tried between two attempts.
    assert len(fleet.log_events("device_not_provisioned", certificate_id=device.certificate_id)) == 1
    assert iot.list_thing_principals(thingName="early")["principals"]


@pytest.mark.parametrize(
    ("config", "change", "reason"),
    [
        ("inline", {"newStatus": "INACTIVE"}, "CA_INACTIVE"),
        ("inline", {"newAutoRegistrationStatus": "DISABLE"}, "CA_AUTO_REGISTRATION_DISABLED"),
        ("inline", {"removeAutoRegistration": True}, "DEVICE_CERTIFICATE_PENDING_ACTIVATION"),
        ("not enabled", {}, "PROVISIONING_FAILED"),
    ],
)
def test_a_ca_without_automatic_registration_provisions_no_device(
    fleet: RunningServer, tmp_path: Path, config: str, change: dict[str, Any], reason: str
) -> None:
    given = by_name(fleet, "sleeping", template(), enabled=False) if config == "not enabled" else inline(template())
    ca = trust(fleet, tmp_path, f"Wavering {reason}", given)
    if change:
        fleet.session().iot.update_ca_certificate(certificateId=ca.certificate_id, **change)
    device = new_device(tmp_path, ca, f"wavering-{reason}")
    for _ in range(2):
        assert attempt(fleet, device, "wavering") == []
    fleet.wait_for_refusal(certificate_id=device.certificate_id, reason=reason)
    iot = fleet.session().iot
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName=f"wavering-{reason}")


def test_a_waiting_device_is_refused_with_the_reason_while_its_ca_is_inactive(
    fleet: RunningServer, tmp_path: Path
) -> None:
    ca = trust(fleet, tmp_path, "Paused", inline(template(policy={"PolicyName": "never"})))
    device = new_device(tmp_path, ca, "paused")
    attempt(fleet, device, "paused")
    fleet.session().iot.update_ca_certificate(certificateId=ca.certificate_id, newStatus="INACTIVE")
    assert attempt(fleet, device, "paused") == []
    refused = fleet.wait_for_log(
        "connection_refused", certificate_id=device.certificate_id, reason="DEVICE_CERTIFICATE_PENDING_ACTIVATION"
    )
    assert f"its CA certificate {ca.certificate_id} is INACTIVE" in refused["detail"]


def test_a_device_has_only_the_rights_that_its_template_gives(fleet: RunningServer, tmp_path: Path) -> None:
    device = new_device(tmp_path, trust(fleet, tmp_path, "Modest", inline(template())), "modest")
    assert attempt(fleet, device, "modest") == []
    assert not is_taken(attempt(fleet, device, "another-client"))
    assert is_taken(attempt(fleet, device, "modest"))
