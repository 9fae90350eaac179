"""Policies, their versions and targets, as boto3 and the AWS CLI see them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sekisho.change import Change, ChangeKind
from tests.contract.arrange import ANYTHING, add_certificate, allow, document
from tests.contract.conftest import Account

IDENTITY = "eu-central-1:0a1b2c3d-0000-4000-8000-00000000abcd"
ONLY_CONNECT = document(allow("iot:Connect", "*"))


def test_a_policy_is_made_read_and_deleted(account: Account) -> None:
    iot = account.iot
    made = iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)
    policy_arn = f"arn:aws:iot:eu-central-1:{account.realm.account_id}:policy/telemetry"
    assert (made["policyArn"], made["policyVersionId"], made["policyDocument"]) == (policy_arn, "1", ANYTHING)
    read = iot.get_policy(policyName="telemetry")
    assert (read["policyDocument"], read["defaultVersionId"]) == (ANYTHING, "1")
    assert abs(read["creationDate"] - datetime.now(UTC)) < timedelta(minutes=5)
    assert read["lastModifiedDate"] == read["creationDate"]
    assert read["generationId"]
    iot.delete_policy(policyName="telemetry")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.get_policy(policyName="telemetry")


def test_a_document_is_kept_unchanged(account: Account) -> None:
    spaced = json.dumps(json.loads(ANYTHING), indent=3) + "\r\n\t"
    account.iot.create_policy(policyName="telemetry", policyDocument=spaced)
    assert account.iot.get_policy(policyName="telemetry")["policyDocument"] == spaced


def test_an_existing_name_conflicts(account: Account) -> None:
    iot = account.iot
    made = iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as refusal:
        iot.create_policy(policyName="telemetry", policyDocument=ONLY_CONNECT)
    assert refusal.value.response["Error"]["Message"] == (
        "Policy cannot be created - name already exists (name=telemetry)"
    )
    assert refusal.value.response["resourceArn"] == made["policyArn"]


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "{",
        "[]",
        '{"Version":"2012-10-17"}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps","Action":"iot:*","Resource":"*"}]}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*"}]}',
        '{"Version":"1999-01-01","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}',
    ],
)
def test_an_invalid_document_is_malformed(account: Account, malformed: str) -> None:
    iot = account.iot
    with pytest.raises(iot.exceptions.MalformedPolicyException) as refusal:
        iot.create_policy(policyName="telemetry", policyDocument=malformed)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)
    with pytest.raises(iot.exceptions.MalformedPolicyException):
        iot.create_policy_version(policyName="telemetry", policyDocument=malformed)


def test_a_document_has_at_most_2048_characters_other_than_white_space(account: Account) -> None:
    iot = account.iot

    def of_length(length: int) -> str:
        rest = len(document(allow("iot:Connect", "")).replace(" ", ""))
        return document(allow("iot:Connect", "*" + "x" * (length - rest - 1)))

    iot.create_policy(policyName="longest", policyDocument=of_length(2048) + " " * 3000)
    with pytest.raises(iot.exceptions.MalformedPolicyException, match="2048"):
        iot.create_policy(policyName="too-long", policyDocument=of_length(2049))


def test_versions_are_added_put_in_force_and_deleted(account: Account) -> None:
    iot = account.iot
    iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)
    second = iot.create_policy_version(policyName="telemetry", policyDocument=ONLY_CONNECT)
    assert (second["policyVersionId"], second["isDefaultVersion"]) == ("2", False)
    third = iot.create_policy_version(policyName="telemetry", policyDocument=ANYTHING, setAsDefault=True)
    assert (third["policyVersionId"], third["isDefaultVersion"]) == ("3", True)
    iot.set_default_policy_version(policyName="telemetry", policyVersionId="2")
    versions = iot.list_policy_versions(policyName="telemetry")["policyVersions"]
    assert [(version["versionId"], version["isDefaultVersion"]) for version in versions] == [
        ("3", False),
        ("2", True),
        ("1", False),
    ]
    read = iot.get_policy_version(policyName="telemetry", policyVersionId="2")
    assert (read["policyDocument"], read["isDefaultVersion"], read["policyName"]) == (ONLY_CONNECT, True, "telemetry")
    iot.delete_policy_version(policyName="telemetry", policyVersionId="3")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.get_policy_version(policyName="telemetry", policyVersionId="3")
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_policy_version(policyName="telemetry", policyVersionId="2")
    assert iot.create_policy_version(policyName="telemetry", policyDocument=ANYTHING)["policyVersionId"] == "4"


def test_a_sixth_version_is_refused(account: Account) -> None:
    iot = account.iot
    iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)
    for _ in range(4):
        iot.create_policy_version(policyName="telemetry", policyDocument=ANYTHING)
    with pytest.raises(iot.exceptions.VersionsLimitExceededException) as refusal:
        iot.create_policy_version(policyName="telemetry", policyDocument=ANYTHING)
    assert refusal.value.response["Error"]["Message"] == (
        "The policy telemetry already has the maximum number of versions (5)"
    )
    with pytest.raises(iot.exceptions.DeleteConflictException, match="versions other than than default version"):
        iot.delete_policy(policyName="telemetry")


def test_policies_are_listed_newest_first_by_default(account: Account) -> None:
    iot = account.iot
    names = [f"policy-{number}" for number in range(5)]
    for name in names:
        iot.create_policy(policyName=name, policyDocument=ANYTHING)
    assert [policy["policyName"] for policy in iot.list_policies()["policies"]] == names[::-1]
    for ascending in (True, False):
        pages = iot.get_paginator("list_policies").paginate(ascendingOrder=ascending, PaginationConfig={"PageSize": 2})
        found = [policy["policyName"] for page in pages for policy in page["policies"]]
        assert found == (names if ascending else names[::-1])


def test_a_policy_is_attached_listed_from_both_ends_and_detached(account: Account) -> None:
    iot = account.iot
    target = add_certificate(account)
    for name in ("telemetry", "shadow"):
        iot.create_policy(policyName=name, policyDocument=ANYTHING)
        iot.attach_policy(policyName=name, target=target)
    iot.attach_policy(policyName="telemetry", target=target)
    iot.attach_policy(policyName="telemetry", target=IDENTITY)
    attached = iot.list_attached_policies(target=target, recursive=True)["policies"]
    assert [policy["policyName"] for policy in attached] == ["telemetry", "shadow"]
    assert attached[0]["policyArn"].endswith(":policy/telemetry")
    assert iot.list_targets_for_policy(policyName="telemetry")["targets"] == [target, IDENTITY]
    with pytest.raises(iot.exceptions.DeleteConflictException, match="attached to one or more principals"):
        iot.delete_policy(policyName="telemetry")
    iot.detach_policy(policyName="telemetry", target=IDENTITY)
    iot.detach_policy(policyName="telemetry", target=target)
    iot.detach_policy(policyName="telemetry", target=target)
    assert iot.list_targets_for_policy(policyName="telemetry")["targets"] == []
    iot.delete_policy(policyName="telemetry")


def test_attachments_are_paged(account: Account) -> None:
    iot = account.iot
    target = add_certificate(account)
    names = [f"policy-{number}" for number in range(5)]
    for name in names:
        iot.create_policy(policyName=name, policyDocument=ANYTHING)
        iot.attach_policy(policyName=name, target=target)
    pages = list(iot.get_paginator("list_attached_policies").paginate(target=target, PaginationConfig={"PageSize": 2}))
    assert [[policy["policyName"] for policy in page["policies"]] for page in pages] == [
        names[:2],
        names[2:4],
        names[4:],
    ]


def test_attaching_and_detaching_reach_live_connections(account: Account) -> None:
    iot = account.iot
    target = add_certificate(account)
    iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)
    announced = account.server.announced
    announced.clear()
    iot.attach_policy(policyName="telemetry", target=target)
    iot.create_policy_version(policyName="telemetry", policyDocument=ONLY_CONNECT, setAsDefault=True)
    iot.detach_policy(policyName="telemetry", target=target)
    certificate = Change(account.realm, ChangeKind.CERTIFICATE, target.rpartition("/")[2])
    assert announced == [certificate, Change(account.realm, ChangeKind.POLICY, "telemetry"), certificate]


def test_an_eleventh_policy_is_over_the_limit(account: Account) -> None:
    iot = account.iot
    target = add_certificate(account)
    for number in range(11):
        iot.create_policy(policyName=f"policy-{number}", policyDocument=ANYTHING)
    for number in range(10):
        iot.attach_policy(policyName=f"policy-{number}", target=target)
    with pytest.raises(iot.exceptions.LimitExceededException) as refusal:
        iot.attach_policy(policyName="policy-10", target=target)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 410


def test_each_refusal_of_attaching_has_its_class(account: Account, other_account: Account) -> None:
    iot = account.iot
    target = add_certificate(account)
    refused = iot.exceptions
    with pytest.raises(refused.ResourceNotFoundException, match="Policy telemetry"):
        iot.attach_policy(policyName="telemetry", target=target)
    iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)
    with pytest.raises(
        refused.ResourceNotFoundException, match=r"The certificate given in the principal does not exist\."
    ):
        iot.attach_policy(policyName="telemetry", target=target[:-64] + "0" * 64)
    with pytest.raises(refused.ResourceNotFoundException, match="Thing group pumps"):
        iot.attach_policy(
            policyName="telemetry", target=target.replace(target[target.index("cert/") :], "thinggroup/pumps")
        )
    with pytest.raises(refused.InvalidRequestException, match=other_account.realm.account_id):
        iot.attach_policy(policyName="telemetry", target=add_certificate(other_account))
    with pytest.raises(refused.ResourceNotFoundException) as missing:
        iot.list_targets_for_policy(policyName="shadow")
    assert missing.value.response["Error"]["Message"] == "Policy not found"
    assert iot.list_policy_principals(policyName="shadow")["principals"] == []


def test_the_older_principal_operations_have_the_same_effect(account: Account) -> None:
    iot = account.iot
    first, second = add_certificate(account), add_certificate(account)
    for name in ("telemetry", "shadow"):
        iot.create_policy(policyName=name, policyDocument=ANYTHING)
        iot.attach_principal_policy(policyName=name, principal=first)
    iot.attach_principal_policy(policyName="telemetry", principal=second)
    listed = iot.list_principal_policies(principal=first, ascendingOrder=True)["policies"]
    assert [policy["policyName"] for policy in listed] == ["telemetry", "shadow"]
    assert iot.list_policy_principals(policyName="telemetry", ascendingOrder=True)["principals"] == [first, second]
    assert iot.list_policy_principals(policyName="telemetry")["principals"] == [second, first]
    iot.detach_principal_policy(policyName="telemetry", principal=first)
    assert iot.list_targets_for_policy(policyName="telemetry")["targets"] == [second]


def test_policies_of_other_accounts_and_regions_are_not_visible(account: Account, other_account: Account) -> None:
    account.iot.create_policy(policyName="telemetry", policyDocument=ANYTHING)
    for other in (other_account, account.elsewhere("us-east-1")):
        assert other.iot.list_policies()["policies"] == []
        with pytest.raises(other.iot.exceptions.ResourceNotFoundException):
            other.iot.get_policy(policyName="telemetry")


def test_the_aws_cli_makes_a_policy_from_a_file_and_attaches_it(account: Account, tmp_path: Path) -> None:
    target = add_certificate(account)
    (tmp_path / "policy.json").write_text(ANYTHING)
    made = account.aws(
        "iot", "create-policy", "--policy-name", "telemetry", "--policy-document", f"file://{tmp_path}/policy.json"
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["policyVersionId"] == "1"
    attached = account.aws("iot", "attach-policy", "--policy-name", "telemetry", "--target", target)
    assert (attached.returncode, attached.stdout) == (0, "")
    listed = account.aws("iot", "list-attached-policies", "--target", target, "--query", "policies[].policyName")
    assert json.loads(listed.stdout) == ["telemetry"]


def test_a_document_may_begin_with_a_byte_order_mark_and_is_kept_without_it(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text("\ufeff" + ANYTHING, encoding="utf-8")
    assert (
        account.aws("iot", "create-policy", "--policy-name", "marked", "--policy-document", f"file://{file}").returncode
        == 0
    )
    assert account.iot.get_policy(policyName="marked")["policyDocument"] == ANYTHING
    version = account.iot.create_policy_version(policyName="marked", policyDocument="\ufeff" + ANYTHING)
    assert version["policyDocument"] == ANYTHING


def test_an_error_names_a_file_name_that_was_given_as_document(account: Account) -> None:
    said = account.aws("iot", "create-policy", "--policy-name", "file", "--policy-document", "file:/policy.json")
    assert said.returncode != 0
    assert "MalformedPolicyException" in said.stderr
    assert "is a file name, not a document" in said.stderr
    assert "file://policy.json" in said.stderr
