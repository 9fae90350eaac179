"""Documents as editors and shells deliver them."""

from __future__ import annotations

import pytest

from sekisho.api.codec import load_json
from sekisho.api.documents import DOCUMENT_MEMBERS, take_documents
from sekisho.api.model import Shape, service_models
from sekisho.errors import InvalidRequestException, MalformedPolicyException

MARK = "\ufeff"
DOCUMENT = '{"Version": "2012-10-17", "Statement": []}'


@pytest.mark.parametrize("name", DOCUMENT_MEMBERS)
@pytest.mark.parametrize("document", [DOCUMENT, f"\n  {DOCUMENT}\n", "", "[]", "not a document", '"file.json"'])
def test_a_byte_order_mark_is_removed_and_nothing_else(name: str, document: str) -> None:
    for given in (document, MARK + document):
        assert take_documents({name: given, "thingName": given}) == {name: document, "thingName": given}
        nested = take_documents({"registrationConfig": {name: given, "roleArn": "r"}})
        assert nested == {"registrationConfig": {name: document, "roleArn": "r"}}


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("file:/policy.json", "file://policy.json"),
        ("file:policy.json", "file://policy.json"),
        ("file://policy.json", "file://policy.json"),
        ("fileb://policy.json", "file://policy.json"),
        ("file:///tmp/policy.json", "file:///tmp/policy.json"),
        ("policy.json", "file://policy.json"),
        ("./policy.json", "file://./policy.json"),
        ("../policies/device", "file://../policies/device"),
        ("/tmp/policy.json", "file:///tmp/policy.json"),
        ("~/policy.json\n", "file://~/policy.json"),
        ("@policy.json", "file://policy.json"),
        ("C:\\policies\\device.json", "file://C:\\policies\\device.json"),
        (MARK + "policy.json", "file://policy.json"),
    ],
)
def test_a_file_name_is_refused_with_what_to_write_instead(given: str, advice: str) -> None:
    with pytest.raises(MalformedPolicyException, match="is a file name, not a document") as refused:
        take_documents({"policyDocument": given})
    assert f" {advice};" in refused.value.message.replace("\\\\", "\\")
    with pytest.raises(InvalidRequestException, match="templateBody"):
        take_documents({"registrationConfig": {"templateBody": given}})


def test_a_body_may_begin_with_a_byte_order_mark() -> None:
    assert load_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_every_member_of_the_models_with_a_document_is_known() -> None:
    found: set[str] = set()

    def walk(shape: Shape | None, seen: tuple[int, ...] = ()) -> None:
        if shape is None or id(shape) in seen:
            return
        for name, member in shape.members.items():
            if name.lower().endswith(("policydocument", "templatebody")):
                found.add(name)
            walk(member.shape, (*seen, id(shape)))

    model = service_models()["iot"]
    for operation in model.operation_names:
        walk(model.operation(operation).input)
    assert found == set(DOCUMENT_MEMBERS)
