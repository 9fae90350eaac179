"""Changes that live connections may depend on: what the store announces and the data plane learns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sekisho.arn import Arn
from sekisho.realm import Realm
from sekisho.refusal import RefusalReason


class ChangeKind(StrEnum):
    """What changed, in the words of the data plane's ``invalidate``."""

    CERTIFICATE = "certificate"
    POLICY = "policy"
    THING = "thing"
    REALM = "realm"
    ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that live connections may use was changed. ``id``: certificate id, policy name, thing name."""

    realm: Realm
    kind: ChangeKind
    id: str
    lost: RefusalReason | None = None
    """Of a certificate that may not be used any more: why. The gateway closes its connections without asking."""


def of_principal(realm: Realm, principal: str) -> tuple[Change, ...]:
    """Return the change of the certificate whose ARN is ``principal``; none of a Cognito identity, which connects not.

    Whether the certificate is registered does not matter.
    """
    parsed = Arn.parse(principal)
    if parsed is None or parsed.service != "iot" or parsed.type != "cert":
        return ()
    return (Change(realm, ChangeKind.CERTIFICATE, parsed.name),)


def merged(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return each change once, in the order of the first of its kind; of a lost right with the last reason."""
    found: dict[tuple[Realm, ChangeKind, str], Change] = {}
    for change in changes:
        key = (change.realm, change.kind, change.id)
        if key not in found or change.lost is not None:
            found[key] = change
    return tuple(found.values())
