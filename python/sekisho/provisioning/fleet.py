"""Fleet provisioning: a device with a claim certificate gets one of its own, over MQTT.

On one connection the device asks for a certificate (``$aws/certificates/create/…``, or ``create-from-csr/…`` with a
request of its own), and gets it with an ownership token; with the token it asks for a template to be carried out
(``$aws/provisioning-templates/<name>/provision/…``), which makes its thing and lets the certificate connect. Until then
the certificate waits for activation; where no device provisions with it within an hour, it is removed. Each answer goes
to the connection that asked and nowhere else, under ``…/accepted`` or ``…/rejected``; in JSON or CBOR, as the topic
ends.

A template is carried out in one transaction with the token's end: it is done once or not at all.

Source: Developer Guide, provision-wo-cert, fleet-provision-api, pre-provisioning-hook. AWS documents the error codes
``InvalidCertificateOwnershipToken`` and ``ACCESS_DENIED``; the others are made after them.
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
"""How long a new certificate waits to be provisioned with (Developer Guide, fleet-provision-api)."""

HOOK_SECONDS: Final = 5.0
"""How long a pre-provisioning hook may take (Developer Guide, pre-provisioning-hook)."""

_TOKEN_BYTES: Final = 96
_MANY: Final = 256


class _Rejected(Exception):
    """What a device is told when it does not get what it asked for."""

    # No frozen dataclass: a transaction that it ends has to write its traceback down.
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class FleetProvisioning:
    """Answers devices that ask for certificates and to be provisioned (``messaging.requests.Service``)."""

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
        """The answer of AWS IoT to a request; None to one on a topic that ends neither in json nor in cbor."""
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
            # A device that is told so tries again; one that hears nothing waits.
            log.exception(LogEvent.PROVISIONING_FAILED, **_for_the_log(request))
            return _rejection(request, form, _Rejected(500, _FAILURE, "The server could not do it; its log says why."))
        return Reply(f"{request.topic}/accepted", form.write(answer))

    def throttled(self, request: Request) -> Reply | None:
        """The answer to a request that is not carried out because too many wait (``Service.throttled``)."""
        form = _FORMS.get(request.topic.rsplit("/", 1)[-1])
        return None if form is None else _rejection(request, form, _THROTTLED)

    def forget_unclaimed(self) -> int:
        """Remove certificates whose ownership token has expired, and the tokens; how many tokens there were.

        A certificate that somebody has activated meanwhile stays.
        """
        forgotten = 0
        while True:
            with self._store.write() as tx:
                expired = OwnershipTokenRows(tx).expired(self._clock(), _MANY)
                for token in expired:
                    _forget(tx, token)
            forgotten += len(expired)
            if len(expired) < _MANY:
                return forgotten

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
        """A new token, and what writes it down with its certificate."""
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
                template, version = templates.in_force(tx, request.realm, template_name)
            _require_agreement(parameters, certificate)
            _require_usable(template)
            if template.hook is not None:
                overrides = self._ask_hook(template, template.hook.target_arn, certificate, request, parameters)
            body = parse(version.body, Use.FLEET_PROVISIONING)
            done = self._carry_out(request, digest, body, parameters, overrides, version.version_id)
        return {
            "deviceConfiguration": dict(done.device_configuration),
            "thingName": done.thing_name,
        }

    def _carry_out(
        self,
        request: Request,
        digest: str,
        template: Template,
        parameters: Mapping[str, str],
        overrides: Mapping[str, str],
        version: int,
    ) -> Provisioned:
        with self._store.write() as tx:
            # Somebody else may have used the token since it was looked at.
            certificate = self._owned(tx, request, digest)
            supplied = _supplied(certificate)
            given = {**parameters, **overrides, **supplied}
            # A device may have chosen its certificate's subject. A hook that gives back a value has not chosen it.
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
        """The certificate that the token stands for, while it waits for its device."""
        token = OwnershipTokenRows(tx).get(request.realm, digest)
        if token is None or token.claim_certificate_id != request.certificate_id or token.expires_at <= self._clock():
            raise _Rejected(
                400,
                _BAD_TOKEN,
                "The certificate ownership token is unknown, expired (after an hour), used already, or was given to a "
                "connection with another certificate. Ask for a new certificate.",
            )
        certificate = CertificateRows(tx).get(request.realm, token.certificate_id)
        if certificate is None:
            raise _Rejected(400, _BAD_TOKEN, "The certificate of this ownership token was deleted. Ask for a new one.")
        return certificate

    def _ask_hook(
        self,
        template: ProvisioningTemplate,
        function: str,
        certificate: Certificate,
        request: Request,
        parameters: Mapping[str, str],
    ) -> Mapping[str, str]:
        """The hook's values for parameters, where it allows the device to be provisioned."""
        event = {
            "claimCertificateId": request.certificate_id,
            "certificateId": certificate.certificate_id,
            "certificatePem": certificate.certificate_pem,
            "templateArn": arn.provisioning_template(template.realm, template.name),
            "clientId": request.client_id,
            "parameters": dict(parameters),
        }
        try:
            answer = self._handlers.invoke(template.realm, function, event, timeout=HOOK_SECONDS)
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
            raise _Rejected(500, _FAILURE, "The pre-provisioning hook gave no answer that can be used.")
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
                f"The pre-provisioning hook gave {other} another value than the certificate's, which no hook may do.",
            )
        return overrides or {}


_BAD_TOKEN: Final = "InvalidCertificateOwnershipToken"  # noqa: S105 - the name of an error
_BAD_TEMPLATE: Final = "InvalidTemplate"
_FAILURE: Final = "InternalFailure"
_THROTTLED: Final = _Rejected(
    429, "Throttling", "Too many requests of this account, certificate or connection wait. Try again later."
)
_RESERVED: Final = "AWS::"
"""The prefix of parameters whose values the service supplies."""


class _rejecting:  # noqa: N801 - reads as the statement that it is
    """What the domain and the store raise becomes a rejection."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case AwsException():
                raise _Rejected(_status(error), error.code.removesuffix("Exception"), error.message) from None
            case TemplateError():
                raise _Rejected(400, _BAD_TEMPLATE, str(error)) from None
            case StoreError():
                log.write(LogEvent.REGISTRY_UNAVAILABLE, reason=str(error))
                raise _Rejected(503, "ServiceUnavailable", "The registry cannot be used at present.") from None


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
    """The models give fleet provisioning none: those of HTTP."""
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
            f"Provisioning template {name} is not enabled; UpdateProvisioningTemplate enables it.",
        )


def _forget(tx: Transaction, token: OwnershipToken) -> None:
    certificate = CertificateRows(tx).get(token.realm, token.certificate_id)
    if certificate is not None and certificate.status is CertificateStatus.PENDING_ACTIVATION:
        certificates.remove_in(tx, certificate)
    OwnershipTokenRows(tx).remove(token.realm, token.token_sha256)


def _about(error: TemplateError | ProvisioningError, certificate: Certificate, version: int) -> str:
    # The other one says itself whose it is.
    whose = f" (certificateId={certificate.certificate_id})" if isinstance(error, TemplateError) else ""
    return f"version {version} of the template: {error}{whose}"


def _digest(token: str) -> str:
    # What opens a certificate is not kept in the clear.
    return hashlib.sha256(token.encode()).hexdigest()


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value or not is_text(value):
        raise _Rejected(400, "InvalidRequest", f"{name} is missing, or is no text.")
    return value


def _parameters(asked: Mapping[str, Any]) -> dict[str, str]:
    parameters = asked.get("parameters")
    if parameters is None:
        return {}
    if not _is_texts(parameters):
        raise _Rejected(400, "InvalidParameters", "parameters has to be an object of texts.")
    for name in sorted(parameters):
        if name.startswith(_RESERVED) and name not in CERTIFICATE_PARAMETERS:
            raise _Rejected(
                400,
                "InvalidParameters",
                f"{name[:100]} is no parameter: names that begin with {_RESERVED} are the service's, which has "
                f"{', '.join(sorted(CERTIFICATE_PARAMETERS))}.",
            )
    return dict(parameters)


def _supplied(certificate: Certificate) -> Mapping[str, str]:
    return certificate_parameters(X509Certificate.from_pem(certificate.certificate_pem))


def _disagreement(parameters: Mapping[str, str], certificate: Certificate) -> str | None:
    """The name of a parameter of the certificate that is given another value than the certificate's, or None."""
    repeated = sorted(name for name in parameters if name.startswith(_RESERVED))
    if not repeated:
        return None
    supplied = _supplied(certificate)
    return next((name for name in repeated if supplied.get(name) != parameters[name]), None)


def _require_agreement(parameters: Mapping[str, str], certificate: Certificate) -> None:
    # Published firmware repeats the id; a value that differs would be somebody else's certificate.
    name = _disagreement(parameters, certificate)
    if name is not None:
        value = _supplied(certificate).get(name)
        has = "the certificate has none" if value is None else f"its value is {value}"
        raise _Rejected(
            400,
            "InvalidParameters",
            f"{name} is taken from the certificate of the ownership token ({has}), and the request gives another "
            "value. Leave it out, or give exactly that value.",
        )


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, str) and is_text(each) for pair in value.items() for each in pair
    )


@dataclass(frozen=True, slots=True)
class _Form:
    """How a payload is written."""

    name: str
    load: Callable[[bytes], Any]
    write: Callable[[Mapping[str, Any]], bytes]

    def read(self, payload: bytes) -> Mapping[str, Any]:
        """The object in a payload; an empty one has none."""
        if not payload:
            return {}
        try:
            content = self.load(payload)
        except (ValueError, RecursionError) as error:
            raise _Rejected(400, "InvalidRequest", f"The payload is not {self.name}: {error}") from None
        if not isinstance(content, dict):
            raise _Rejected(400, "InvalidRequest", f"The payload is no {self.name} object.")
        return content


# cbor2 is imported where it is used: hardly any device speaks it, and the server starts the sooner.
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
