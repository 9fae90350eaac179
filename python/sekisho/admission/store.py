"""The look-up of identities, with few statements for a batch of connections.

There are three statements; two more where a thing is in a group; and one more for provisioning claims, where some
certificates are not registered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import BindParameter, and_, bindparam, exists, select

from sekisho import arn
from sekisho.admission.model import Identity, IdentityThing
from sekisho.certificates.store import CERTIFICATES, certificate_of
from sekisho.policies.model import PolicyVersion
from sekisho.policies.store import POLICIES, POLICY_TARGETS, POLICY_VERSIONS, policy_version_of
from sekisho.principals.model import ThingPrincipalType
from sekisho.principals.store import ATTACHMENTS
from sekisho.provisioning.claims.rules import identity_of
from sekisho.provisioning.claims.store import PROVISIONING_CLAIMS, claim_of
from sekisho.realm import Realm
from sekisho.rotation.store import PENDING, ROTATIONS
from sekisho.store.rows import Rows, realm_of
from sekisho.thing_groups.store import MEMBERSHIPS
from sekisho.things.store import THINGS

CHUNK: Final = 250
"""Keys per statement: fewer than the 999 parameters that any SQLite allows."""

# Only the first column of an index is compared with the keys, and rows of other realms are dropped in Python: for a
# list of tuples SQLite reads the whole table. A certificate is in few realms, and an ARN is in one.
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)

# Part of the same statement, since rotations are pending for few certificates.
_IS_AWAITED = (
    exists()
    .where(
        ROTATIONS.c.new_certificate_id == CERTIFICATES.c.certificate_id,
        ROTATIONS.c.account_id == CERTIFICATES.c.account_id,
        ROTATIONS.c.region == CERTIFICATES.c.region,
        PENDING,
    )
    .label("is_awaited")
)

_CERTIFICATES_OF = select(CERTIFICATES, _IS_AWAITED).where(CERTIFICATES.c.certificate_id.in_(_KEYS))

_CLAIMS_OF = select(PROVISIONING_CLAIMS).where(PROVISIONING_CLAIMS.c.certificate_id.in_(_KEYS))

_POLICIES_OF = (
    select(POLICY_TARGETS.c.target, POLICY_VERSIONS)
    .join(
        POLICIES,
        and_(
            POLICIES.c.account_id == POLICY_TARGETS.c.account_id,
            POLICIES.c.region == POLICY_TARGETS.c.region,
            POLICIES.c.name == POLICY_TARGETS.c.policy_name,
        ),
    )
    .join(
        POLICY_VERSIONS,
        and_(
            POLICY_VERSIONS.c.account_id == POLICIES.c.account_id,
            POLICY_VERSIONS.c.region == POLICIES.c.region,
            POLICY_VERSIONS.c.policy_name == POLICIES.c.name,
            POLICY_VERSIONS.c.version_id == POLICIES.c.default_version_id,
        ),
    )
    .where(POLICY_TARGETS.c.target.in_(_KEYS))
    .order_by(POLICY_TARGETS.c.seq)
)

# Whether a thing is in a group is part of the statement, so that a fleet without groups costs no further one. LIMIT
# instead of EXISTS, since PostgreSQL may answer EXISTS by reading all memberships first.
_A_MEMBERSHIP = (
    select(MEMBERSHIPS.c.seq)
    .where(
        MEMBERSHIPS.c.account_id == THINGS.c.account_id,
        MEMBERSHIPS.c.region == THINGS.c.region,
        MEMBERSHIPS.c.thing_name == THINGS.c.name,
    )
    .limit(1)
    .scalar_subquery()
    .label("a_membership")
)
_THINGS_OF = (
    select(ATTACHMENTS.c.principal, ATTACHMENTS.c.type, THINGS, _A_MEMBERSHIP)
    .join(
        THINGS,
        and_(
            THINGS.c.account_id == ATTACHMENTS.c.account_id,
            THINGS.c.region == ATTACHMENTS.c.region,
            THINGS.c.name == ATTACHMENTS.c.thing_name,
        ),
    )
    .where(ATTACHMENTS.c.principal.in_(_KEYS))
    .order_by(ATTACHMENTS.c.seq)
)

# Groups and their ancestors: memberships have a row for each.
_GROUPS_OF = (
    select(ATTACHMENTS.c.principal, MEMBERSHIPS)
    .join(
        MEMBERSHIPS,
        and_(
            MEMBERSHIPS.c.account_id == ATTACHMENTS.c.account_id,
            MEMBERSHIPS.c.region == ATTACHMENTS.c.region,
            MEMBERSHIPS.c.thing_name == ATTACHMENTS.c.thing_name,
        ),
    )
    .where(ATTACHMENTS.c.principal.in_(_KEYS))
    .order_by(MEMBERSHIPS.c.seq)
)


class IdentityRows(Rows):
    """Identities by certificate. The cost of a key does not grow with the registry."""

    __slots__ = ()

    def look_up(self, keys: Sequence[tuple[Realm, str]]) -> Mapping[tuple[Realm, str], Identity]:
        """Return the identities by (realm, certificate id), without keys that are not registered.

        Policies and things are in the order in which they were attached; policies of a thing's groups from the nearest
        group to the root.
        """
        found: dict[tuple[Realm, str], Identity] = {}
        asked = list(dict.fromkeys(keys))
        for start in range(0, len(asked), CHUNK):
            chunk = asked[start : start + CHUNK]
            known = self._look_up(chunk)
            # Claims are few and short-lived, so registered certificates cost no look-up of claims.
            unknown = [key for key in chunk if key not in known]
            found |= known | (self._claims(unknown) if unknown else {})
        return found

    def _claims(self, keys: Sequence[tuple[Realm, str]]) -> dict[tuple[Realm, str], Identity]:
        wanted = set(keys)
        ids = list({certificate_id for _, certificate_id in keys})
        claims = map(claim_of, self._tx.execute(_CLAIMS_OF, {"keys": ids}))
        return {key: identity_of(claim) for claim in claims if (key := (claim.realm, claim.certificate_id)) in wanted}

    def _look_up(self, keys: Sequence[tuple[Realm, str]]) -> dict[tuple[Realm, str], Identity]:
        wanted = set(keys)
        ids = list({certificate_id for _, certificate_id in keys})
        # By realm and ARN, which is the principal of attachments.
        certificates = {
            (each.realm, arn.certificate(each.realm, each.certificate_id)): (each, is_awaited)
            for each, is_awaited in (
                (certificate_of(row), bool(row.is_awaited)) for row in self._tx.execute(_CERTIFICATES_OF, {"keys": ids})
            )
            if (each.realm, each.certificate_id) in wanted
        }
        if not certificates:
            return {}

        principals = [principal for _, principal in certificates]
        policies = self._policies_of(principals)
        things: defaultdict[tuple[Realm, str], list[IdentityThing]] = defaultdict(list)
        in_groups = set()
        for row in self._tx.execute(_THINGS_OF, {"keys": principals}):
            exclusive = row.type == ThingPrincipalType.EXCLUSIVE_THING
            things[realm_of(row), row.principal].append(
                IdentityThing(row.name, row.type_name, row.attributes, exclusive)
            )
            if row.a_membership is not None:
                in_groups.add(row.principal)
        if in_groups:
            self._add_policies_of_groups(things, list(in_groups))
        return {
            (certificate.realm, certificate.certificate_id): Identity(
                certificate=certificate,
                policies=tuple(policies.get(key, ())),
                things=tuple(things[key]),
                is_awaited=is_awaited,
            )
            for key, (certificate, is_awaited) in certificates.items()
        }

    def _policies_of(self, targets: Iterable[str]) -> Mapping[tuple[Realm, str], list[PolicyVersion]]:
        found: defaultdict[tuple[Realm, str], list[PolicyVersion]] = defaultdict(list)
        asked = list(targets)
        for start in range(0, len(asked), CHUNK):
            for row in self._tx.execute(_POLICIES_OF, {"keys": asked[start : start + CHUNK]}):
                found[realm_of(row), row.target].append(policy_version_of(row))
        return found

    def _add_policies_of_groups(
        self, things: Mapping[tuple[Realm, str], list[IdentityThing]], principals: Sequence[str]
    ) -> None:
        groups: defaultdict[tuple[Realm, str, str], list[str]] = defaultdict(list)
        for row in self._tx.execute(_GROUPS_OF, {"keys": principals}):
            realm = realm_of(row)
            groups[realm, row.principal, row.thing_name].append(arn.thing_group(realm, row.group_name))
        if not groups:
            return
        # Many things of a batch are in the same groups, whose policies are read once.
        policies = self._policies_of(dict.fromkeys(group for of_thing in groups.values() for group in of_thing))
        for (realm, principal), attached in things.items():
            for index, thing in enumerate(attached):
                inherited = {
                    version.policy_name: version
                    for group in groups.get((realm, principal, thing.name), ())
                    for version in policies.get((realm, group), ())
                }
                if inherited:
                    attached[index] = replace(thing, policies=tuple(inherited.values()))
