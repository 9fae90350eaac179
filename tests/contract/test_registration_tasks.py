"""Bulk registration, as boto3 and the AWS CLI see it."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.contract.arrange import ANYTHING
from tests.contract.conftest import Account
from tests.wait import eventually

ROLE = "arn:aws:iam::123456789012:role/bulk"
TEMPLATE = json.dumps(
    {
        "Parameters": {
            "ThingName": {"Type": "String"},
            "SerialNumber": {"Type": "String"},
            "CSR": {"Type": "String"},
        },
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Ref": "ThingName"},
                    "AttributePayload": {"serial": {"Ref": "SerialNumber"}},
                },
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}, "Status": "ACTIVE"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "fleet"}},
        },
    },
    indent=1,
)
THING_ONLY = json.dumps(
    {
        "Parameters": {"ThingName": {"Type": "String"}},
        "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}}},
    }
)


def signing_request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    return request.sign(ec.generate_private_key(ec.SECP256R1()), SHA256()).public_bytes(Encoding.PEM).decode()


def put(account: Account, *lines: Any, key: str = "fleet/input.json") -> str:
    """Put an input into a bucket of the account; returns the bucket's name."""
    bucket = f"bucket-{account.realm.account_id}"
    file = account.server.buckets / account.realm.account_id / bucket / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return bucket


def start(account: Account, bucket: str, template: str = TEMPLATE, key: str = "fleet/input.json") -> str:
    return account.iot.start_thing_registration_task(
        templateBody=template, inputFileBucket=bucket, inputFileKey=key, roleArn=ROLE
    )["taskId"]


def ended(account: Account, task_id: str) -> Any:
    """Return the task after it has ended."""

    def task() -> Any:
        return account.iot.describe_thing_registration_task(taskId=task_id)

    eventually(lambda: task()["status"] not in ("InProgress", "Cancelling"), task, within=60)
    return task()


def fetched(account: Account, task_id: str, kind: Any) -> list[Any]:
    """Return every line of every report, fetched without a signature."""
    links: list[str] = []
    for page in account.iot.get_paginator("list_thing_registration_task_reports").paginate(
        taskId=task_id, reportType=kind, PaginationConfig={"PageSize": 1}
    ):
        assert page["reportType"] == kind
        links += page["resourceLinks"]
    assert len(set(links)) == len(links)
    lines: list[Any] = []
    for link in links:
        with urllib.request.urlopen(link) as answer:
            lines += [json.loads(line) for line in answer.read().splitlines()]
    return lines


def refusal(call: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_each_line_is_a_device_or_an_error(account: Account) -> None:
    account.iot.create_policy(policyName="fleet", policyDocument=ANYTHING)
    lines: list[Any] = [
        {"ThingName": f"device-{number}", "SerialNumber": str(number), "CSR": signing_request()}
        for number in range(1, 301)
    ]
    lines[9] = {"ThingName": "device-10", "CSR": signing_request()}
    lines[99] = '{"ThingName": "device-100", '
    lines[149] = ""
    lines[199] = {"ThingName": "device-200", "SerialNumber": "200", "CSR": "none"}
    lines[299] = {"ThingName": "device 300", "SerialNumber": "300", "CSR": signing_request()}
    task_id = start(account, put(account, *lines))

    task = ended(account, task_id)
    assert (task["status"], task["successCount"], task["failureCount"]) == ("Completed", 295, 4)
    assert task["percentageProgress"] == 100
    assert (task["inputFileKey"], task["roleArn"], task["templateBody"]) == ("fleet/input.json", ROLE, TEMPLATE)
    assert task["creationDate"] <= task["lastModifiedDate"]
    assert "message" not in task

    bad = {10, 100, 150, 200, 300}
    results = {each["lineNumber"]: each["response"] for each in fetched(account, task_id, "RESULTS")}
    assert sorted(results) == [number for number in range(1, 301) if number not in bad]
    for number in (1, 9, 299):
        arns = results[number]["ResourceArns"]
        assert account.iot.describe_thing(thingName=f"device-{number}")["attributes"] == {"serial": str(number)}
        assert account.iot.list_thing_principals(thingName=f"device-{number}")["principals"] == [arns["certificate"]]
        certificate_id = arns["certificate"].rpartition("/")[2]
        described = account.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        assert described["status"] == "ACTIVE"
        assert described["certificatePem"] == results[number]["CertificatePem"]
        attached = account.iot.list_attached_policies(target=arns["certificate"])["policies"]
        assert [policy["policyName"] for policy in attached] == ["fleet"]
        assert arns["thing"].endswith(f":thing/device-{number}")

    errors = {each["lineNumber"]: each for each in fetched(account, task_id, "ERRORS")}
    assert sorted(errors) == sorted(bad - {150})
    assert "SerialNumber" in errors[10]["errorMessage"]
    assert '"SerialNumber"' in TEMPLATE.splitlines()[errors[10]["templateLine"] - 1]
    assert "not JSON" in errors[100]["errorMessage"]
    assert errors[100]["errorCode"] == "InvalidRequestException"
    assert errors[200]["errorCode"] == "ResourceRegistrationFailureException"
    assert "certificate" in errors[200]["errorMessage"]
    assert "device 300" in errors[300]["errorMessage"]
    # A line that failed leaves nothing behind.
    assert refusal(account.iot.describe_thing, thingName="device-200")[0] == "ResourceNotFoundException"


def test_reports_of_many_lines_have_several_files(account: Account) -> None:
    lines = [{"ThingName": f"t{number}"} for number in range(2100)]
    task_id = start(account, put(account, *lines), THING_ONLY)
    assert ended(account, task_id)["successCount"] == 2100
    links = account.iot.list_thing_registration_task_reports(taskId=task_id, reportType="RESULTS")["resourceLinks"]
    assert [link.rpartition("/")[2] for link in links] == [f"results-000{number}.json" for number in (1, 2, 3)]
    assert [each["lineNumber"] for each in fetched(account, task_id, "RESULTS")] == list(range(1, 2101))
    assert account.iot.list_thing_registration_task_reports(taskId=task_id, reportType="ERRORS")["resourceLinks"] == []


def test_a_link_works_only_unchanged(account: Account) -> None:
    first = start(account, put(account, {"ThingName": "t"}), THING_ONLY)
    ended(account, first)
    second = start(account, put(account, {"ThingName": "t"}), THING_ONLY)
    ended(account, second)
    (link,) = account.iot.list_thing_registration_task_reports(taskId=first, reportType="RESULTS")["resourceLinks"]
    assert link.startswith(f"{account.server.url}/")
    with urllib.request.urlopen(link) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
    for other in (link.replace(first, second), link[:-16] + "x" + link[-16:], link.replace("0001", "0002"), link + "x"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(other)
        assert refused.value.code == 404
        refused.value.close()


def test_a_missing_input_fails_the_task(account: Account) -> None:
    task = ended(account, start(account, "no-such-bucket", THING_ONLY))
    assert task["status"] == "Failed"
    assert "no-such-bucket" in task["message"]
    assert "No such file" in task["message"]


def test_a_key_cannot_lead_out_of_its_bucket(account: Account) -> None:
    bucket = put(account, {"ThingName": "t"})
    task = ended(account, start(account, bucket, THING_ONLY, key="../../sekisho.db"))
    assert (task["status"], task["failureCount"]) == ("Failed", 0)
    assert "'..'" in task["message"]


def test_a_bucket_of_another_account_is_not_read(account: Account, other_account: Account) -> None:
    bucket = put(account, {"ThingName": "theirs"})
    other = other_account.realm.account_id
    for named, key in ((bucket, "fleet/input.json"), (account.realm.account_id, f"{bucket}/fleet/input.json")):
        task = ended(other_account, start(other_account, named, THING_ONLY, key=key))
        assert (task["status"], task["successCount"]) == ("Failed", 0)
        assert f"Its path is {other}/{named}/{key} in the server's bulk_folder" in task["message"]
    link = account.server.buckets / other / "link"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(account.server.buckets / account.realm.account_id / bucket)
    task = ended(other_account, start(other_account, "link", THING_ONLY))
    assert (task["status"], task["successCount"]) == ("Failed", 0)
    assert "link is a symbolic link" in task["message"]
    assert other_account.iot.list_things()["things"] == []


def test_an_invalid_template_is_refused_at_once(account: Account) -> None:
    code, message = refusal(
        account.iot.start_thing_registration_task,
        templateBody='{"Resources": {}}',
        inputFileBucket="bucket",
        inputFileKey="key",
        roleArn=ROLE,
    )
    assert code == "InvalidRequestException"
    assert "line 1" in message
    assert account.iot.list_thing_registration_tasks()["taskIds"] == []


def _slow(account: Account) -> str:
    """Start a task that runs until it is stopped."""
    return start(account, put(account, *({"ThingName": f"slow-{number}"} for number in range(20_000))), THING_ONLY)


def test_an_account_has_one_task_at_a_time_in_all_its_regions(account: Account, other_account: Account) -> None:
    task_id = _slow(account)
    request = {"templateBody": THING_ONLY, "inputFileBucket": "abc", "inputFileKey": "key", "roleArn": ROLE}
    code, message = refusal(account.elsewhere("us-east-1").iot.start_thing_registration_task, **request)
    assert code == "InvalidRequestException"
    assert task_id in message
    ended(other_account, start(other_account, put(other_account, {"ThingName": "t"}), THING_ONLY))
    assert account.iot.describe_thing_registration_task(taskId=task_id)["status"] == "InProgress"
    account.iot.stop_thing_registration_task(taskId=task_id)
    ended(account, task_id)
    ended(account, start(account, put(account, {"ThingName": "t"}), THING_ONLY))


def test_a_stopped_task_keeps_its_results(account: Account) -> None:
    task_id = _slow(account)
    eventually(lambda: account.iot.describe_thing_registration_task(taskId=task_id)["successCount"])
    account.iot.stop_thing_registration_task(taskId=task_id)
    task = ended(account, task_id)
    assert task["status"] == "Cancelled"
    assert 0 < task["successCount"] < 20_000
    assert 0 <= task["percentageProgress"] < 100
    assert len(fetched(account, task_id, "RESULTS")) == task["successCount"]
    account.iot.describe_thing(thingName=f"slow-{task['successCount'] - 1}")
    assert refusal(account.iot.describe_thing, thingName=f"slow-{task['successCount']}")[0] == (
        "ResourceNotFoundException"
    )
    code, message = refusal(account.iot.stop_thing_registration_task, taskId=task_id)
    assert code == "InvalidRequestException"
    assert "Cancelled" in message


def test_tasks_are_listed_by_status_and_in_pages(account: Account) -> None:
    bucket = put(account, {"ThingName": "t"})
    done = [start(account, bucket, THING_ONLY)]
    ended(account, done[0])
    failed = start(account, "no-such-bucket", THING_ONLY)
    ended(account, failed)
    done.append(start(account, bucket, THING_ONLY))
    ended(account, done[1])
    first = account.iot.list_thing_registration_tasks(maxResults=2)
    rest = account.iot.list_thing_registration_tasks(maxResults=2, nextToken=first["nextToken"])
    assert first["taskIds"] + rest["taskIds"] == [done[0], failed, done[1]]
    assert account.iot.list_thing_registration_tasks(status="Completed")["taskIds"] == done
    assert account.iot.list_thing_registration_tasks(status="InProgress")["taskIds"] == []


def test_a_task_is_visible_only_in_its_account_and_region(account: Account, other_account: Account) -> None:
    task_id = start(account, put(account, {"ThingName": "t"}), THING_ONLY)
    ended(account, task_id)
    for other in (other_account, account.elsewhere("us-east-1")):
        for call in (other.iot.describe_thing_registration_task, other.iot.stop_thing_registration_task):
            assert refusal(call, taskId=task_id)[0] == "ResourceNotFoundException"
        # The operation has no ResourceNotFoundException.
        code, _ = refusal(other.iot.list_thing_registration_task_reports, taskId=task_id, reportType="RESULTS")
        assert code == "InvalidRequestException"
        assert other.iot.list_thing_registration_tasks()["taskIds"] == []


def test_the_aws_cli_starts_a_task_and_finds_its_report(account: Account, tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text(THING_ONLY)
    bucket = put(account, {"ThingName": "cli"})
    started = account.aws(
        "iot",
        "start-thing-registration-task",
        "--template-body",
        f"file://{template}",
        "--input-file-bucket",
        bucket,
        "--input-file-key",
        "fleet/input.json",
        "--role-arn",
        ROLE,
    )
    assert started.returncode == os.EX_OK, started.stderr
    task_id = json.loads(started.stdout)["taskId"]
    ended(account, task_id)
    listed = account.aws(
        "iot", "list-thing-registration-task-reports", "--task-id", task_id, "--report-type", "RESULTS"
    )
    (link,) = json.loads(listed.stdout)["resourceLinks"]
    with urllib.request.urlopen(link) as answer:
        (line,) = answer.read().splitlines()
    assert json.loads(line)["response"]["ResourceArns"]["thing"].endswith(":thing/cli")
