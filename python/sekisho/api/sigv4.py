"""Verifies AWS Signature Version 4.

Both forms are read: the Authorization header, and the presigned query string (which WebSocket clients use). The
client's own list of signed headers is used, the path is percent-encoded a second time, and the service in the scope
determines the service of the request.

Where clients differ, both ways to sign the same request are accepted:

- most sign the query string re-encoded, some as it is;
- signers for `iotdevicegateway` omit X-Amz-Security-Token from the presigned canonical query, others include it.

The signed path has to be the routed path, byte for byte. Most signers remove dot segments and double slashes from the
path before they sign it; some HTTP clients then send the path with them. Such a request is refused, because a proxy
could otherwise change a request that was signed for `/topics/y` to `/topics/x/../y`, which is another topic. SDKs
escape the slashes of a topic, so their paths are unchanged, unless a whole label is `.` or `..`.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html; botocore.auth;
for WebSocket, the AWS IoT developer guide, "MQTT over the WebSocket protocol".
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote, unquote_plus

from sekisho.api.echo import echo
from sekisho.api.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from sekisho.api.http import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"
CLOCK_SKEW = timedelta(minutes=5)
"""Maximum difference of the client's clock from the server's."""

MAX_EXPIRES = timedelta(days=7)
"""Maximum lifetime of a presigned request."""

_SIGNING_KEYS = 1024
"""Cached signing keys, each of an access key, day, region and service. Beyond it, the least recently used goes."""

_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_CONTENT_HASH = "x-amz-content-sha256"
_WEBSOCKET_SERVICE = "iotdevicegateway"
_TIMESTAMP_FORM = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_AUTHORIZATION_PART = re.compile(r"\s*([A-Za-z]+)=([^,]*)")
_SIGNATURE_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
    "Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """An access key with its secret.

    Attributes:
        secret: The secret access key. No repr, message or log contains it.
        arn, user_id: The identity that `sts:GetCallerIdentity` returns.
        session_token: The token that must be sent with a temporary key; None for a long-term one.
    """

    account_id: str
    arn: str
    user_id: str
    secret: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class Credentials(Protocol):
    """Finds an access key. Called in a worker thread, for each request whose key is not cached (`access_keys`)."""

    def __call__(self, access_key_id: str, /) -> SecretKey | None:
        """Return the key, or None where it does not exist or is not active."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a signature: an access key, a day (YYYYMMDD), a region, a service (its signing name)."""

    access_key_id: str
    date: str
    region: str
    service: str

    @property
    def credential_scope(self) -> str:
        """The scope as it is in the string to sign."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Signer:
    """A verified signature: its scope, the key that made it, and the names of the headers that it covers."""

    scope: Scope
    key: SecretKey = field(repr=False)
    signed_headers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ClaimedSignature:
    """A signature as it is in the request, not verified yet."""

    scope: Scope
    signed_headers: Sequence[str]
    signature: str
    timestamp: str
    session_token: str | None
    expires: timedelta | None
    is_presigned: bool


def scope_of(request: HttpRequest) -> Scope | None:
    """Return the scope that a request claims, without verification; None where it is not or wrongly signed."""
    signature = claimed_signature(request)
    return None if signature is None else signature.scope


def header_scope_of(request: HttpRequest) -> Scope | None:
    """Like `scope_of`, but None for a presigned request too: a web page can make a browser send any query."""
    signature = claimed_signature(request)
    return None if signature is None or signature.is_presigned else signature.scope


def claimed_signature(request: HttpRequest) -> ClaimedSignature | None:
    """Return the signature in a request, for ``verify``; None where it is not or wrongly signed."""
    try:
        return _read_signature(request)
    except (MissingAuthenticationTokenException, IncompleteSignatureException):
        return None


def verify(
    request: HttpRequest,
    credentials: Credentials,
    clock: Callable[[], datetime],
    claimed: ClaimedSignature | None = None,
) -> Signer:
    """Verify the request's signature.

    Args:
        credentials: Looks access keys up.
        clock: The present time, aware.
        claimed: The request's ``claimed_signature``, where it was read already.

    Raises:
        MissingAuthenticationTokenException: The request is not signed.
        IncompleteSignatureException: A part of the signature is missing or malformed.
        UnrecognizedClientException: The access key or its session token is unknown.
        InvalidSignatureException: The signature does not match, is too old, or not valid yet.
    """
    claimed = claimed or _read_signature(request)
    key = credentials(claimed.scope.access_key_id)
    if key is None:
        raise UnrecognizedClientException("The security token included in the request is invalid.")
    _check_session_token(claimed, key)
    _check_time(claimed, clock())
    _check_signed_headers(request, claimed)
    scope = claimed.scope
    signing_key = _signing_key(key.secret, scope.date, scope.region, scope.service)
    sent = _canonical_path(request.raw_path)
    if not _matches(signing_key, request, claimed, sent):
        normal = _canonical_path(_normalised(request.raw_path))
        if normal != sent and _matches(signing_key, request, claimed, normal):
            raise InvalidSignatureException(
                f"The request was signed for the path {echo(_normalised(request.raw_path))} and sent with the path "
                f"{echo(request.raw_path)}. Sign the path as it is sent: in a topic or name, escape a slash as %2F and "
                "a level '.' or '..' as %2E or %2E%2E."
            )
        raise InvalidSignatureException(_SIGNATURE_MISMATCH)
    return Signer(claimed.scope, key, frozenset(claimed.signed_headers))


def _matches(signing_key: bytes, request: HttpRequest, claimed: ClaimedSignature, path: str) -> bool:
    # All candidates are computed and compared in constant time, so that the time does not show which one is close.
    matches = [
        hmac.compare_digest(_hmac(signing_key, text).hex().encode(), claimed.signature.encode())
        for text in _strings_to_sign(request, claimed, path)
    ]
    return any(matches)


# Reading the signature in the request.


def _read_signature(request: HttpRequest) -> ClaimedSignature:
    authorization = request.header("authorization")
    if authorization is not None:
        return _read_authorization(request, authorization)
    query = dict(request.query)
    if "X-Amz-Algorithm" in query or "X-Amz-Signature" in query:
        # The signature covers parameters in sorted order, so it does not say which of two was last.
        names = [name for name, _ in request.query if name.startswith("X-Amz-")]
        if len(names) != len(set(names)):
            raise IncompleteSignatureException("An AWS query-string parameter (X-Amz-...) is given twice.")
        return _read_presigned(query)
    raise MissingAuthenticationTokenException(
        "Missing Authentication Token: the request is not signed. Configure the AWS access key that Sekisho gave "
        'you (`eval "$(sekisho env)"` does so).'
    )


def _read_authorization(request: HttpRequest, authorization: str) -> ClaimedSignature:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignatureException(f"Unsupported AWS 'algorithm' in Authorization: use {ALGORITHM}.")
    parts = {match[1]: match[2].strip() for match in _AUTHORIZATION_PART.finditer(rest)}
    for name in ("Credential", "Signature", "SignedHeaders"):
        if not parts.get(name):
            raise IncompleteSignatureException(f"Authorization header requires '{name}' parameter.")
    timestamp = request.header("x-amz-date") or _from_http_date(request.header("date"))
    if timestamp is None:
        raise IncompleteSignatureException(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    return _signature(
        parts["Credential"],
        parts["SignedHeaders"],
        parts["Signature"],
        timestamp,
        session_token=request.header("x-amz-security-token"),
        expires=None,
        is_presigned=False,
    )


def _read_presigned(query: dict[str, str]) -> ClaimedSignature:
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise IncompleteSignatureException(f"Unsupported AWS 'X-Amz-Algorithm': use {ALGORITHM}.")
    for name in ("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"):
        if not query.get(name):
            raise IncompleteSignatureException(f"AWS query-string parameters must include '{name}'.")
    return _signature(
        query["X-Amz-Credential"],
        query["X-Amz-SignedHeaders"],
        query["X-Amz-Signature"],
        query["X-Amz-Date"],
        session_token=query.get("X-Amz-Security-Token"),
        expires=_read_expires(query.get("X-Amz-Expires")),
        is_presigned=True,
    )


def _signature(
    credential: str,
    signed_headers: str,
    signature: str,
    timestamp: str,
    *,
    session_token: str | None,
    expires: timedelta | None,
    is_presigned: bool,
) -> ClaimedSignature:
    return ClaimedSignature(
        scope=_read_scope(credential),
        signed_headers=signed_headers.split(";"),
        signature=signature,
        timestamp=timestamp,
        session_token=session_token,
        expires=expires,
        is_presigned=is_presigned,
    )


def _read_scope(credential: str) -> Scope:
    parts = credential.split("/")
    if len(parts) < 5 or parts[-1] != "aws4_request":
        raise IncompleteSignatureException(
            "Credential must have at least 5 slash-delimited elements and end with 'aws4_request': "
            "<access key>/YYYYMMDD/<region>/<service>/aws4_request."
        )
    scope = Scope("/".join(parts[:-4]), *parts[-4:-1])
    if _REGION.fullmatch(scope.region) is None:
        raise IncompleteSignatureException("Credential names no region of the form 'eu-central-1'.")
    return scope


def _from_http_date(date: str | None) -> str | None:
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date).astimezone(UTC).strftime(_TIMESTAMP)
    except (ValueError, OverflowError):
        return date


def _read_expires(expires: str | None) -> timedelta | None:
    if expires is None:
        return None
    if not (expires.isascii() and expires.isdigit() and 0 < len(expires) <= 6):
        raise IncompleteSignatureException(
            f"X-Amz-Expires must be a number of seconds of at most {MAX_EXPIRES.total_seconds():.0f}."
        )
    lifetime = timedelta(seconds=int(expires))
    if lifetime > MAX_EXPIRES:
        raise IncompleteSignatureException(f"X-Amz-Expires must be at most {MAX_EXPIRES.total_seconds():.0f} seconds.")
    return lifetime


# Checks before the signature itself.


def _check_session_token(claimed: ClaimedSignature, key: SecretKey) -> None:
    expected = key.session_token or ""
    if not hmac.compare_digest(expected.encode(), (claimed.session_token or "").encode()):
        raise UnrecognizedClientException(
            "The security token included in the request is invalid. "
            + (
                "Send the session token that came with this access key."
                if key.session_token is not None
                else "This access key has no session token: unset AWS_SESSION_TOKEN."
            )
        )


def _check_time(claimed: ClaimedSignature, now: datetime) -> None:
    try:
        if _TIMESTAMP_FORM.fullmatch(claimed.timestamp) is None:
            raise ValueError
        signed_at = datetime.fromisoformat(claimed.timestamp)
    except ValueError:
        raise IncompleteSignatureException(
            "Date must be in ISO-8601 'basic format', such as 20260131T120000Z."
        ) from None
    if claimed.timestamp[:8] != claimed.scope.date:
        raise InvalidSignatureException(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{echo(claimed.scope.date)}' != '{claimed.timestamp[:8]}'."
        )
    allowed = CLOCK_SKEW if claimed.expires is None else claimed.expires
    if now > signed_at + allowed:
        raise InvalidSignatureException(
            f"Signature expired: {claimed.timestamp} is now earlier than {_show(now - allowed)} "
            f"({_show(now)} - {_span(allowed)}). Set the client's clock."
        )
    if signed_at > now + CLOCK_SKEW:
        raise InvalidSignatureException(
            f"Signature not yet current: {claimed.timestamp} is still later than {_show(now + CLOCK_SKEW)} "
            f"({_show(now)} + {_span(CLOCK_SKEW)}). Set the client's clock."
        )


def _check_signed_headers(request: HttpRequest, claimed: ClaimedSignature) -> None:
    if "host" not in claimed.signed_headers:
        raise InvalidSignatureException("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    absent = [echo(name) for name in claimed.signed_headers if request.header(name) is None]
    if absent:
        raise InvalidSignatureException(
            f"The signature covers headers that the request does not have: {', '.join(absent[:10])}. "
            "A proxy may have removed them."
        )


def _show(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_TIMESTAMP)


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    return f"{seconds // 60} min." if seconds % 60 == 0 else f"{seconds} s"


# The signature.


def _strings_to_sign(request: HttpRequest, claimed: ClaimedSignature, path: str) -> Iterator[str]:
    """Return the strings to sign that a correct client may have used; one for nearly every request."""
    headers = "".join(f"{name}:{_header_value(request, name)}\n" for name in claimed.signed_headers)
    names = ";".join(claimed.signed_headers)
    payload = _payload_hash(request, claimed)
    for query in _canonical_queries(request, claimed):
        canonical = "\n".join((request.method, path, query, headers, names, payload))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        yield "\n".join((ALGORITHM, claimed.timestamp, claimed.scope.credential_scope, digest))


def _canonical_path(path: str) -> str:
    return quote(path or "/", safe="/~")


def _normalised(path: str) -> str:
    """Return the path without empty and dot segments, as botocore signs it."""
    normal = posixpath.normpath("/" + path.lstrip("/"))
    return f"{normal}/" if path.endswith("/") and normal != "/" else normal


def _canonical_queries(request: HttpRequest, claimed: ClaimedSignature) -> Sequence[str]:
    excluded = {"X-Amz-Signature"} if claimed.is_presigned else set[str]()
    exclusions = [excluded]
    if claimed.is_presigned and claimed.scope.service == _WEBSOCKET_SERVICE:
        exclusions.append(excluded | {"X-Amz-Security-Token"})
    if not request.query_string:
        return [""]
    sent = [pair.partition("=")[::2] for pair in request.query_string.split("&") if pair]
    forms = []
    for names in exclusions:
        kept = [(name, value) for name, value in sent if name not in names]
        encoded = [(_encode(unquote_plus(name)), _encode(unquote_plus(value))) for name, value in kept]
        forms += [_sorted_query(encoded), _sorted_query(kept)]
    return list(dict.fromkeys(forms))


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _sorted_query(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _header_value(request: HttpRequest, name: str) -> str:
    values = (value for sent, value in request.headers if sent == name)
    return ",".join(" ".join(value.split()) for value in values)


def _payload_hash(request: HttpRequest, claimed: ClaimedSignature) -> str:
    """Return the hash of the body, unless a signed header declares that the body is not signed."""
    declared = request.header(_CONTENT_HASH) if _CONTENT_HASH in claimed.signed_headers else None
    if declared == _UNSIGNED_PAYLOAD:
        return _UNSIGNED_PAYLOAD
    return hashlib.sha256(request.body).hexdigest()


@lru_cache(maxsize=_SIGNING_KEYS)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
