"""DescribeEndpoint, as boto3 and the AWS CLI see it."""

from __future__ import annotations

import re

import pytest

from tests.contract.conftest import HOME, Account, Server


def test_all_names_of_the_data_endpoint_return_one_address_that_does_not_change(account: Account) -> None:
    iot = account.iot
    address = iot.describe_endpoint()["endpointAddress"]
    assert re.fullmatch(r"a[a-z0-9]{13}-ats\.iot\.eu-central-1\.localhost", address)
    assert iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] == address
    assert iot.describe_endpoint(endpointType="iot:Data")["endpointAddress"] == address
    assert account.elsewhere("us-east-1").iot.describe_endpoint()["endpointAddress"] != address


def test_the_endpoint_of_the_default_account_at_home_is_localhost(server: Server) -> None:
    server.services.accounts.ensure(HOME.account_id)
    [key] = server.services.accounts.access_keys(HOME.account_id)
    described = Account(server, key).aws(
        "iot", "describe-endpoint", "--endpoint-type", "iot:Data-ATS", "--query", "endpointAddress", "--output", "text"
    )
    assert described.stdout == "localhost\n", described.stderr


@pytest.mark.parametrize("endpoint_type", ["iot:CredentialProvider", "iot:Jobs", "iot:Nothing"])
def test_other_endpoints_are_refused(account: Account, endpoint_type: str) -> None:
    with pytest.raises(account.iot.exceptions.InvalidRequestException, match=endpoint_type):
        account.iot.describe_endpoint(endpointType=endpoint_type)
