"""Changes that live connections may depend on. The store announces them to the data plane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sekisho.arn import Arn
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason


class ChangeKind(StrEnum):
    """The kind of what changed. The values are those of the data plane's ``invalidate``."""

    CERTIFICATE = "certificate"
    POLICY = "policy"
    THING = "thing"
    REALM = "realm"
    ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of what live connections may use. ``id``: certificate id, policy name or thing name."""

    realm: Realm
    kind: ChangeKind
    id: str
    lost: RefusalReason | None = None
    """Why a certificate may not be used any more. The gateway closes its connections without an admission request."""


def of_principal(realm: Realm, principal: str) -> tuple[Change, ...]:
    """Return the change of the certificate whose ARN is ``principal``; none for a Cognito identity: it cannot connect.

    Whether the certificate is registered does not matter.
    """
    parsed = Arn.parse(principal)
    if parsed is None or parsed.service != "iot" or parsed.type != "cert":
        return ()
    return (Change(realm, ChangeKind.CERTIFICATE, parsed.name),)


def merged(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return each change once, in the order in which they came first, each with the last ``lost`` that was given."""
    found: dict[tuple[Realm, ChangeKind, str], Change] = {}
    for change in changes:
        key = (change.realm, change.kind, change.id)
        if key not in found or change.lost is not None:
            found[key] = change
    return tuple(found.values())
