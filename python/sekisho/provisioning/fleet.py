"""Fleet provisioning: a device with a claim certificate gets its own certificate, over MQTT.

On one connection the device requests a certificate (``$aws/certificates/create/…``, or ``create-from-csr/…`` with its
certificate signing request) and gets it with an ownership token. With the token it requests to be provisioned by a
template (``$aws/provisioning-templates/<name>/provision/…``), which creates its thing and activates the certificate.
Until then the certificate is PENDING_ACTIVATION; if the token is not used within an hour, the certificate is removed.
Replies go only to the connection that sent the request, on ``…/accepted`` or ``…/rejected``. They are JSON or CBOR, as
the end of the topic says.

One transaction applies a template and removes its token, so a token provisions once.

Source: Developer Guide, provision-wo-cert, fleet-provision-api, pre-provisioning-hook. AWS documents the error codes
``InvalidCertificateOwnershipToken`` and ``ACCESS_DENIED``; the other codes are Sekisho's.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Final

from sekisho import arn
from sekisho.certificates import rules as certificates
from sekisho.certificates.model import Certificate, CertificateStatus
from sekisho.certificates.rules import Certificates
from sekisho.certificates.store import CertificateRows
from sekisho.clock import Clock
from sekisho.errors import (
    AwsException,
    LimitExceededException,
    ResourceNotFoundException,
    ServiceUnavailableException,
    ThrottlingException,
)
from sekisho.messaging.requests import Reply, Request
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.threads import record_failure
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.engine import PolicyEngine
from sekisho.provisioning.handlers import HandlerFailed, Handlers
from sekisho.provisioning.provisioner import Provisioned, ProvisioningError, ResourceConflict, provision
from sekisho.provisioning.templates import rules as templates
from sekisho.provisioning.templates.model import ProvisioningTemplate, TemplateType
from sekisho.provisioning.tokens.model import OwnershipToken
from sekisho.provisioning.tokens.store import OwnershipTokenRows
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.templates.error import TemplateError
from sekisho.templates.json_text import is_text
from sekisho.templates.subject import certificate_parameters
from sekisho.templates.template import Template, parse
from sekisho.templates.use import CERTIFICATE_PARAMETERS, Use

TOKEN_LIFETIME: Final = timedelta(hours=1)
"""The time in which an ownership token has to be used (Developer Guide, fleet-provision-api)."""

HOOK_TIMEOUT_SECONDS: Final = 5.0
"""Seconds in which a pre-provisioning hook has to answer (Developer Guide, pre-provisioning-hook)."""

_TOKEN_BYTES: Final = 96
_TOKENS_PER_TRANSACTION: Final = 256


class _Rejected(Exception):
    """The error that a reply to a refused request has."""

    # Not a frozen dataclass: a context manager sets ``__traceback__`` of an exception that passes through it.
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class FleetProvisioning:
    """Answers requests of devices for certificates and for provisioning (``messaging.requests.Service``)."""

    topics: ClassVar = (
        "$aws/certificates/create/+",
        "$aws/certificates/create-from-csr/+",
        "$aws/provisioning-templates/+/provision/+",
    )

    def __init__(
        self,
        store: Store,
        clock: Clock,
        certificates: Certificates,
        engine: PolicyEngine,
        authority: IssuingAuthority,
        handlers: Handlers,
    ) -> None:
        self._store = store
        self._clock = clock
        self._certificates = certificates
        self._engine = engine
        self._authority = authority
        self._handlers = handlers

    def answer(self, request: Request) -> Reply | None:
        """Return the reply to a request; None on a topic that ends neither in json nor in cbor."""
        levels = request.topic.split("/")
        form = _FORMS.get(levels[-1])
        if form is None:
            return None
        try:
            asked = form.read(request.payload)
            match levels[1:-1]:
                case ["certificates", "create"]:
                    answer = self._create(request)
                case ["certificates", "create-from-csr"]:
                    answer = self._create_from_csr(request, asked)
                case _:
                    answer = self._provision(request, levels[2], asked)
        except _Rejected as rejected:
            log.write(
                LogEvent.PROVISIONING_REJECTED,
                error_code=rejected.code,
                reason=rejected.message,
                **_for_the_log(request),
            )
            return _rejection(request, form, rejected)
        except Exception as error:
            record_failure(error)
            # A device without a reply waits; one with an error retries.
            log.exception(LogEvent.PROVISIONING_FAILED, **_for_the_log(request))
            return _rejection(request, form, _Rejected(500, _FAILURE, "The request failed. The server's log says why."))
        return Reply(f"{request.topic}/accepted", form.write(answer))

    def throttled(self, request: Request) -> Reply | None:
        """Return the reply to a request that is not processed, because too many wait (``Service.throttled``)."""
        form = _FORMS.get(request.topic.rsplit("/", 1)[-1])
        return None if form is None else _rejection(request, form, _THROTTLED)

    def remove_expired(self) -> int:
        """Remove expired ownership tokens with their certificates; return the number of tokens.

        A certificate that is no longer PENDING_ACTIVATION remains.
        """
        removed = 0
        while True:
            with self._store.write() as tx:
                expired = OwnershipTokenRows(tx).expired(self._clock(), _TOKENS_PER_TRANSACTION)
                for token in expired:
                    _remove(tx, token)
            removed += len(expired)
            if len(expired) < _TOKENS_PER_TRANSACTION:
                return removed

    def _create(self, request: Request) -> Mapping[str, Any]:
        token, keep = self._token(request)
        with _rejecting():
            created = self._certificates.create_keys_and_certificate(request.realm, pending=keep)
        return {
            "certificateId": created.certificate.certificate_id,
            "certificatePem": created.certificate.certificate_pem,
            "privateKey": created.private_key_pem,
            "certificateOwnershipToken": token,
        }

    def _create_from_csr(self, request: Request, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        csr = _text(asked, "certificateSigningRequest")
        token, keep = self._token(request)
        with _rejecting():
            certificate = self._certificates.create_from_csr(
                request.realm,
                csr,
                principal_id=request.certificate_id,
                client_id=request.client_id,
                pending=keep,
            )
        return {
            "certificateOwnershipToken": token,
            "certificateId": certificate.certificate_id,
            "certificatePem": certificate.certificate_pem,
        }

    def _token(self, request: Request) -> tuple[str, Callable[[Transaction, Certificate], None]]:
        """Return a new token, and the function that stores it with its certificate."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)

        def keep(tx: Transaction, certificate: Certificate) -> None:
            OwnershipTokenRows(tx).add(
                OwnershipToken(
                    realm=certificate.realm,
                    token_sha256=_digest(token),
                    certificate_id=certificate.certificate_id,
                    claim_certificate_id=request.certificate_id,
                    expires_at=self._clock() + TOKEN_LIFETIME,
                )
            )

        return token, keep

    def _provision(self, request: Request, template_name: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        token = asked.get("certificateOwnershipToken")
        if token in (None, ""):
            raise _Rejected(400, _BAD_TOKEN, "Certificate ownership token cannot be empty.")
        digest = _digest(_text(asked, "certificateOwnershipToken"))
        parameters = _parameters(asked)
        overrides: Mapping[str, str] = {}
        with _rejecting():
            with self._store.read() as tx:
                certificate = self._owned(tx, request, digest)
                template, version = templates.with_default_version(tx, request.realm, template_name)
            _require_agreement(parameters, certificate)
            _require_usable(template)
            if template.hook is not None:
                overrides = self._call_hook(template, template.hook.target_arn, certificate, request, parameters)
            body = parse(version.body, Use.FLEET_PROVISIONING)
            done = self._apply(request, digest, body, parameters, overrides, version.version_id)
        return {
            "deviceConfiguration": dict(done.device_configuration),
            "thingName": done.thing_name,
        }

    def _apply(
        self,
        request: Request,
        digest: str,
        template: Template,
        parameters: Mapping[str, str],
        overrides: Mapping[str, str],
        version: int,
    ) -> Provisioned:
        with self._store.write() as tx:
            # Another request may have used the token since it was read.
            certificate = self._owned(tx, request, digest)
            supplied = _supplied(certificate)
            given = {**parameters, **overrides, **supplied}
            # A hook that returns the device's value has not chosen it: that is still a value from the device.
            from_device = {name for name, value in parameters.items() if overrides.get(name, value) == value}
            try:
                done = provision(
                    tx,
                    request.realm,
                    self._clock(),
                    template.resolve(given, from_device=from_device | supplied.keys()),
                    certificate=certificate,
                    engine=self._engine,
                    authority=self._authority,
                )
            except ResourceConflict as error:
                raise _Rejected(409, "ResourceConflict", _about(error, certificate, version)) from None
            except (TemplateError, ProvisioningError) as error:
                raise _Rejected(400, "InvalidParameters", _about(error, certificate, version)) from None
            OwnershipTokenRows(tx).remove(request.realm, digest)
        log.write(
            LogEvent.DEVICE_PROVISIONED,
            thing_name=done.thing_name,
            certificate_id=certificate.certificate_id,
            claim_certificate_id=request.certificate_id,
            account_id=request.realm.account_id,
            region=request.realm.region,
            client_id=request.client_id,
        )
        return done

    def _owned(self, tx: Transaction, request: Request, digest: str) -> Certificate:
        """Return the certificate of an ownership token. Raises _Rejected where the token is not valid."""
        token = OwnershipTokenRows(tx).get(request.realm, digest)
        if token is None or token.claim_certificate_id != request.certificate_id or token.expires_at <= self._clock():
            raise _Rejected(
                400,
                _BAD_TOKEN,
                "The certificate ownership token is unknown, used already, expired (after an hour), or was given to a "
                "connection with another certificate. Request a new certificate.",
            )
        certificate = CertificateRows(tx).get(request.realm, token.certificate_id)
        if certificate is None:
            raise _Rejected(400, _BAD_TOKEN, "The certificate of this ownership token was deleted. Request a new one.")
        return certificate

    def _call_hook(
        self,
        template: ProvisioningTemplate,
        function: str,
        certificate: Certificate,
        request: Request,
        parameters: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Return the hook's values for parameters. Raises _Rejected where it fails or refuses the device."""
        event = {
            "claimCertificateId": request.certificate_id,
            "certificateId": certificate.certificate_id,
            "certificatePem": certificate.certificate_pem,
            "templateArn": arn.provisioning_template(template.realm, template.name),
            "clientId": request.client_id,
            "parameters": dict(parameters),
        }
        try:
            answer = self._handlers.invoke(template.realm, function, event, timeout=HOOK_TIMEOUT_SECONDS)
        except HandlerFailed as error:
            log.write(
                LogEvent.HOOK_FAILED,
                template_name=template.name,
                function=function,
                reason=str(error),
                certificate_id=certificate.certificate_id,
                account_id=request.realm.account_id,
                region=request.realm.region,
                client_id=request.client_id,
            )
            raise _Rejected(500, _FAILURE, "The pre-provisioning hook failed.") from None
        allows = answer.get("allowProvisioning") if isinstance(answer, dict) else None
        overrides = answer.get("parameterOverrides") if isinstance(answer, dict) else None
        if not isinstance(allows, bool) or not (overrides is None or _is_texts(overrides)):
            log.write(
                LogEvent.HOOK_ANSWER_INVALID,
                remedy='answer {"allowProvisioning": true or false, "parameterOverrides": {"name": "text"}}',
                template_name=template.name,
                function=function,
                certificate_id=certificate.certificate_id,
                account_id=request.realm.account_id,
                region=request.realm.region,
                client_id=request.client_id,
            )
            raise _Rejected(500, _FAILURE, "The pre-provisioning hook returned an answer that is not valid.")
        if not allows:
            raise _Rejected(403, "ACCESS_DENIED", "The pre-provisioning hook refused to provision this device.")
        other = _disagreement(overrides or {}, certificate)
        if other is not None:
            log.write(
                LogEvent.HOOK_CHANGED_CERTIFICATE,
                template_name=template.name,
                function=function,
                parameter=other,
                certificate_id=certificate.certificate_id,
                account_id=request.realm.account_id,
                region=request.realm.region,
                client_id=request.client_id,
            )
            raise _Rejected(
                500,
                _FAILURE,
                f"The pre-provisioning hook returned a value for {other} that is not the certificate's.",
            )
        return overrides or {}


_BAD_TOKEN: Final = "InvalidCertificateOwnershipToken"  # noqa: S105 - the name of an error
_BAD_TEMPLATE: Final = "InvalidTemplate"
_FAILURE: Final = "InternalFailure"
_THROTTLED: Final = _Rejected(
    429, "Throttling", "Too many requests of this account, certificate or connection wait. Try again later."
)
_RESERVED: Final = "AWS::"
"""The prefix of the names of parameters that the service supplies."""


class _rejecting:  # noqa: N801 - reads as the statement that it is
    """Raises _Rejected instead of the errors of the domain and the store."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case AwsException():
                raise _Rejected(_status(error), error.code.removesuffix("Exception"), error.message) from None
            case TemplateError():
                raise _Rejected(400, _BAD_TEMPLATE, str(error)) from None
            case StoreError():
                log.write(LogEvent.REGISTRY_UNAVAILABLE, reason=str(error))
                raise _Rejected(503, "ServiceUnavailable", "The registry is not available. Try again.") from None


def _for_the_log(request: Request) -> Mapping[str, str]:
    return {
        "topic": request.topic,
        "account_id": request.realm.account_id,
        "region": request.realm.region,
        "client_id": request.client_id,
        "claim_certificate_id": request.certificate_id,
    }


def _rejection(request: Request, form: _Form, rejected: _Rejected) -> Reply:
    content = {"statusCode": rejected.status, "errorCode": rejected.code, "errorMessage": rejected.message}
    return Reply(f"{request.topic}/rejected", form.write(content))


def _status(error: AwsException) -> int:
    """Return the HTTP status of an error, since the models have none for fleet provisioning."""
    match error:
        case ResourceNotFoundException():
            return 404
        case ThrottlingException() | LimitExceededException():
            return 429
        case ServiceUnavailableException():
            return 503
    return 400


def _require_usable(template: ProvisioningTemplate) -> None:
    name = template.name
    if template.type is not TemplateType.FLEET_PROVISIONING:
        raise _Rejected(
            400, _BAD_TEMPLATE, f"Provisioning template {name} is of type {template.type}, not FLEET_PROVISIONING."
        )
    if not template.enabled:
        raise _Rejected(
            400,
            _BAD_TEMPLATE,
            f"Provisioning template {name} is not enabled. Enable it with UpdateProvisioningTemplate.",
        )


def _remove(tx: Transaction, token: OwnershipToken) -> None:
    certificate = CertificateRows(tx).get(token.realm, token.certificate_id)
    if certificate is not None and certificate.status is CertificateStatus.PENDING_ACTIVATION:
        certificates.remove_in(tx, certificate)
    OwnershipTokenRows(tx).remove(token.realm, token.token_sha256)


def _about(error: TemplateError | ProvisioningError, certificate: Certificate, version: int) -> str:
    # A ProvisioningError names the certificate itself.
    whose = f" (certificateId={certificate.certificate_id})" if isinstance(error, TemplateError) else ""
    return f"version {version} of the template: {error}{whose}"


def _digest(token: str) -> str:
    # A token is a secret: with it a device gets the rights of its certificate.
    return hashlib.sha256(token.encode()).hexdigest()


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value or not is_text(value):
        raise _Rejected(400, "InvalidRequest", f"{name} is missing, or is not a string.")
    return value


def _parameters(asked: Mapping[str, Any]) -> dict[str, str]:
    parameters = asked.get("parameters")
    if parameters is None:
        return {}
    if not _is_texts(parameters):
        raise _Rejected(400, "InvalidParameters", "parameters has to be an object whose values are strings.")
    for name in sorted(parameters):
        if name.startswith(_RESERVED) and name not in CERTIFICATE_PARAMETERS:
            raise _Rejected(
                400,
                "InvalidParameters",
                f"{name[:100]} is not a parameter. Names that begin with {_RESERVED} are reserved for "
                f"{', '.join(sorted(CERTIFICATE_PARAMETERS))}.",
            )
    return dict(parameters)


def _supplied(certificate: Certificate) -> Mapping[str, str]:
    return certificate_parameters(X509Certificate.from_pem(certificate.certificate_pem))


def _disagreement(parameters: Mapping[str, str], certificate: Certificate) -> str | None:
    """Return the name of a parameter of the certificate whose value is not the certificate's, or None."""
    repeated = sorted(name for name in parameters if name.startswith(_RESERVED))
    if not repeated:
        return None
    supplied = _supplied(certificate)
    return next((name for name in repeated if supplied.get(name) != parameters[name]), None)


def _require_agreement(parameters: Mapping[str, str], certificate: Certificate) -> None:
    # Published firmware repeats the id. Another value would be that of another certificate.
    name = _disagreement(parameters, certificate)
    if name is not None:
        value = _supplied(certificate).get(name)
        has = "the certificate has none" if value is None else f"its value is {value}"
        raise _Rejected(
            400,
            "InvalidParameters",
            f"{name} comes from the certificate of the ownership token ({has}), and the request has another value. "
            "Omit it, or give exactly that value.",
        )


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, str) and is_text(each) for pair in value.items() for each in pair
    )


@dataclass(frozen=True, slots=True)
class _Form:
    """An encoding of payloads."""

    name: str
    load: Callable[[bytes], Any]
    write: Callable[[Mapping[str, Any]], bytes]

    def read(self, payload: bytes) -> Mapping[str, Any]:
        """Decode the object in a payload; an empty payload is an empty object. Raises _Rejected."""
        if not payload:
            return {}
        try:
            content = self.load(payload)
        except (ValueError, RecursionError) as error:
            raise _Rejected(400, "InvalidRequest", f"The payload is not {self.name}: {error}") from None
        if not isinstance(content, dict):
            raise _Rejected(400, "InvalidRequest", f"The payload is not a {self.name} object.")
        return content


# cbor2 is imported where it is used: few devices use CBOR, and the server starts earlier.
def _from_cbor(payload: bytes) -> Any:
    import cbor2

    try:
        return cbor2.loads(payload)
    except cbor2.CBORError as error:
        raise ValueError(str(error)) from error


def _to_cbor(content: Mapping[str, Any]) -> bytes:
    import cbor2

    return cbor2.dumps(content)


_FORMS: Final = {
    "json": _Form("JSON", json.loads, lambda content: json.dumps(content, separators=(",", ":")).encode()),
    "cbor": _Form("CBOR", _from_cbor, _to_cbor),
}
