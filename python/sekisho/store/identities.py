"""The gate's look-up (``ports.IdentityRows``): three statements for a whole batch of connections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, and_, bindparam, exists, select

from sekisho import arn
from sekisho.realm import Realm
from sekisho.registry.model import Identity, IdentityThing, PolicyVersion, ThingPrincipalType
from sekisho.store import schema
from sekisho.store.certificates import certificate_of
from sekisho.store.policies import policy_version_of

_CERTIFICATES = schema.certificates
_POLICIES = schema.policies
_VERSIONS = schema.policy_versions
_TARGETS = schema.policy_targets
_ATTACHMENTS = schema.attachments
_THINGS = schema.things
_ROTATIONS = schema.rotations

CHUNK: Final = 250
"""Keys per statement: fewer than the 999 parameters that any SQLite allows."""

# One column is compared with the keys, the first of an index, and what another realm has of it is left out here: for a
# list of tuples SQLite reads the whole table. A certificate is in few realms, and an ARN belongs to one.
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)

# Within the same statement, since hardly any certificate is waited for.
_IS_AWAITED = (
    exists()
    .where(
        _ROTATIONS.c.new_certificate_id == _CERTIFICATES.c.certificate_id,
        _ROTATIONS.c.account_id == _CERTIFICATES.c.account_id,
        _ROTATIONS.c.region == _CERTIFICATES.c.region,
        schema.PENDING,
    )
    .label("is_awaited")
)

_CERTIFICATES_OF = select(_CERTIFICATES, _IS_AWAITED).where(_CERTIFICATES.c.certificate_id.in_(_KEYS))

_POLICIES_OF = (
    select(_TARGETS.c.target, _VERSIONS)
    .join(
        _POLICIES,
        and_(
            _POLICIES.c.account_id == _TARGETS.c.account_id,
            _POLICIES.c.region == _TARGETS.c.region,
            _POLICIES.c.name == _TARGETS.c.policy_name,
        ),
    )
    .join(
        _VERSIONS,
        and_(
            _VERSIONS.c.account_id == _POLICIES.c.account_id,
            _VERSIONS.c.region == _POLICIES.c.region,
            _VERSIONS.c.policy_name == _POLICIES.c.name,
            _VERSIONS.c.version_id == _POLICIES.c.default_version_id,
        ),
    )
    .where(_TARGETS.c.target.in_(_KEYS))
    .order_by(_TARGETS.c.seq)
)

_THINGS_OF = (
    select(_ATTACHMENTS.c.principal, _ATTACHMENTS.c.type, _THINGS)
    .join(
        _THINGS,
        and_(
            _THINGS.c.account_id == _ATTACHMENTS.c.account_id,
            _THINGS.c.region == _ATTACHMENTS.c.region,
            _THINGS.c.name == _ATTACHMENTS.c.thing_name,
        ),
    )
    .where(_ATTACHMENTS.c.principal.in_(_KEYS))
    .order_by(_ATTACHMENTS.c.seq)
)


class SqlIdentities:
    """All that the gate needs to know of certificates. The cost of a key does not depend on how many are registered."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def look_up(self, keys: Sequence[tuple[Realm, str]]) -> Mapping[tuple[Realm, str], Identity]:
        """(realm, certificate_id) → identity. Policies and things in the order they were attached. Absent: unknown."""
        found: dict[tuple[Realm, str], Identity] = {}
        asked = list(dict.fromkeys(keys))
        for start in range(0, len(asked), CHUNK):
            found |= self._look_up(asked[start : start + CHUNK])
        return found

    def _look_up(self, keys: Sequence[tuple[Realm, str]]) -> dict[tuple[Realm, str], Identity]:
        wanted = set(keys)
        ids = list({certificate_id for _, certificate_id in keys})
        # By realm and ARN, under which policies and things are attached to it.
        certificates = {
            (each.realm, arn.certificate(each.realm, each.certificate_id)): (each, is_awaited)
            for each, is_awaited in (
                (certificate_of(row), bool(row.is_awaited))
                for row in self._connection.execute(_CERTIFICATES_OF, {"keys": ids})
            )
            if (each.realm, each.certificate_id) in wanted
        }
        if not certificates:
            return {}

        principals = [principal for _, principal in certificates]
        policies: defaultdict[tuple[Realm, str], list[PolicyVersion]] = defaultdict(list)
        for row in self._connection.execute(_POLICIES_OF, {"keys": principals}):
            policies[Realm(row.account_id, row.region), row.target].append(policy_version_of(row))
        things: defaultdict[tuple[Realm, str], list[IdentityThing]] = defaultdict(list)
        for row in self._connection.execute(_THINGS_OF, {"keys": principals}):
            exclusive = row.type == ThingPrincipalType.EXCLUSIVE_THING
            things[Realm(row.account_id, row.region), row.principal].append(
                IdentityThing(row.name, row.type_name, row.attributes, exclusive)
            )
        return {
            (certificate.realm, certificate.certificate_id): Identity(
                certificate=certificate,
                policies=tuple(policies[key]),
                things=tuple(things[key]),
                is_awaited=is_awaited,
            )
            for key, (certificate, is_awaited) in certificates.items()
        }
