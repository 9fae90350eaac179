"""Bulk registration on a real server: each line is provisioned once although the server is killed."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.e2e.running_server import RunningServer
from tests.wait import eventually

MANY = 1200
"""Lines: some twenty steps, and more than one report file."""

ENDS = 4
"""Ends of the server, evenly among the lines."""

TEMPLATE = json.dumps(
    {
        "Parameters": {"ThingName": {"Type": "String"}, "CSR": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}, "Status": "ACTIVE"},
            },
        },
    }
)


def signing_request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    return request.sign(ec.generate_private_key(ec.SECP256R1()), SHA256()).public_bytes(Encoding.PEM).decode()


def is_bad(number: int) -> bool:
    return number % 100 == 7


def wait_for(server: RunningServer, task_id: str, least: int) -> Any:
    """Return the task after so many lines, or after its end."""

    def task() -> Any:
        return server.session().iot.describe_thing_registration_task(taskId=task_id)

    def is_far_enough(task: Any) -> bool:
        done: int = task["successCount"] + task["failureCount"]
        return done >= least or bool(task["status"] != "InProgress")

    eventually(lambda: is_far_enough(task()), task, within=120)
    return task()


def reported(server: RunningServer, task_id: str, kind: Any) -> list[Any]:
    pages = server.session().iot.get_paginator("list_thing_registration_task_reports")
    lines: list[Any] = []
    for page in pages.paginate(taskId=task_id, reportType=kind):
        for link in page["resourceLinks"]:
            with urllib.request.urlopen(link) as answer:
                lines += [json.loads(line) for line in answer.read().splitlines()]
    return lines


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_each_line_is_provisioned_once_however_often_the_server_ends(own_server: RunningServer, end: str) -> None:
    bucket = own_server.data / "buckets" / "123456789012" / "fleet"
    bucket.mkdir(parents=True)
    # Each provisioning of a line issues another certificate, so a second one would be seen.
    request = signing_request()
    with (bucket / "input.json").open("w") as file:
        for number in range(1, MANY + 1):
            parameters = {"CSR": request} if is_bad(number) else {"ThingName": f"device-{number}", "CSR": request}
            file.write(json.dumps(parameters) + "\n")
    task_id = own_server.session().iot.start_thing_registration_task(
        templateBody=TEMPLATE,
        inputFileBucket="fleet",
        inputFileKey="input.json",
        roleArn="arn:aws:iam::123456789012:role/bulk",
    )["taskId"]

    interrupted = 0
    for part in range(1, ENDS + 1):
        task = wait_for(own_server, task_id, part * MANY // (ENDS + 2))
        interrupted += task["status"] == "InProgress"
        if end == "kill":
            own_server.kill()
        else:
            assert own_server.stop() == 0
        own_server.start()
        again = own_server.session().iot.describe_thing_registration_task(taskId=task_id)
        # Reports stay available.
        assert again["successCount"] >= task["successCount"]
        assert again["failureCount"] >= task["failureCount"]
    assert interrupted == ENDS

    task = wait_for(own_server, task_id, MANY)
    while task["status"] == "InProgress":
        task = wait_for(own_server, task_id, MANY)
    bad = [number for number in range(1, MANY + 1) if is_bad(number)]
    good = [number for number in range(1, MANY + 1) if not is_bad(number)]
    assert (task["status"], task["successCount"], task["failureCount"]) == ("Completed", len(good), len(bad))
    assert [each["lineNumber"] for each in reported(own_server, task_id, "ERRORS")] == bad
    results = reported(own_server, task_id, "RESULTS")
    assert [each["lineNumber"] for each in results] == good

    iot = own_server.session().iot
    listed = [
        certificate["certificateArn"]
        for page in iot.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 250})
        for certificate in page["certificates"]
    ]
    reported_arns = {each["response"]["ResourceArns"]["certificate"] for each in results}
    assert len(listed) == len(good)
    assert set(listed) == reported_arns
    for each in results[:: len(results) // 50]:
        principals = iot.list_thing_principals(thingName=f"device-{each['lineNumber']}")["principals"]
        assert principals == [each["response"]["ResourceArns"]["certificate"]]
    names = [
        thing["thingName"]
        for page in iot.get_paginator("list_things").paginate(PaginationConfig={"PageSize": 250})
        for thing in page["things"]
    ]
    assert names == [f"device-{number}" for number in good]


def test_while_a_task_runs_the_api_answers(own_server: RunningServer) -> None:
    bucket = own_server.data / "buckets" / "123456789012" / "fleet"
    bucket.mkdir(parents=True)
    request = signing_request()
    lines = [json.dumps({"ThingName": f"device-{number}", "CSR": request}) for number in range(2000)]
    (bucket / "input.json").write_text("\n".join(lines))
    iot = own_server.session().iot
    task_id = iot.start_thing_registration_task(
        templateBody=TEMPLATE, inputFileBucket="fleet", inputFileKey="input.json", roleArn="arn:aws:iam::1:role/bulk"
    )["taskId"]
    wait_for(own_server, task_id, 1)
    for number in range(5):
        iot.create_thing(thingName=f"besides-{number}")
    # Other writers were served while it ran.
    assert iot.describe_thing_registration_task(taskId=task_id)["status"] == "InProgress"
    iot.stop_thing_registration_task(taskId=task_id)
