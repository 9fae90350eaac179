"""A connected device gains and loses permissions through the groups of its thing, without connecting again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sekisho.thing_groups.store import MAX_NAMED_THINGS
from tests import x509
from tests.e2e.certificate_files import in_files
from tests.e2e.devices import WITHIN, Device, allow, register
from tests.e2e.running_server import RunningServer
from tests.wait import eventually

GRANTED, NOT_AUTHORIZED = 0x00, 0x87

CONNECT: dict[str, Any] = {"Effect": "Allow", "Action": ["iot:Connect", "iot:Receive"], "Resource": "*"}
SUBSCRIBE: dict[str, Any] = {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*"}
NO_CONNECT: dict[str, Any] = {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"}


def test_a_connected_device_gains_and_loses_a_permission_through_the_policy_of_a_group_above_its_own(
    server: RunningServer, tmp_path: Path
) -> None:
    clients = server.session()
    iot = clients.iot
    allow(iot, "lamps-connect", CONNECT)
    allow(iot, "lamps-subscribe", SUBSCRIBE)
    allow(iot, "lamps-stay-out", NO_CONNECT)
    lights = iot.create_thing_group(thingGroupName="lights")["thingGroupArn"]
    iot.create_thing_group(thingGroupName="red", parentGroupName="lights")
    device_files = {name: in_files(tmp_path, x509.new_device(None)) for name in ("lamp", "other")}
    for name in device_files:
        principal = register(clients, device_files[name], "lamps-connect")
        iot.create_thing(thingName=name)
        iot.attach_thing_principal(thingName=name, principal=principal)
    iot.attach_policy(policyName="lamps-subscribe", target=lights)

    with Device(server, device_files["lamp"], "lamp") as lamp, Device(server, device_files["other"], "other") as other:

        def subscribe(device: Device) -> int:
            return device.subscribe("a/b").value

        assert subscribe(lamp) == NOT_AUTHORIZED
        iot.add_thing_to_thing_group(thingGroupName="red", thingName="lamp")
        eventually(lambda: subscribe(lamp) == GRANTED, "it is in the group now")
        iot.detach_policy(policyName="lamps-subscribe", target=lights)
        eventually(lambda: subscribe(lamp) == NOT_AUTHORIZED, "the group has lost its policy")
        iot.attach_policy(policyName="lamps-subscribe", target=lights)
        eventually(lambda: subscribe(lamp) == GRANTED, "the group has its policy again")
        iot.remove_thing_from_thing_group(thingGroupName="red", thingName="lamp")
        eventually(lambda: subscribe(lamp) == NOT_AUTHORIZED, "it has left the group")
        assert subscribe(other) == NOT_AUTHORIZED

        iot.add_thing_to_thing_group(thingGroupName="red", thingName="lamp")
        iot.attach_policy(policyName="lamps-stay-out", target=lights)
        assert lamp.ended.get(timeout=WITHIN).value == NOT_AUTHORIZED
        assert subscribe(other) == NOT_AUTHORIZED, "who is not in the group stays"


@pytest.mark.parametrize("client_id", ["camera", "another"])
def test_policies_of_a_group_apply_where_the_client_id_is_the_name_of_the_thing(
    server: RunningServer, tmp_path: Path, client_id: str
) -> None:
    clients = server.session()
    iot = clients.iot
    allow(iot, f"{client_id}-connect", CONNECT)
    allow(iot, f"{client_id}-subscribe", SUBSCRIBE)
    device_files = in_files(tmp_path, x509.new_device(None))
    principal = register(clients, device_files, f"{client_id}-connect")
    iot.create_thing(thingName="camera")
    iot.attach_thing_principal(thingName="camera", principal=principal)
    group = iot.create_thing_group(thingGroupName=f"{client_id}-cameras")
    iot.add_thing_to_thing_group(thingGroupName=group["thingGroupName"], thingName="camera")
    iot.attach_policy(policyName=f"{client_id}-subscribe", target=group["thingGroupArn"])
    with Device(server, device_files, client_id) as device:
        wanted = GRANTED if client_id == "camera" else NOT_AUTHORIZED
        assert device.subscribe("a/b").value == wanted
    iot.delete_thing_group(thingGroupName=group["thingGroupName"])


def test_a_changed_policy_of_a_large_group_applies_to_all_its_things(server: RunningServer, tmp_path: Path) -> None:
    clients = server.session()
    iot = clients.iot
    allow(iot, "fleet-connect", CONNECT)
    allow(iot, "fleet-stay-out", NO_CONNECT)
    fleet = iot.create_thing_group(thingGroupName="fleet")["thingGroupArn"]
    for number in range(MAX_NAMED_THINGS + 1):
        iot.create_thing(thingName=f"truck-{number}")
        iot.add_thing_to_thing_group(thingGroupName="fleet", thingName=f"truck-{number}")
    last = f"truck-{MAX_NAMED_THINGS}"
    device_files = in_files(tmp_path, x509.new_device(None))
    principal = register(clients, device_files, "fleet-connect")
    iot.attach_thing_principal(thingName=last, principal=principal)
    with Device(server, device_files, last) as truck:
        iot.attach_policy(policyName="fleet-stay-out", target=fleet)
        assert truck.ended.get(timeout=WITHIN).value == NOT_AUTHORIZED
    iot.detach_policy(policyName="fleet-stay-out", target=fleet)
    with Device(server, device_files, last):
        pass
