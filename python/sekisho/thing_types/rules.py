"""Thing types.

A type can be deleted five minutes after it was deprecated, when no thing has it. Searchable and propagating attributes
are stored and returned; nothing else uses them.

Source: Developer Guide, thing-types; the API Reference of each operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from sekisho import arn, ids
from sekisho.clock import Clock
from sekisho.errors import InvalidRequestException, ResourceAlreadyExistsException, ResourceNotFoundException
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows
from sekisho.thing_types.model import PropagatingAttribute, ThingType
from sekisho.thing_types.store import ThingTypeRows
from sekisho.things.store import ThingRows

MAX_SEARCHABLE: Final = 3
"""Searchable attributes of a type."""

MAX_PROPAGATING: Final = 20
"""Propagating attributes of a type (General Reference, iot-core)."""

DELETABLE_AFTER: Final = timedelta(minutes=5)
"""The time from the deprecation of a type until it may be deleted."""


class ThingTypes:
    """Creates, lists, changes, deprecates and deletes thing types."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(
        self,
        realm: Realm,
        name: str,
        *,
        description: str | None = None,
        searchable_attributes: Sequence[str] = (),
        propagating_attributes: Sequence[PropagatingAttribute] = (),
        tags: Mapping[str, str] | None = None,
    ) -> ThingType:
        """Create a thing type; return the existing one where it has the same properties.

        Raises:
            ResourceAlreadyExistsException: The existing type has other properties.
            InvalidRequestException: There are more than MAX_SEARCHABLE or MAX_PROPAGATING, or a propagating attribute
                does not have a key and exactly one source.
        """
        thing_type = ThingType(
            realm=realm,
            name=name,
            type_id=ids.unique(),
            description=description,
            searchable_attributes=tuple(searchable_attributes),
            propagating_attributes=tuple(propagating_attributes),
            created_at=self._clock(),
        )
        _check(thing_type)
        with self._store.write() as tx:
            present = ThingTypeRows(tx).get(realm, name)
            if present is not None:
                if _properties(present) != _properties(thing_type):
                    raise ResourceAlreadyExistsException(
                        f"Thing type {name} already exists in account with different properties",
                        resource_id=name,
                        resource_arn=arn.thing_type(realm, name),
                    )
                return present
            ThingTypeRows(tx).add(thing_type)
            if tags:
                TagRows(tx).put(realm, arn.thing_type(realm, name), tags)
        return thing_type

    def describe(self, realm: Realm, name: str) -> ThingType:
        """Return the thing type. Raises ResourceNotFoundException."""
        with self._store.read() as tx:
            return existing(tx, realm, name)

    def update(
        self,
        realm: Realm,
        name: str,
        *,
        description: str | None = None,
        searchable_attributes: Sequence[str] | None = None,
        propagating_attributes: Sequence[PropagatingAttribute] | None = None,
    ) -> ThingType:
        """Change properties of a thing type. Arguments that are None change nothing.

        Raises:
            ResourceNotFoundException: No such thing type.
            InvalidRequestException: As ``create``.
        """
        with self._store.write() as tx:
            present = existing(tx, realm, name)
            changed = replace(
                present,
                description=present.description if description is None else description,
                searchable_attributes=(
                    present.searchable_attributes if searchable_attributes is None else tuple(searchable_attributes)
                ),
                propagating_attributes=(
                    present.propagating_attributes if propagating_attributes is None else tuple(propagating_attributes)
                ),
            )
            _check(changed)
            ThingTypeRows(tx).replace(changed)
            return changed

    def deprecate(self, realm: Realm, name: str, *, undo: bool = False) -> None:
        """Deprecate a type, so that no thing can be given it; with ``undo`` the contrary.

        Deprecating it again does not change the time of deprecation. Raises ResourceNotFoundException.
        """
        with self._store.write() as tx:
            present = existing(tx, realm, name)
            deprecated_at = None if undo else present.deprecated_at or self._clock()
            if deprecated_at != present.deprecated_at:
                ThingTypeRows(tx).replace(replace(present, deprecated_at=deprecated_at))

    def delete(self, realm: Realm, name: str) -> None:
        """Delete a type that has been deprecated for five minutes.

        Raises:
            ResourceNotFoundException: No such thing type.
            InvalidRequestException: It is not deprecated, or since less than five minutes; or things have it.
        """
        with self._store.write() as tx:
            present = existing(tx, realm, name)
            if present.deprecated_at is None:
                raise InvalidRequestException(
                    f"Cannot delete thing type : {name}. Deprecate it with DeprecateThingType first."
                )
            if self._clock() - present.deprecated_at < DELETABLE_AFTER:
                # AWS IoT's message, and tools compare its second sentence.
                raise InvalidRequestException(
                    f"Cannot delete thing type : {name}. Please wait for 5 minutes after deprecation and then retry"
                )
            if ThingRows(tx).page(realm, Window(limit=1), type_name=name).items:
                raise InvalidRequestException(
                    f"Cannot delete thing type : {name}. Things have this type. Give them another type, or none, with "
                    "UpdateThing first."
                )
            ThingTypeRows(tx).remove(realm, name)
            TagRows(tx).remove(realm, arn.thing_type(realm, name))

    def list(self, realm: Realm, window: Window, *, name: str | None = None) -> Slice[ThingType]:
        """Return the thing types of a realm; with ``name`` only that one, if it exists."""
        with self._store.read() as tx:
            if name is None:
                return ThingTypeRows(tx).page(realm, window)
            found = ThingTypeRows(tx).get(realm, name)
        return Slice([] if found is None else [found], None)


def existing(tx: Transaction, realm: Realm, name: str) -> ThingType:
    """Return the thing type. Raises ResourceNotFoundException."""
    thing_type = ThingTypeRows(tx).get(realm, name)
    if thing_type is None:
        raise ResourceNotFoundException(f"Thing type {name} cannot be found.")
    return thing_type


def require_usable(tx: Transaction, realm: Realm, name: str) -> None:
    """Check that a thing may be given this type.

    Raises:
        ResourceNotFoundException: No such thing type.
        InvalidRequestException: It is deprecated.
    """
    if existing(tx, realm, name).deprecated_at is not None:
        # AWS IoT's message, with its misspelling.
        raise InvalidRequestException(f"Can not create new thing with depreated thing type:{name}")


def _properties(thing_type: ThingType) -> tuple[object, ...]:
    return (
        thing_type.description or None,
        set(thing_type.searchable_attributes),
        thing_type.propagating_attributes,
    )


def _check(thing_type: ThingType) -> None:
    if len(thing_type.searchable_attributes) > MAX_SEARCHABLE:
        raise InvalidRequestException(
            f"Thing type {thing_type.name} would have {len(thing_type.searchable_attributes)} searchable attributes; "
            f"the maximum is {MAX_SEARCHABLE}."
        )
    if len(thing_type.propagating_attributes) > MAX_PROPAGATING:
        raise InvalidRequestException(
            f"Thing type {thing_type.name} would have {len(thing_type.propagating_attributes)} propagating attributes; "
            f"the maximum is {MAX_PROPAGATING}."
        )
    for each in thing_type.propagating_attributes:
        if not each.user_property_key or (each.thing_attribute is None) == (each.connection_attribute is None):
            raise InvalidRequestException(
                f"Propagating attribute {each.user_property_key!r} is not valid. Give it a userPropertyKey, and either "
                "a thingAttribute or a connectionAttribute."
            )
