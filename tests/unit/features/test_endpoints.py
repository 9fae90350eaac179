from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from sekisho.change import Change, ChangeKind
from sekisho.endpoints.rules import Endpoints, prefix_of
from sekisho.endpoints.store import EndpointRows
from sekisho.errors import InvalidRequestException
from sekisho.store.store import Store
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE


@pytest.fixture
def endpoints(store: Store) -> Endpoints:
    return Endpoints(store, HOME, "localhost")


@pytest.mark.parametrize("endpoint_type", [None, "iot:Data", "iot:Data-ATS"])
def test_the_default_account_at_home_connects_to_localhost(endpoints: Endpoints, endpoint_type: str | None) -> None:
    assert endpoints.describe(HOME, endpoint_type).server_name == "localhost"


def test_localhost_has_aliases_with_a_dot(endpoints: Endpoints, store: Store) -> None:
    served = endpoints.describe(HOME)
    first, second = served.aliases
    assert first == "localhost.localdomain"
    assert re.fullmatch(r"a[a-z0-9]{13}-ats\.iot\.eu-central-1\.localhost", second)
    assert list(endpoints.all()) == [served]
    assert endpoints.describe(OTHER_ACCOUNT).aliases == ()
    assert Endpoints(store, HOME, "iot.example.com").describe(HOME).aliases == ()


def test_every_other_account_and_region_has_a_different_name(endpoints: Endpoints) -> None:
    form = re.compile(r"a[a-z0-9]{13}-ats\.iot\.(eu-central-1|us-east-1)\.localhost")
    names = {endpoints.describe(realm).server_name for realm in (OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE)}
    assert len(names) == 2
    assert all(form.fullmatch(name) for name in names)


def test_a_configured_domain_is_in_the_name_of_the_default_account_too(store: Store) -> None:
    name = Endpoints(store, HOME, "iot.example.com").describe(HOME).server_name
    assert re.fullmatch(r"a[a-z0-9]{13}-ats\.iot\.eu-central-1\.iot\.example\.com", name)


def test_a_name_of_the_settings_takes_precedence_and_the_others_stay(store: Store) -> None:
    names = {HOME: "iot.factory.example", OTHER_ACCOUNT: "b.factory.example"}
    endpoints = Endpoints(store, HOME, "localhost", names=names)
    assert [each.server_name for each in endpoints.all()] == ["iot.factory.example", "b.factory.example"]
    served = endpoints.describe(HOME)
    assert served.server_name == "iot.factory.example"
    assert served.aliases[:2] == ("localhost", "localhost.localdomain")
    assert re.fullmatch(r"a[a-z2-7]{13}-ats\.iot\.eu-central-1\.localhost", served.aliases[2])
    endpoints.describe(OTHER_ACCOUNT)
    assert {each.realm: each.server_name for each in endpoints.all()} == names


def test_a_prefix_is_that_of_the_account_in_every_region(endpoints: Endpoints) -> None:
    home, elsewhere = endpoints.describe(HOME).aliases[-1], endpoints.describe(SAME_ACCOUNT_ELSEWHERE).server_name
    assert home.partition("-ats.")[0] == elsewhere.partition("-ats.")[0]
    assert home.partition("-ats.")[0] != endpoints.describe(OTHER_ACCOUNT).server_name.partition("-ats.")[0]


def test_prefixes_are_derived_from_the_secret(store: Store) -> None:
    assert prefix_of("a secret of 16 characters", "123456789012") == "assy7st67l63oh"
    told = Endpoints(store, HOME, "localhost", secret="a secret of 16 characters").describe(OTHER_ACCOUNT).server_name
    assert told.startswith(f"{prefix_of('a secret of 16 characters', OTHER_ACCOUNT.account_id)}-ats.iot.")


def test_the_secret_survives_as_long_as_the_registry(store: Store) -> None:
    Endpoints(store, HOME, "localhost").describe(OTHER_ACCOUNT)
    with store.read() as tx:
        secret = EndpointRows(tx).secret()
    assert secret is not None
    name = Endpoints(store, HOME, "localhost").describe(SAME_ACCOUNT_ELSEWHERE).server_name
    assert name.startswith(prefix_of(secret, HOME.account_id))


def test_an_endpoint_is_made_and_announced_once_and_never_changes(
    endpoints: Endpoints, announced: list[Change]
) -> None:
    first = endpoints.describe(OTHER_ACCOUNT)
    assert endpoints.describe(OTHER_ACCOUNT) == first
    prefix = first.server_name.partition("-ats.")[0]
    assert announced == [Change(OTHER_ACCOUNT, ChangeKind.ENDPOINT, prefix)]
    assert list(endpoints.all()) == [first]


def test_another_domain_or_home_changes_the_name_and_not_the_prefix(endpoints: Endpoints, store: Store) -> None:
    prefix = endpoints.describe(OTHER_ACCOUNT).server_name.partition("-ats.")[0]
    assert Endpoints(store, HOME, "example.com").describe(OTHER_ACCOUNT).server_name == (
        f"{prefix}-ats.iot.{OTHER_ACCOUNT.region}.example.com"
    )
    endpoints.describe(HOME)
    moved = Endpoints(store, OTHER_ACCOUNT, "localhost")
    assert moved.describe(OTHER_ACCOUNT).server_name == "localhost"
    assert [each.server_name for each in moved.all()].count("localhost") == 1


@pytest.mark.parametrize("endpoint_type", ["iot:CredentialProvider", "iot:Jobs", "iot:DeviceAdvisor", "iot:Data-Beta"])
def test_an_endpoint_type_that_is_not_served_is_refused_by_name(endpoints: Endpoints, endpoint_type: str) -> None:
    with pytest.raises(InvalidRequestException, match=f"{endpoint_type} is not supported"):
        endpoints.describe(HOME, endpoint_type)


@pytest.mark.parametrize("endpoint_type", ["iot:data-ats", "", "ATS"])
def test_an_unknown_type_is_refused_in_the_words_of_aws(
    endpoints: Endpoints, endpoint_type: str, announced: list[Change]
) -> None:
    with pytest.raises(InvalidRequestException) as refusal:
        endpoints.describe(HOME, endpoint_type)
    assert refusal.value.message == f"Endpoint type {endpoint_type} not recognized."
    assert announced == []


def test_many_first_requests_at_once_get_one_endpoint(endpoints: Endpoints, announced: list[Change]) -> None:
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(endpoints.describe, OTHER_ACCOUNT) for _ in range(32)]
        names = {answer.result().server_name for answer in asked}
    assert len(names) == 1
    assert announced == [Change(OTHER_ACCOUNT, ChangeKind.ENDPOINT, names.pop().partition("-ats.")[0])]
