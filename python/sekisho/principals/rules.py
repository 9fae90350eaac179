"""Principals and policy targets, as requests name them.

A principal is a device certificate, named by its ARN, or an Amazon Cognito identity, named by its id
(``<region>:<uuid>``). A policy target is a principal or a thing group. Sekisho has no registry of Cognito identities,
so it accepts each well-formed id.

Source: API Reference, AttachThingPrincipal and AttachPolicy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sekisho import arn, naming
from sekisho.arn import Arn
from sekisho.certificates.model import Certificate
from sekisho.certificates.store import CertificateRows
from sekisho.errors import InvalidRequestException, ResourceNotFoundException
from sekisho.realm import Realm
from sekisho.store.transaction import Transaction
from sekisho.thing_groups import inheritance

_COGNITO_IDENTITY: Final = re.compile(r"[a-z]{2}[a-z0-9-]*-[0-9]:[0-9a-fA-F-]{1,55}")
_CERTIFICATE_ID: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Principal:
    """A certificate, a Cognito identity (neither id nor name), or as a policy target a thing group."""

    realm: Realm
    text: str
    """The form that attachments store: for a certificate its ARN, with the id in lower case."""
    certificate_id: str | None
    group_name: str | None = None


def parse(realm: Realm, text: str) -> Principal:
    """Return the principal that ``text`` names.

    Raises:
        InvalidRequestException: It is not a principal of this realm.
    """
    parsed = Arn.parse(text)
    if parsed is not None and parsed.service == "iot" and parsed.type == "cert":
        naming.require_same_realm(realm, parsed, text)
        certificate_id = parsed.name.lower()
        if _CERTIFICATE_ID.fullmatch(certificate_id) is None:
            raise InvalidRequestException(
                f"{_shown(text)} is not a certificate ARN: what follows 'cert/' has to be a certificateId, "
                "64 hexadecimal digits."
            )
        certificate_id = certificate_id.removeprefix("0x")
        return Principal(realm, arn.certificate(realm, certificate_id), certificate_id)
    if _COGNITO_IDENTITY.fullmatch(text):
        return Principal(realm, text, None)
    if _CERTIFICATE_ID.fullmatch(text):
        raise InvalidRequestException(
            f"{_shown(text)} is a certificateId. Give the certificate's ARN: "
            f"{arn.certificate(realm, text.lower().removeprefix('0x'))}"
        )
    raise InvalidRequestException(
        f"{_shown(text)} is not a principal. Give the ARN of a certificate "
        f"(arn:aws:iot:{realm.region}:{realm.account_id}:cert/<certificateId>) or a Cognito identity id."
    )


def existing(tx: Transaction, realm: Realm, text: str) -> Principal:
    """Return the principal that ``text`` names, if its certificate is registered.

    Raises:
        InvalidRequestException: As ``parse``.
        ResourceNotFoundException: The realm has no such certificate.
    """
    principal = parse(realm, text)
    certificate_of(tx, principal)
    return principal


def certificate_of(tx: Transaction, principal: Principal) -> Certificate | None:
    """Return the certificate of a principal; None for a Cognito identity and for a thing group.

    Raises:
        ResourceNotFoundException: The realm has no such certificate.
    """
    if principal.certificate_id is None:
        return None
    certificate = CertificateRows(tx).get(principal.realm, principal.certificate_id)
    if certificate is None:
        # AWS IoT's message begins with this sentence, and tools compare it.
        raise ResourceNotFoundException(
            "The certificate given in the principal does not exist. "
            f"(certificateId={principal.certificate_id}, region={principal.realm.region})"
        )
    return certificate


def parse_target(realm: Realm, text: str) -> Principal:
    """Return the principal or thing group that ``text`` names as a policy target.

    Raises:
        InvalidRequestException: It is not a target of this realm.
    """
    parsed = Arn.parse(text)
    if parsed is not None and parsed.service == "iot" and parsed.type == "thinggroup":
        naming.require_same_realm(realm, parsed, text)
        return Principal(realm, arn.thing_group(realm, parsed.name), None, parsed.name)
    if parsed is not None and parsed.service == "iot" and parsed.type == "thing":
        raise InvalidRequestException(
            f"{_shown(text)} is a thing. A policy can be attached to a certificate, a Cognito identity or a thing "
            "group. Attach it to the certificate of the thing."
        )
    return parse(realm, text)


def existing_target(tx: Transaction, realm: Realm, text: str) -> Principal:
    """Return the target that ``text`` names, if its certificate or thing group exists.

    Raises:
        InvalidRequestException: It is not a target of this realm.
        ResourceNotFoundException: The realm has no such certificate or thing group.
    """
    target = parse_target(realm, text)
    if target.group_name is not None:
        inheritance.existing_group(tx, realm, target.group_name)
    certificate_of(tx, target)
    return target


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:200] + "…")
