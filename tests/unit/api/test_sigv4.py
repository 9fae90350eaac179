"""Requests signed by the AWS signers are verified; with any signed part changed, they are refused."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import awscrt.auth
import awscrt.http
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from sekisho.api.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from sekisho.api.http import HttpRequest
from sekisho.api.sigv4 import SecretKey, Signer, scope_of, verify

ACCESS_KEY_ID = "AKIASEKISHOEXAMPLE00"
SECRET = "a+secret/that=is-not-in-any-message"
KEY = SecretKey("123456789012", "arn:aws:iam::123456789012:root", "123456789012", SECRET)
OTHER_KEY = replace(KEY, secret="another")
TEMPORARY_ID = "ASIASEKISHOEXAMPLE00"
TOKEN = "session/token+with=specials"
KEYS = {ACCESS_KEY_ID: KEY, "AKIAOTHER": OTHER_KEY, TEMPORARY_ID: replace(KEY, session_token=TOKEN)}
SERVICES = ("iot", "iotdata", "iotdevicegateway", "iot-jobs-data", "sts")

# botocore signs a label "." or ".." as if it were not there, and sends it: see the tests about dot segments.
LABELS = st.text(min_size=1, max_size=6).filter(lambda label: label not in (".", ".."))
PATHS = st.lists(LABELS, max_size=3).map(lambda labels: "/" + "/".join(quote(label, safe="-._~") for label in labels))
QUERIES = st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=6), st.text(max_size=6), max_size=3)
BODIES = st.binary(max_size=20)


def sign(
    signer: type[SigV4Auth],
    *,
    method: str = "POST",
    path: str = "/things/a",
    query: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    body: bytes = b"{}",
    service: str = "iot",
    key_id: str = ACCESS_KEY_ID,
    token: str | None = None,
) -> tuple[HttpRequest, datetime]:
    """Return a request signed by botocore, and the time of its signature. A presigned one has no body."""
    if signer is SigV4QueryAuth:
        body = b""
    request = AWSRequest(
        method=method,
        url=f"http://localhost:5883{path}",
        params=query or {},
        headers={"Host": "localhost:5883", **(headers or {})},
        data=body,
    )
    signer(BotocoreCredentials(key_id, SECRET, token), service, "eu-central-1").add_auth(request)
    prepared = request.prepare()
    url = urlsplit(prepared.url)
    received = HttpRequest(
        method=method,
        raw_path=url.path,
        query_string=url.query,
        headers=[
            (name.lower(), value.decode() if isinstance(value, bytes) else value)
            for name, value in prepared.headers.items()
        ],
        body=body,
    )
    moment = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return received, moment


def check(request: HttpRequest, now: datetime) -> Signer:
    return verify(request, KEYS.get, lambda: now)


def with_header(request: HttpRequest, name: str, change: Callable[[str], str]) -> HttpRequest:
    changed = [(sent, change(value) if sent == name else value) for sent, value in request.headers]
    assert changed != list(request.headers), f"{name} was not there to change"
    return replace(request, headers=changed)


@pytest.mark.parametrize("signer", [SigV4Auth, SigV4QueryAuth])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    path=PATHS,
    query=QUERIES,
    body=BODIES,
    service=st.sampled_from(SERVICES),
    temporary=st.booleans(),
)
def test_requests_signed_by_botocore_are_verified(
    signer: type[SigV4Auth],
    method: str,
    path: str,
    query: dict[str, str],
    body: bytes,
    service: str,
    temporary: bool,
) -> None:
    key_id, token = (TEMPORARY_ID, TOKEN) if temporary else (ACCESS_KEY_ID, None)
    request, now = sign(
        signer, method=method, path=path, query=query, body=body, service=service, key_id=key_id, token=token
    )
    signed = check(request, now)
    assert (signed.scope.access_key_id, signed.scope.region, signed.scope.service) == (
        key_id,
        "eu-central-1",
        service,
    )
    assert signed.key is KEYS[key_id]


def test_the_topic_path_of_iot_data_is_encoded_twice() -> None:
    request, now = sign(SigV4Auth, path="/topics/a%2Fb%20c%2F%24x", query={"qos": "1"}, service="iotdata")
    assert check(request, now).scope.service == "iotdata"


DOT_SEGMENTS = [
    "/topics/a//b",
    "/topics/a/./b",
    "/topics/x/../a",
    "//topics/a",
    "/topics/a/.",
    "/topics/.",
    "/topics/..",
]


class Literal(SigV4Auth):  # type: ignore[misc]
    """Signs the path as it is sent."""

    def _normalize_url_path(self, path: str) -> str:
        return quote(path, safe="/~")


@pytest.mark.parametrize("path", DOT_SEGMENTS)
def test_a_path_with_dot_segments_that_was_signed_unchanged_is_verified(path: str) -> None:
    request, now = sign(Literal, path=path, service="iotdata")
    check(replace(request, raw_path=path), now)


@pytest.mark.parametrize("path", DOT_SEGMENTS)
def test_a_path_that_was_signed_without_dot_segments_is_refused_with_them(path: str) -> None:
    request, now = sign(SigV4Auth, path=path, service="iotdata")
    with pytest.raises(InvalidSignatureException, match=r"was signed for the path .* and sent with the path .*%2F"):
        check(replace(request, raw_path=path), now)


@pytest.mark.parametrize(
    "rewritten",
    [
        "/topics/x/../a",
        "/topics//a",
        "/topics/./a",
        "/topics/a/.",
        "/topics/a/",
        "/topics/a%2F",
        "/topics/a/b/..",
        "/topics/%61",
        "/topics/x/%2e%2e/a",
        "/topics/x%2F..%2Fa",
        "/topics/a%00",
        "/topics/a%252F",
        "//topics/a",
        "/topics/A",
    ],
)
def test_a_signed_path_cannot_be_rewritten(rewritten: str) -> None:
    request, now = sign(SigV4Auth, path="/topics/a", service="iotdata")
    check(request, now)
    with pytest.raises(InvalidSignatureException):
        check(replace(request, raw_path=rewritten), now)


@pytest.mark.parametrize("path", ["/topics/a%2Fb", "/topics/a%2fb", "/topics/a/b", "/topics/%2e%2e%2Fb"])
def test_the_escapes_of_a_path_are_signed_as_they_are(path: str) -> None:
    request, now = sign(SigV4Auth, path=path, service="iotdata")
    check(request, now)
    for other in {"/topics/a%2Fb", "/topics/a%2fb", "/topics/a/b", "/topics/%2e%2e%2Fb", "/topics/..%2Fb"} - {path}:
        with pytest.raises(InvalidSignatureException):
            check(replace(request, raw_path=other), now)


def test_the_names_of_signed_headers_are_returned() -> None:
    request, now = sign(SigV4Auth, headers={"X-Amz-Mqtt5-User-Properties": "e30="})
    assert check(request, now).signed_headers >= {"host", "x-amz-mqtt5-user-properties"}


@pytest.mark.parametrize("name", ["X-Amz-Date", "X-Amz-Expires", "X-Amz-Credential", "X-Amz-Signature"])
def test_a_parameter_of_a_presigned_query_may_not_be_repeated(name: str) -> None:
    request, now = sign(SigV4QueryAuth)
    with pytest.raises(IncompleteSignatureException, match="twice"):
        check(replace(request, query_string=f"{request.query_string}&{name}=1"), now)


@pytest.mark.parametrize("sent", ["x=a%20b%2F", "x=a+b/", "x=a%20b%2f"])
def test_a_query_may_be_sent_in_another_encoding_than_it_was_signed_in(sent: str) -> None:
    request, now = sign(SigV4Auth, path="/things?x=a%20b%2F")
    check(replace(request, query_string=sent), now)


HEADERS = {"x-amzn-principal": "arn:aws:iot:eu-central-1:123456789012:cert/ab", "Connection": "Upgrade"}

TAMPERINGS: dict[str, Callable[[HttpRequest], HttpRequest]] = {
    "method": lambda request: replace(request, method="PUT"),
    "path": lambda request: replace(request, raw_path="/things/b"),
    "path case": lambda request: replace(request, raw_path="/things/A"),
    "query value": lambda request: replace(request, query_string=request.query_string.replace("x=1", "x=2")),
    "query added": lambda request: replace(request, query_string=request.query_string + "&y=1"),
    "query name": lambda request: replace(request, query_string=request.query_string.replace("x=1", "X=1")),
    "body": lambda request: replace(request, body=b"{ }"),
    "host": lambda request: with_header(request, "host", lambda _: "evil:5883"),
    "signed header": lambda request: with_header(request, "x-amzn-principal", lambda arn: arn + "c"),
    "header repeated": lambda request: replace(request, headers=[*request.headers, ("x-amzn-principal", "c")]),
}


@pytest.mark.parametrize("part", TAMPERINGS)
@pytest.mark.parametrize("signer", [SigV4Auth, SigV4QueryAuth])
def test_a_request_changed_after_signing_is_refused(signer: type[SigV4Auth], part: str) -> None:
    request, now = sign(signer, query={"x": "1"}, headers=HEADERS)
    check(request, now)
    with pytest.raises(InvalidSignatureException, match="The request signature we calculated does not match"):
        check(TAMPERINGS[part](request), now)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/eu-central-1/", "/us-east-1/"),
        ("/iot/", "/iotdata/"),
        (ACCESS_KEY_ID, "AKIAOTHER"),
        ("Signature=", "Signature=0"),
        ("host;", "host;host;"),
    ],
)
def test_an_authorization_header_changed_after_signing_is_refused(old: str, new: str) -> None:
    request, now = sign(SigV4Auth)
    with pytest.raises(InvalidSignatureException):
        check(with_header(request, "authorization", lambda value: value.replace(old, new)), now)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("eu-central-1", "us-east-1"),
        ("%2Fiot%2F", "%2Fiotdata%2F"),
        (ACCESS_KEY_ID, "AKIAOTHER"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=604800"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bhost"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
    ],
)
def test_a_presigned_query_changed_after_signing_is_refused(old: str, new: str) -> None:
    request, now = sign(SigV4QueryAuth)
    assert old in request.query_string
    with pytest.raises(InvalidSignatureException):
        check(replace(request, query_string=request.query_string.replace(old, new)), now)


def test_a_missing_signed_header_is_named() -> None:
    request, now = sign(SigV4Auth, headers=HEADERS)
    without = [(name, value) for name, value in request.headers if name != "x-amzn-principal"]
    with pytest.raises(InvalidSignatureException, match="x-amzn-principal"):
        check(replace(request, headers=without), now)


def test_a_signature_must_cover_the_host() -> None:
    request, now = sign(SigV4Auth)
    with pytest.raises(InvalidSignatureException, match="'Host'"):
        check(with_header(request, "authorization", lambda value: value.replace("host;", "")), now)


def test_a_body_removed_after_signing_is_refused() -> None:
    request, now = sign(SigV4Auth)
    with pytest.raises(InvalidSignatureException):
        check(replace(request, body=b""), now)


def test_an_unsigned_payload_is_accepted_when_the_signature_says_so() -> None:
    request, now = sign(SigV4Auth, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    check(replace(request, body=b"anything"), now)


def test_an_unsigned_header_cannot_declare_an_unsigned_payload() -> None:
    class WithoutHash(SigV4Auth):  # type: ignore[misc]
        def headers_to_sign(self, request: AWSRequest) -> Any:
            headers = super().headers_to_sign(request)
            del headers["x-amz-content-sha256"]
            return headers

    request, now = sign(WithoutHash, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    with pytest.raises(InvalidSignatureException):
        check(replace(request, body=b"anything"), now)


def test_a_signed_payload_hash_does_not_allow_another_payload() -> None:
    request, now = sign(SigV4Auth)
    declared = replace(request, headers=[*request.headers, ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")])
    with pytest.raises(InvalidSignatureException):
        check(replace(declared, body=b"anything"), now)


@pytest.mark.parametrize("minutes", [-4.9, 0, 4.9])
def test_a_clock_within_five_minutes_is_accepted(minutes: float) -> None:
    request, now = sign(SigV4Auth)
    check(request, now + timedelta(minutes=minutes))


def test_a_signature_older_than_five_minutes_has_expired() -> None:
    request, now = sign(SigV4Auth)
    with pytest.raises(InvalidSignatureException, match=r"^Signature expired: \d{8}T\d{6}Z is now earlier than"):
        check(request, now + timedelta(minutes=5, seconds=1))


def test_a_signature_from_the_future_is_not_yet_current() -> None:
    request, now = sign(SigV4Auth)
    with pytest.raises(InvalidSignatureException, match=r"^Signature not yet current"):
        check(request, now - timedelta(minutes=5, seconds=1))


def test_a_presigned_request_is_valid_until_its_expiry() -> None:
    request, now = sign(SigV4QueryAuth)
    check(request, now + timedelta(minutes=59))
    with pytest.raises(InvalidSignatureException, match=r"^Signature expired"):
        check(request, now + timedelta(seconds=3601))


@pytest.mark.parametrize("expires", ["604801", "-1", "x", "", "9" * 30])
def test_a_presigned_request_is_valid_for_at_most_a_week(expires: str) -> None:
    request, now = sign(SigV4QueryAuth)
    query = request.query_string.replace("X-Amz-Expires=3600", f"X-Amz-Expires={expires}")
    with pytest.raises(IncompleteSignatureException, match="604800"):
        check(replace(request, query_string=query), now)


def test_the_day_of_the_scope_is_the_day_of_the_timestamp() -> None:
    request, now = sign(SigV4Auth)
    day = f"{now:%Y%m%d}"
    with pytest.raises(InvalidSignatureException, match="Date in Credential scope"):
        check(with_header(request, "authorization", lambda value: value.replace(day, "20200101")), now)


def test_an_unsigned_request_is_refused_as_unsigned() -> None:
    with pytest.raises(MissingAuthenticationTokenException, match="Missing Authentication Token"):
        check(HttpRequest("GET", "/things", "", [("host", "localhost")], b""), datetime.now(UTC))


def test_an_unknown_access_key_is_refused_as_unknown() -> None:
    request, now = sign(SigV4Auth, key_id="AKIAUNKNOWN")
    with pytest.raises(UnrecognizedClientException, match="The security token included in the request is invalid"):
        check(request, now)


def test_a_session_token_must_be_the_one_of_the_key() -> None:
    stray, now = sign(SigV4Auth, token="left over in the environment")
    with pytest.raises(UnrecognizedClientException, match="unset AWS_SESSION_TOKEN"):
        check(stray, now)
    missing, now = sign(SigV4Auth, key_id=TEMPORARY_ID)
    with pytest.raises(UnrecognizedClientException, match="Send the session token"):
        check(missing, now)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic dTpw",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/iot/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/iot/aws4_request, Signature=0",
        "AWS4-HMAC-SHA256 Credential=a/20260101/EU WEST/iot/aws4_request, SignedHeaders=host, Signature=0",
        "AWS4-ECDSA-P256-SHA256 Credential=a/20260101/iot/aws4_request, SignedHeaders=host, Signature=0",
    ],
)
def test_a_malformed_authorization_is_incomplete(authorization: str) -> None:
    headers = [("host", "localhost"), ("x-amz-date", "20260101T000000Z"), ("authorization", authorization)]
    request = HttpRequest("GET", "/things", "", headers, b"")
    with pytest.raises(IncompleteSignatureException):
        check(request, datetime(2026, 1, 1, tzinfo=UTC))
    assert scope_of(request) is None


@pytest.mark.parametrize("date", ["yesterday", "2026-01-01", "20261301T000000Z", ""])
def test_a_malformed_date_is_incomplete(date: str) -> None:
    request, now = sign(SigV4Auth)
    with pytest.raises(IncompleteSignatureException):
        check(with_header(request, "x-amz-date", lambda _: date), now)


def test_a_request_dated_by_the_http_date_header_is_verified() -> None:
    request, now = sign(SigV4Auth, headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"})
    assert request.header("x-amz-date") is None
    check(request, now)


def test_the_secret_is_in_no_message_and_no_representation() -> None:
    request, now = sign(SigV4Auth)
    with pytest.raises(InvalidSignatureException) as refusal:
        check(replace(request, body=b"changed"), now)
    assert SECRET not in str(refusal.value)
    assert SECRET not in repr(check(request, now))
    assert SECRET not in repr(KEY)


async def sign_websocket_with_crt(headers: list[tuple[str, str]], token: str | None) -> str:
    """Return the path of a WebSocket upgrade as the AWS IoT Device SDK's runtime signs it."""
    config = awscrt.auth.AwsSigningConfig(
        algorithm=awscrt.auth.AwsSigningAlgorithm.V4,
        signature_type=awscrt.auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
        credentials_provider=awscrt.auth.AwsCredentialsProvider.new_static(
            ACCESS_KEY_ID if token is None else TEMPORARY_ID, SECRET, token
        ),
        region="eu-central-1",
        service="iotdevicegateway",
        omit_session_token=True,
    )
    request: Any = awscrt.http.HttpRequest("GET", "/mqtt", awscrt.http.HttpHeaders(headers))
    signed: Any = await asyncio.wrap_future(awscrt.auth.aws_sign_request(request, config))
    return str(signed.path)


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_websocket_upgrade_signed_by_the_aws_runtime_is_verified(token: str | None) -> None:
    headers = [("Host", "localhost:443"), ("Connection", "Upgrade")]
    path, _, query = asyncio.run(sign_websocket_with_crt(headers, token)).partition("?")
    request = HttpRequest("GET", path, query, [(name.lower(), value) for name, value in headers], b"")
    scope = check(request, datetime.now(UTC)).scope
    assert (scope.service, scope.region) == ("iotdevicegateway", "eu-central-1")
    with pytest.raises(InvalidSignatureException):
        check(with_header(request, "connection", lambda _: "upgrade"), datetime.now(UTC))
