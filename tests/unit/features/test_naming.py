from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho import arn
from sekisho.errors import InvalidRequestException
from sekisho.naming import by_name_or_arn
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE

NAMES = st.text("abcXYZ019:_-", min_size=1, max_size=128)


@given(NAMES)
def test_a_name_and_its_arn_are_the_same_resource(name: str) -> None:
    text = arn.thing_group(HOME, name)
    assert by_name_or_arn(HOME, "thinggroup", name, None) == name
    assert by_name_or_arn(HOME, "thinggroup", None, text) == name
    assert by_name_or_arn(HOME, "thinggroup", name, text) == name


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestException):
        by_name_or_arn(HOME, "thinggroup", None, text)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (None, None, "Say which thinggroup"),
        (None, arn.thing(HOME, "lights"), "is not the ARN of a thinggroup"),
        (None, arn.thing_group(OTHER_ACCOUNT, "lights"), "account 210987654321"),
        (None, arn.thing_group(SAME_ACCOUNT_ELSEWHERE, "lights"), "region us-east-1"),
        ("pumps", arn.thing_group(HOME, "lights"), "two different resources"),
    ],
)
def test_text_that_names_no_single_resource_of_the_realm_is_refused(
    name: str | None, text: str | None, says: str
) -> None:
    with pytest.raises(InvalidRequestException, match=says):
        by_name_or_arn(HOME, "thinggroup", name, text)
