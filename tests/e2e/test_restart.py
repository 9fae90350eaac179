"""What the API has acknowledged exists after a restart, and after kill -9 at any moment."""

from __future__ import annotations

import threading
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from tests.e2e.certificate_files import new_ca, new_self_signed
from tests.e2e.devices import Device, allow, register
from tests.e2e.running_server import RunningServer
from tests.wait import eventually

WRITERS = 4


def test_a_restart_keeps_everything_and_devices_connect_again(own_server: RunningServer, tmp_path: Path) -> None:
    clients = own_server.session()
    ca, device_files = new_ca(tmp_path), new_self_signed(tmp_path)
    registered_ca = clients.iot.register_ca_certificate(
        caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, tags=[{"Key": "site", "Value": "north"}]
    )
    arn = register(clients, device_files, allow(clients.iot, "anything"))
    clients.iot.create_thing(thingName="kettle", attributePayload={"attributes": {"colour": "red"}})
    clients.iot.attach_thing_principal(thingName="kettle", principal=arn)
    code = clients.iot.get_registration_code()["registrationCode"]
    root = Path(own_server.root_ca).read_bytes()

    def facts() -> list[object]:
        iot = own_server.session().iot
        answers = [
            iot.describe_ca_certificate(certificateId=registered_ca["certificateId"]),
            iot.list_tags_for_resource(resourceArn=registered_ca["certificateArn"]),
            iot.describe_certificate(certificateId=device_files.certificate_id),
            iot.list_attached_policies(target=arn),
            iot.describe_thing(thingName="kettle"),
            iot.list_principal_things(principal=arn),
            iot.get_policy(policyName="anything"),
            iot.get_registration_code(),
        ]
        return [{name: value for name, value in each.items() if name != "ResponseMetadata"} for each in answers]

    before = facts()
    assert own_server.stop() == 0
    own_server.start()

    assert facts() == before
    assert own_server.session().iot.get_registration_code()["registrationCode"] == code
    # A new root would exclude every device that has the old one.
    assert Path(own_server.root_ca).read_bytes() == root
    with Device(own_server, device_files, "kettle") as device:
        device.publish("t1", "still here", 1)


def test_kill_9_loses_nothing_acknowledged_by_the_api(own_server: RunningServer) -> None:
    acknowledged: list[str] = []
    lock = threading.Lock()

    iot = own_server.session().iot

    def write(writer: int) -> None:
        ready.wait()
        number = 0
        while True:
            name = f"thing-{writer}-{number}"
            try:
                iot.create_thing(thingName=name, attributePayload={"attributes": {"number": str(number)}})
            except (BotoCoreError, ClientError):
                return
            with lock:
                acknowledged.append(name)
            number += 1

    ready = threading.Barrier(WRITERS + 1)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    ready.wait()
    eventually(lambda: len(acknowledged) >= 100, lambda: f"acknowledged: {len(acknowledged)}")
    own_server.kill()
    for writer in writers:
        writer.join(30)
    own_server.start()

    stored = {
        thing["thingName"]: thing["attributes"]["number"]
        for page in iot.get_paginator("list_things").paginate()
        for thing in page["things"]
    }
    assert set(acknowledged) <= set(stored)
    # At most one request of each writer was in progress; it may be complete without an answer.
    assert len(stored) <= len(acknowledged) + WRITERS
    assert all(name.rsplit("-", 1)[1] == number for name, number in stored.items())
