"""The resource of a request that may give its name or its ARN."""

from __future__ import annotations

from sekisho.arn import Arn
from sekisho.errors import InvalidRequestException
from sekisho.realm import Realm


def by_name_or_arn(realm: Realm, kind: str, name: str | None, arn: str | None) -> str:
    """Return the name of a resource that a request names by ``name``, by ``arn``, or by both.

    Args:
        kind: The resource's type in ARNs, such as ``thinggroup``.

    Raises:
        InvalidRequestException: Neither is given; they contradict each other; the ARN is of another kind, account or
            region.
    """
    if arn is None:
        if name is None:
            raise InvalidRequestException(f"Say which {kind}: give its name or its ARN.")
        return name
    parsed = Arn.parse(arn)
    if parsed is None or parsed.service != "iot" or parsed.type != kind:
        raise InvalidRequestException(
            f"{arn[:200]!r} is not the ARN of a {kind}: arn:aws:iot:{realm.region}:{realm.account_id}:{kind}/<name>."
        )
    require_same_realm(realm, parsed, arn)
    if name is not None and name != parsed.name:
        raise InvalidRequestException(f"The name {name!r} and the ARN {arn[:200]!r} name two different resources.")
    return parsed.name


def require_same_realm(realm: Realm, parsed: Arn, text: str) -> None:
    """Refuse the ARN ``text`` of another account or region with InvalidRequestException."""
    if parsed.realm != realm:
        raise InvalidRequestException(
            f"{text[:200]!r} belongs to account {parsed.realm.account_id or '(none)'} in region "
            f"{parsed.realm.region or '(none)'}; this request is for account {realm.account_id} in {realm.region}."
        )
