"""Base classes of the ``...Rows`` of features, with the statements that most tables need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Row, Table, select

from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.statements import (
    Query,
    insert,
    its,
    reading,
    realm_parameters,
    removing,
    replace,
    replacing,
)
from sekisho.store.transaction import KEY_PREFIX, Transaction

T = TypeVar("T")
V = TypeVar("V")

REALM = ("account_id", "region")


def realm_of(row: Row[Any]) -> Realm:
    """Return the realm of a row."""
    return Realm(row.account_id, row.region)


def realm_values(realm: Realm) -> dict[str, Any]:
    """Return the values of the columns of a row's realm."""
    return {"account_id": realm.account_id, "region": realm.region}


class RealmTable(Generic[T]):
    """A table whose rows are identified by their realm and a key, such as a name, and its statements.

    Args:
        key: The column of the key.
        make: Makes an object of a row.
        values: Returns the columns of an object.
    """

    def __init__(
        self, table: Table, key: str, make: Callable[[Row[Any]], T], values: Callable[[T], Mapping[str, Any]]
    ) -> None:
        self.table = table
        self.key = key
        self.values = values
        self.by_key = reading(table, make, *REALM, key)
        self.of_realm = reading(table, make, *REALM)
        self.replacing = replacing(table, *REALM, key)
        self.removing = removing(table, *REALM, key)


class VersionTable(Generic[V]):
    """A table with the versions of the rows of another table, and its statements.

    Args:
        name: The column with the key of the versioned row.
        make: Makes a version of a row.
        values: Returns the columns of a version.
    """

    def __init__(
        self, table: Table, name: str, make: Callable[[Row[Any]], V], values: Callable[[V], Mapping[str, Any]]
    ) -> None:
        self.table = table
        self.name = name
        self.values = values
        # Version ids count up, so their order is the order of creation.
        columns = select(table, table.c.version_id.label("seq"))
        self.one = Query(columns.where(its(table, *REALM, name, "version_id")), table.c.version_id, make)
        self.all = Query(columns.where(its(table, *REALM, name)), table.c.version_id, make)
        self.removing = removing(table, *REALM, name, "version_id")


class Rows:
    """The rows of a transaction."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx


class RealmRows(Rows, Generic[T]):
    """The rows of all realms of a ``RealmTable``."""

    __slots__ = ()

    _table: ClassVar[RealmTable[Any]]

    def get(self, realm: Realm, key: str, /) -> T | None:
        """Return the object with this key, or None."""
        found: T | None = self._table.by_key.one(self._tx, self._identity(realm, key))
        return found

    def replace(self, changed: T, /) -> None:
        """Replace its row. Raises KeyError where the realm has none with its key."""
        values = self._table.values(changed)
        identity = {KEY_PREFIX + column: values[column] for column in (*REALM, self._table.key)}
        replace(self._tx, self._table.replacing, {**values, **identity}, values[self._table.key])

    def remove(self, realm: Realm, key: str, /) -> None:
        """Remove its row, if it exists."""
        self._tx.execute(self._table.removing, self._identity(realm, key))

    def page(self, realm: Realm, window: Window, /) -> Slice[T]:
        """Return a page of the realm's objects."""
        return self._table.of_realm.page(self._tx, window, realm_parameters(realm))

    def _insert(self, new: T) -> None:
        """Insert its row. Raises AlreadyThere where the realm has one with its key."""
        values = self._table.values(new)
        insert(self._tx, self._table.table, values, values[self._table.key])

    def _identity(self, realm: Realm, key: str) -> dict[str, Any]:
        return realm_parameters(realm, **{self._table.key: key})


class VersionedRows(RealmRows[T], Generic[T, V]):
    """The rows of all realms of a ``RealmTable``, each with versions.

    The columns ``default_version_id`` and ``last_version_id`` have the ids of the default and of the newest version.
    """

    __slots__ = ()

    _versions: ClassVar[VersionTable[Any]]

    def add(self, new: T, first: V, /) -> None:
        """Add a row with its first version. Raises AlreadyThere where the realm has one with its key."""
        self._insert(new)
        self._insert_version(self._versions.values(first))

    def version(self, realm: Realm, key: str, version_id: int, /) -> V | None:
        """Return the version, or None."""
        found: V | None = self._versions.one.one(self._tx, self._of(realm, key, version_id=version_id))
        return found

    def versions(self, realm: Realm, key: str, /) -> Sequence[V]:
        """Return all versions, in the order of their ids."""
        return self._versions.all.all(self._tx, self._of(realm, key))

    def page_versions(self, realm: Realm, key: str, window: Window, /) -> Slice[V]:
        """Return a page of the versions, in the order of their ids."""
        return self._versions.all.page(self._tx, window, self._of(realm, key))

    def add_version(self, version: V, /) -> None:
        """Add a version, as the newest.

        Raises:
            AlreadyThere: The version id is taken.
            KeyError: The versioned row does not exist.
        """
        values = self._versions.values(version)
        key = values[self._versions.name]
        identity = self._identity(Realm(values["account_id"], values["region"]), key)
        replace(self._tx, self._table.replacing, {**identity, "last_version_id": values["version_id"]}, key)
        self._insert_version(values)

    def remove_version(self, realm: Realm, key: str, version_id: int, /) -> None:
        """Remove the version, if it exists."""
        self._tx.execute(self._versions.removing, self._of(realm, key, version_id=version_id))

    def _insert_version(self, values: Mapping[str, Any]) -> None:
        insert(
            self._tx, self._versions.table, values, f"version {values['version_id']} of {values[self._versions.name]}"
        )

    def _of(self, realm: Realm, key: str, **others: Any) -> dict[str, Any]:
        return realm_parameters(realm, **{self._versions.name: key}, **others)
