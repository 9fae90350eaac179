"""The parser of `/_sekisho/rotations`, with any input."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.api import rotations
from sekisho.api.errors import SerializationException
from sekisho.api.http import HttpRequest
from sekisho.api.rotations import Beginning, described, read_beginning
from sekisho.errors import AwsException, InvalidRequestException
from sekisho.realm import Realm
from sekisho.rotation.model import Rotation, RotationState

ID = "AB" * 32
MEMBERS = ("oldCertificateId", "newCertificatePem", "caCertificatePem")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ID),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS) | st.text(), inner),
    max_leaves=8,
)


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_a_request_to_start_is_read() -> None:
    assert read_beginning(body(oldCertificateId=ID, newCertificatePem="pem")) == Beginning(ID, "pem", None)
    assert read_beginning(body(oldCertificateId=f"0x{ID}", newCertificatePem="pem", caCertificatePem="ca")) == (
        Beginning(f"0x{ID}", "pem", "ca")
    )
    assert read_beginning(
        body(oldCertificateId=ID, newCertificatePem="pem", caCertificatePem=None)
    ).ca_certificate_pem is (None)


@pytest.mark.parametrize(
    ("sent", "refusal", "words"),
    [
        (b"", SerializationException, "JSON"),
        (b"[]", SerializationException, "object"),
        (b"\xff", SerializationException, "UTF-8"),
        (b"[" * 100_000, SerializationException, "nested too deeply"),
        (body(oldCertificateId=1, newCertificatePem="pem"), SerializationException, "'oldCertificateId' must be"),
        (body(newCertificatePem="pem"), InvalidRequestException, "oldCertificateId and newCertificatePem are required"),
        (body(oldCertificateId=ID), InvalidRequestException, "required"),
        (body(oldCertificateId=ID[1:], newCertificatePem="pem"), InvalidRequestException, "64 hexadecimal digits"),
        (
            body(oldCertificateId=ID, newCertificatePem="p", newcertificate=""),
            InvalidRequestException,
            "newcertificate",
        ),
    ],
)
def test_an_invalid_request_to_start_is_refused_with_the_reason(
    sent: bytes, refusal: type[AwsException], words: str
) -> None:
    with pytest.raises(refusal, match=words):
        read_beginning(sent)


@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(sent: bytes) -> None:
    try:
        read = read_beginning(sent)
    except AwsException:
        # Any other exception would be an answer of 500.
        pass
    else:
        assert (read.old_certificate_id, read.new_certificate_pem) == tuple(
            json.loads(sent)[name] for name in MEMBERS[:2]
        )


@pytest.mark.parametrize(
    ("path", "is_meant"),
    [
        ("/_sekisho/rotations", True),
        ("/_sekisho/rotations/", True),
        ("/_sekisho/rotations/progress", True),
        ("/_sekisho/rotationsandmore", False),
        ("/_sekisho", False),
        ("/things/rotations", False),
    ],
)
def test_paths_below_the_prefix_belong_to_the_module(path: str, is_meant: bool) -> None:
    assert rotations.is_meant(HttpRequest("GET", path, "", [], b"")) is is_meant


def test_a_rotation_is_returned_in_plain_values_without_empty_members() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    pending = Rotation(Realm("123456789012", "eu-central-1"), "old", "new", None, moment)
    assert described(pending) == {
        "oldCertificateId": "old",
        "newCertificateId": "new",
        "state": "PENDING",
        "startedAt": 1767312000.0,
    }
    done = Rotation(pending.realm, "old", "new", "ca", moment, moment, RotationState.DONE)
    assert described(done) == described(pending) | {
        "caCertificateId": "ca",
        "state": "DONE",
        "finishedAt": 1767312000.0,
    }
