"""Things, and the principals that are attached to them.

An attachment gives no rights by itself: it associates connections with the thing, for policy variables and for the
policies of groups. A connection is associated with a thing that is attached to its certificate if the client id is the
thing's name, or if the attachment is exclusive.

Source: Developer Guide, thing-registry and exclusive-thing; the API Reference of each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from sekisho import arn, ids
from sekisho.billing_groups import rules as billing_groups
from sekisho.clock import Clock
from sekisho.errors import (
    InvalidRequestException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from sekisho.expected_version import require_version
from sekisho.pages import Slice, Window
from sekisho.principals import rules as principals
from sekisho.principals.model import Attachment, ThingPrincipalType
from sekisho.principals.store import AttachmentRows
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.thing_types import rules as thing_types
from sekisho.things.model import Thing
from sekisho.things.store import ThingRows

MAX_ATTRIBUTES: Final = 3
"""Attributes of a thing without a thing type."""

MAX_TYPED_ATTRIBUTES: Final = 50
"""Attributes of a thing with a thing type."""


class Things:
    """Creates, lists, changes and deletes things, and attaches principals to them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(
        self,
        realm: Realm,
        name: str,
        *,
        attributes: Mapping[str, str] | None = None,
        type_name: str | None = None,
        billing_group_name: str | None = None,
    ) -> Thing:
        """Create a thing; return the existing one where it has the same attributes, type and billing group.

        Raises:
            ResourceAlreadyExistsException: The existing thing has other attributes, or another type or billing group.
            ResourceNotFoundException: No such thing type or billing group.
            InvalidRequestException: There are too many attributes, or the thing type is deprecated.
        """
        with self._store.write() as tx:
            return create_in(
                tx,
                realm,
                self._clock(),
                name,
                attributes=attributes,
                type_name=type_name,
                billing_group_name=billing_group_name,
            )

    def describe(self, realm: Realm, name: str) -> Thing:
        """Return the thing. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return existing(tx, realm, name)

    def update(
        self,
        realm: Realm,
        name: str,
        *,
        attributes: Mapping[str, str] | None = None,
        merge: bool = False,
        expected_version: int | None = None,
        type_name: str | None = None,
        remove_type: bool = False,
    ) -> Thing:
        """Change a thing, and add one to its version.

        Args:
            attributes: All attributes, or with ``merge`` those that change; None changes nothing. Attributes with an
                empty value are removed.

        Raises:
            ResourceNotFoundException: No such thing or thing type.
            VersionConflictException: The thing's version is not ``expected_version``.
            InvalidRequestException: There are too many attributes; a type is both given and removed; or the new type is
                deprecated.
        """
        with self._store.write() as tx:
            return update_in(
                tx,
                realm,
                name,
                attributes=attributes,
                merge=merge,
                expected_version=expected_version,
                type_name=type_name,
                remove_type=remove_type,
            )

    def delete(self, realm: Realm, name: str, *, expected_version: int | None = None) -> None:
        """Delete a thing with its memberships in groups; without effect where there is none.

        Raises:
            InvalidRequestException: A principal is attached to it.
            VersionConflictException: The thing's version is not ``expected_version``.
        """
        with self._store.write() as tx:
            thing = ThingRows(tx).get(realm, name)
            if thing is None:
                return
            require_version(f"thing {thing.name}", thing.version, expected_version)
            if AttachmentRows(tx).of_thing(realm, name, Window(limit=1)).items:
                raise InvalidRequestException(
                    f"Cannot delete. Thing {name} is still attached to one or more principals"
                )
            ThingRows(tx).remove(realm, name)

    def list(
        self,
        realm: Realm,
        window: Window,
        *,
        type_name: str | None = None,
        attribute_name: str | None = None,
        attribute_value: str | None = None,
        value_is_prefix: bool = False,
    ) -> Slice[Thing]:
        """Return the things of a realm: all, those of a type, or those with an attribute.

        With ``attribute_name`` alone the attribute may have any value.

        Raises:
            InvalidRequestException: There is a value without a name, or both a type and an attribute.
        """
        if attribute_name is None and attribute_value is not None:
            raise InvalidRequestException("attributeValue is given without attributeName. Give both.")
        if attribute_name is not None and type_name is not None:
            # AWS IoT's message.
            raise InvalidRequestException(
                "Listing things by the combination of attribute and thing type is not supported"
            )
        attribute = None if attribute_name is None else (attribute_name, attribute_value or "")
        with self._store.read() as tx:
            return ThingRows(tx).page(
                realm,
                window,
                type_name=type_name,
                attribute=attribute,
                prefix=value_is_prefix or attribute_value is None,
            )

    def attach_principal(
        self, realm: Realm, name: str, principal: str, principal_type: ThingPrincipalType | None = None
    ) -> None:
        """Attach a principal to a thing; without effect where it is attached. The certificate need not be ACTIVE.

        Args:
            principal_type: None: as it is attached already, else NON_EXCLUSIVE_THING.

        Raises:
            ResourceNotFoundException: No such thing, or no such certificate.
            InvalidRequestException: It is not a principal of this realm, or an exclusive attachment does not allow it.
        """
        with self._store.write() as tx:
            attach_principal_in(tx, realm, name, principal, principal_type)

    def detach_principal(self, realm: Realm, name: str, principal: str) -> None:
        """Detach a principal from a thing; without effect where it is not attached. Applies at once.

        Raises:
            ResourceNotFoundException: No such thing, or no such certificate.
            InvalidRequestException: It is not a principal of this realm.
        """
        with self._store.write() as tx:
            existing(tx, realm, name)
            found = principals.existing(tx, realm, principal)
            AttachmentRows(tx).remove(realm, name, found.text)

    def principals_of(
        self, realm: Realm, name: str, window: Window, principal_type: ThingPrincipalType | None = None
    ) -> Slice[Attachment]:
        """Return the attachments of a thing, all or of one type. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            if ThingRows(tx).get(realm, name) is None:
                # AWS IoT's message, which differs from that of other operations on a missing thing.
                raise ResourceNotFoundException(
                    f"Failed to list principals for thing {name} because the thing does not exist in your account"
                )
            return _of_type(lambda part: AttachmentRows(tx).of_thing(realm, name, part), window, principal_type)

    def things_of(
        self, realm: Realm, principal: str, window: Window, principal_type: ThingPrincipalType | None = None
    ) -> Slice[Attachment]:
        """Return the attachments of a principal, all or of one type.

        Raises:
            ResourceNotFoundException: No such certificate.
            InvalidRequestException: It is not a principal of this realm.
        """
        with self._store.read() as tx:
            found = principals.existing(tx, realm, principal)
            return _of_type(
                lambda part: AttachmentRows(tx).of_principal(realm, found.text, part), window, principal_type
            )


def create_in(
    tx: Transaction,
    realm: Realm,
    now: datetime,
    name: str,
    *,
    attributes: Mapping[str, str] | None = None,
    type_name: str | None = None,
    billing_group_name: str | None = None,
) -> Thing:
    """Do ``Things.create`` within the caller's write transaction. After its errors nothing is written."""
    given = without_empty(attributes or {})
    _check_number_of_attributes(name, given, type_name)
    if type_name is not None:
        thing_types.require_usable(tx, realm, type_name)
    if billing_group_name is not None:
        billing_groups.existing(tx, realm, billing_group_name)
    present = ThingRows(tx).get(realm, name)
    if present is not None:
        _require_same(present, given, type_name, billing_group_name)
        return present
    thing = Thing(
        realm=realm,
        name=name,
        thing_id=ids.unique(),
        type_name=type_name,
        attributes=given,
        billing_group_name=billing_group_name,
        version=1,
        created_at=now,
    )
    ThingRows(tx).add(thing)
    return thing


def update_in(
    tx: Transaction,
    realm: Realm,
    name: str,
    *,
    attributes: Mapping[str, str] | None = None,
    merge: bool = False,
    expected_version: int | None = None,
    type_name: str | None = None,
    remove_type: bool = False,
) -> Thing:
    """Do ``Things.update`` within the caller's write transaction. After its errors nothing is written."""
    if remove_type and type_name is not None:
        raise InvalidRequestException("thingTypeName and removeThingType contradict each other: give only one.")
    thing = existing(tx, realm, name)
    require_version(f"thing {thing.name}", thing.version, expected_version)
    if type_name is not None and type_name != thing.type_name:
        thing_types.require_usable(tx, realm, type_name)
    changed = replace(
        thing,
        type_name=None if remove_type else type_name or thing.type_name,
        attributes=changed_attributes(thing.attributes, attributes, merge=merge),
        version=thing.version + 1,
    )
    _check_number_of_attributes(name, changed.attributes, changed.type_name)
    ThingRows(tx).replace(changed)
    return changed


def attach_principal_in(
    tx: Transaction, realm: Realm, name: str, principal: str, principal_type: ThingPrincipalType | None = None
) -> None:
    """Do ``Things.attach_principal`` within the caller's write transaction, with the same errors."""
    existing(tx, realm, name)
    found = principals.existing(tx, realm, principal)
    wanted = principal_type or ThingPrincipalType.NON_EXCLUSIVE_THING
    present = AttachmentRows(tx).get(realm, name, found.text)
    if present is not None:
        if principal_type not in (None, present.type):
            raise InvalidRequestException(
                f"The principal is attached to thing {name} as {present.type}. Detach it before attaching it "
                f"as {principal_type}."
            )
        return
    _require_no_exclusive_conflict(tx, found, name, wanted)
    AttachmentRows(tx).add(Attachment(realm, name, found.text, wanted))


def thing_arn(thing: Thing) -> str:
    """Return the thing's ARN."""
    return arn.thing(thing.realm, thing.name)


def existing(tx: Transaction, realm: Realm, name: str) -> Thing:
    """Return the thing. Raises ResourceNotFoundException."""
    thing = ThingRows(tx).get(realm, name)
    if thing is None:
        raise ResourceNotFoundException(f"Thing {name} cannot be found.")
    return thing


def _require_same(
    thing: Thing, attributes: Mapping[str, str], type_name: str | None, billing_group_name: str | None
) -> None:
    if dict(thing.attributes) != dict(attributes):
        difference = "attributes"
    elif thing.type_name != type_name:
        difference = "thing type"
    elif thing.billing_group_name != billing_group_name:
        difference = "billing group"
    else:
        return
    # With "attributes" this is AWS IoT's message.
    raise ResourceAlreadyExistsException(
        f"Thing {thing.name} already exists in account with different {difference}",
        resource_id=thing.name,
        resource_arn=thing_arn(thing),
    )


def without_empty(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes whose values are not empty: an empty value removes an attribute."""
    return {name: value for name, value in attributes.items() if value}


def changed_attributes(present: Mapping[str, str], given: Mapping[str, str] | None, *, merge: bool) -> dict[str, str]:
    """Return the attributes after an update: ``given``, with ``merge`` added to ``present``; None changes nothing."""
    if given is None:
        return dict(present)
    return without_empty({**present, **given} if merge else given)


def _check_number_of_attributes(name: str, attributes: Mapping[str, str], type_name: str | None) -> None:
    most = MAX_ATTRIBUTES if type_name is None else MAX_TYPED_ATTRIBUTES
    if len(attributes) > most:
        raise InvalidRequestException(
            f"Thing {name} would have {len(attributes)} attributes; the maximum is {most} for a thing "
            f"{'without' if type_name is None else 'with'} a thing type."
        )


def _require_no_exclusive_conflict(
    tx: Transaction, principal: principals.Principal, thing_name: str, wanted: ThingPrincipalType
) -> None:
    exclusive = wanted is ThingPrincipalType.EXCLUSIVE_THING
    if exclusive and principal.certificate_id is None:
        raise InvalidRequestException(
            "Only an X.509 certificate can be attached as EXCLUSIVE_THING; this principal is a Cognito identity."
        )
    # A principal with an exclusive attachment has no other attachment, so it is enough to read one.
    others = AttachmentRows(tx).of_principal(principal.realm, principal.text, Window(limit=1)).items
    if not others:
        return
    other = others[0]
    if other.type is ThingPrincipalType.EXCLUSIVE_THING:
        raise InvalidRequestException(
            f"The principal is attached to thing {other.thing_name} as EXCLUSIVE_THING and can have no other thing. "
            f"Detach it from {other.thing_name} before attaching it to {thing_name}."
        )
    if exclusive:
        raise InvalidRequestException(
            f"The principal is attached to thing {other.thing_name}. Detach it from all things before attaching it to "
            f"{thing_name} as EXCLUSIVE_THING."
        )


def _of_type(
    page: Callable[[Window], Slice[Attachment]], window: Window, wanted: ThingPrincipalType | None
) -> Slice[Attachment]:
    """Return a page of the attachments of one type, from as many pages of all types as it needs.

    Each of these is no larger than the number of items that are still missing, so that ``next_after`` skips none.
    """
    found: list[Attachment] = []
    part = window
    while True:
        slice_ = page(part)
        found += [attachment for attachment in slice_.items if wanted in (None, attachment.type)]
        if slice_.next_after is None or len(found) == window.limit:
            return Slice(found, slice_.next_after)
        part = replace(window, limit=window.limit - len(found), after=slice_.next_after)
