"""Parameters in policy documents: a value changes its string and never the document around it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from sekisho.templates.error import TemplateError
from sekisho.templates.template import Template, parse
from sekisho.templates.use import Use

TEXT: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["iot:Publish"], '
    '"Resource": "arn:aws:iot:eu-central-1:1:topic/\\"${P}\\\\${P}/${Q}", '
    '"Condition": {"StringEquals": {"a": "${!b}"}}}]}'
)
HEAD, _, TAIL = TEXT.partition("${P}")
MIDDLE, _, END = TAIL.partition("${P}")
BETWEEN, _, END = END.partition("${Q}")
BUILT: Final[tuple[Any, ...]] = (
    {"Fn::Sub": TEXT},
    {"Fn::Sub": [TEXT.replace("${P}", "${x}"), {"x": {"Ref": "P"}}]},
    {
        "Fn::Join": [
            "",
            [HEAD, {"Ref": "P"}, MIDDLE, {"Fn::Sub": "${P}"}, BETWEEN, {"Ref": "Q"}, END.replace("${!", "${")],
        ]
    },
    {"Fn::Select": ["1", ["{}", {"Fn::Sub": TEXT}]]},
)
DEVICE: Final = frozenset({"P", "Q"})
INJECTED: Final = 'x"},{"Effect":"Allow","Action":"iot:Connect","Resource":"y'


def template(document: Any, use: Use = Use.FLEET_PROVISIONING) -> Template:
    body = {
        "Parameters": {"P": {"Type": "String"}, "Q": {"Type": "String", "Default": "q"}},
        "Resources": {"p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "p", "PolicyDocument": document}}},
    }
    return parse(json.dumps(body, indent=1), use)


def document(built: Any, from_device: frozenset[str] = DEVICE, **values: str) -> Any:
    [policy] = template(built).resolve(values, from_device=from_device).policies
    return json.loads(policy.document or "")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def outline(value: Any) -> Any:
    """Return a document without the content of its strings."""
    if isinstance(value, dict):
        return {name: outline(each) for name, each in value.items()}
    return [outline(each) for each in value] if isinstance(value, list) else type(value)


@given(some.text(), some.text(), some.sampled_from(BUILT))
@example(INJECTED, "", BUILT[0])
@example("\\", '"', BUILT[2])
@example("\\u0022}", "\x00\n\u2028", BUILT[1])
def test_any_value_changes_only_one_string(p: str, q: str, built: Any) -> None:
    """The values are the account's own, so none is refused for its meaning in a policy."""
    found = document(built, frozenset(), P=p, Q=q)
    plain = document(built, P="0", Q="1")
    assert outline(found) == outline(plain)
    changed = [(a, b) for a, b in zip(strings(found), strings(plain), strict=True) if a != b]
    assert all(b == 'arn:aws:iot:eu-central-1:1:topic/"0\\0/1' for _, b in changed)
    assert found["Statement"][0]["Resource"] == f'arn:aws:iot:eu-central-1:1:topic/"{p}\\{p}/{q}'
    assert found["Statement"][0]["Condition"] == {"StringEquals": {"a": "${b}"}}


@given(some.text(), some.sampled_from(BUILT))
@example("*", BUILT[0])
def test_a_device_can_add_neither_a_statement_nor_a_wildcard(value: str, built: Any) -> None:
    if set("*?$") & set(value):
        with pytest.raises(TemplateError, match="the value of the parameter"):
            document(built, P=value, Q=value)
        return
    found = document(built, P=value, Q=value)
    assert len(found["Statement"]) == 1
    assert not set("*?") & set("".join(strings(found)))


@pytest.mark.parametrize("value", ["*", "a?", "$", "${iot:ClientId}"])
def test_a_wildcard_of_a_device_is_refused_in_a_document_object(value: str) -> None:
    built = {
        "Statement": [{"Resource": [{"Fn::Sub": "a/${P}"}, {"Fn::Select": ["0", {"Fn::Split": [",", {"Ref": "P"}]}]}]}]
    }
    assert document(built, frozenset(), P=value)["Statement"] == [{"Resource": [f"a/{value}", value]}]
    with pytest.raises(TemplateError, match=r"line 20, column \d+: the value of the parameter 'P' has '[*?$]'"):
        document(built, P=value)


@pytest.mark.parametrize("value", ["+", "#", "a/+/b"])
@pytest.mark.parametrize("is_text", [True, False])
def test_an_mqtt_wildcard_of_a_device_is_refused_in_topic_filters_only(value: str, is_text: bool) -> None:
    def built(kind: str) -> Any:
        statement = {"Resource": {"Fn::Sub": f"arn:aws:iot:eu-central-1:1:{kind}/${{P}}/up"}}
        return (
            {"Fn::Sub": json.dumps({"r": statement["Resource"]["Fn::Sub"]})}
            if is_text
            else {"r": statement["Resource"]}
        )

    assert document(built("topic"), P=value)["r"].endswith(f":topic/{value}/up")
    with pytest.raises(TemplateError, match=r"the value of the parameter 'P' has '[+#]'"):
        document(built("topicfilter"), P=value)
    assert document(built("topicfilter"), frozenset(), P=value)["r"].endswith(f"/{value}/up")
    # The device may give the whole ARN, or an escaped slash.
    with pytest.raises(TemplateError, match=r"the value of the parameter 'P' has '[+#]'"):
        document({"r": {"Ref": "P"}}, P=f"arn:aws:iot:eu-central-1:1:topicfilter/{value}")
    with pytest.raises(TemplateError, match=r"the value of the parameter 'P' has '[+#]'"):
        document({"Fn::Sub": '{"r": "arn:aws:iot:a:1:topicfilter\\/${P}"}'}, P=value)


@pytest.mark.parametrize(
    "built",
    [
        {"Ref": "P"},
        {"Fn::Sub": '{"Statement": [${P}]}'},
        {"Fn::Sub": '{"a": "x"${P}}'},
        {"Fn::Join": ["", ['{"Statement": ', {"Ref": "P"}, "}"]]},
    ],
)
def test_only_the_account_determines_text_outside_of_quotes(built: Any) -> None:
    [policy] = template(built).resolve({"P": "{}"}).policies
    assert "{}" in str(policy.document)
    for value in ("{}", "1", '"x"', " "):
        with pytest.raises(TemplateError, match="the parameter 'P' is outside of quotes"):
            document(built, P=value)


@pytest.mark.parametrize("text", ['{"a": "\\${P}"}', '{"a": "\\u00${P}"}'])
def test_a_parameter_within_an_escape_is_refused(text: str) -> None:
    for from_device in (frozenset[str](), DEVICE):
        with pytest.raises(TemplateError, match="the parameter 'P' is after a backslash"):
            document({"Fn::Sub": text}, from_device, P="22")


def test_a_split_value_still_comes_from_the_device() -> None:
    split = {"Fn::Split": ["|", {"Fn::Sub": "own*|${P}|own*"}]}
    assert document({"r": split}, P="a|b")["r"] == ["own*", "a", "b", "own*"]
    with pytest.raises(TemplateError, match="'P' has '\\*'"):
        document({"r": split}, P="a|b*")


@pytest.mark.parametrize(("built", "count"), [({"a": {"Ref": "P"}}, 0), ("{}", 0), (BUILT[0], 1), ({"Ref": "P"}, 1)])
def test_a_document_built_as_text_logs_a_warning(built: Any, count: int) -> None:
    warnings = template(built).warnings
    assert len(warnings) == count
    assert all(each.startswith("line 12: the policy 'p' builds its PolicyDocument as JSON text") for each in warnings)
