"""Things."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    BindParameter,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Row,
    UniqueConstraint,
    and_,
    bindparam,
    select,
    update,
)
from sqlalchemy import insert as plain_insert

from sekisho.change import Change, ChangeKind
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.errors import AlreadyThere
from sekisho.store.rows import REALM, RealmRows, RealmTable, realm_of, realm_values
from sekisho.store.statements import (
    Query,
    insert_returning_seq,
    its,
    last_with,
    reading,
    realm_parameters,
    removing,
    replace,
)
from sekisho.store.tables import Instant, PartOf, String, Write, keyed, listed, partial_index, realm_columns
from sekisho.store.transaction import Transaction
from sekisho.things.model import Thing


def _announce(_tx: Transaction, write: Write) -> Iterable[Change]:
    # A new thing has no attachments. An update without attributes sets the billing group, on which no decision depends.
    if write.kind == "insert" or (write.kind == "update" and "attributes" not in write.values):
        return ()
    return (Change(write.realm, ChangeKind.THING, write.values["name"]),)


THINGS = listed(
    "things",
    *realm_columns(),
    Column("name", String, nullable=False),
    Column("thing_id", String, nullable=False),
    Column("type_name", String),
    Column("attributes", JSON, nullable=False),
    Column("billing_group_name", String),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
    announces=_announce,
)

partial_index(
    None,
    THINGS.c.account_id,
    THINGS.c.region,
    THINGS.c.type_name,
    THINGS.c.seq,
    where=THINGS.c.type_name.is_not(None),
)

partial_index(
    None,
    THINGS.c.account_id,
    THINGS.c.region,
    THINGS.c.billing_group_name,
    THINGS.c.seq,
    where=THINGS.c.billing_group_name.is_not(None),
)

# A copy of ``things.attributes``, to find things by them.
THING_ATTRIBUTES = keyed(
    "thing_attributes",
    Column("thing_seq", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    *realm_columns(),
    Column("name", String, nullable=False),
    Column("value", String, nullable=False),
    PrimaryKeyConstraint("thing_seq", "name"),
    ForeignKeyConstraint(["thing_seq"], ["things.seq"], ondelete="CASCADE"),
    Index(None, "account_id", "region", "name", "value", "thing_seq"),
    sqlite_with_rowid=False,
    announces=PartOf("things"),
)


def _make(row: Row[Any]) -> Thing:
    return Thing(
        realm=realm_of(row),
        name=row.name,
        thing_id=row.thing_id,
        type_name=row.type_name,
        attributes=row.attributes,
        billing_group_name=row.billing_group_name,
        version=row.version,
        created_at=row.created_at,
    )


def _values(thing: Thing) -> dict[str, Any]:
    return {
        **realm_values(thing.realm),
        "name": thing.name,
        "thing_id": thing.thing_id,
        "type_name": thing.type_name,
        "attributes": dict(thing.attributes),
        "billing_group_name": thing.billing_group_name,
        "version": thing.version,
        "created_at": thing.created_at,
    }


def _having_attribute(*, prefix: bool, of_type: bool) -> Query[Thing]:
    value = THING_ATTRIBUTES.c.value
    wanted: BindParameter[str] = bindparam("its_value")
    condition = and_(value >= wanted, value <= bindparam("its_value_end")) if prefix else value == wanted
    statement = (
        select(THINGS)
        .join(THING_ATTRIBUTES, THING_ATTRIBUTES.c.thing_seq == THINGS.c.seq)
        .where(
            THING_ATTRIBUTES.c.account_id == bindparam("its_account_id"),
            THING_ATTRIBUTES.c.region == bindparam("its_region"),
            THING_ATTRIBUTES.c.name == bindparam("its_attribute"),
            condition,
        )
    )
    if of_type:
        statement = statement.where(its(THINGS, "account_id", "region", "type_name"))
    return Query(statement, THING_ATTRIBUTES.c.thing_seq, _make)


_OF_TYPE = reading(THINGS, _make, "account_id", "region", "type_name")
_OF_BILLING_GROUP = reading(THINGS, _make, "account_id", "region", "billing_group_name")
_WITH_ATTRIBUTE = {
    (prefix, of_type): _having_attribute(prefix=prefix, of_type=of_type)
    for prefix in (False, True)
    for of_type in (False, True)
}
_REPLACE = update(THINGS).where(its(THINGS, *REALM, "name")).returning(THINGS.c.seq)
_ADD_ATTRIBUTES = plain_insert(THING_ATTRIBUTES)
_REMOVE_ATTRIBUTES = removing(THING_ATTRIBUTES, "thing_seq")


class ThingRows(RealmRows[Thing]):
    """Things of all realms."""

    __slots__ = ()

    _table = RealmTable(THINGS, "name", _make, _values)

    def add(self, thing: Thing) -> None:
        """Add it. Raises AlreadyThere where the realm has one of this name."""
        seq = insert_returning_seq(self._tx, THINGS, _values(thing))
        if seq is None:
            raise AlreadyThere(thing.name)
        self._add_attributes(seq, thing)

    def replace(self, changed: Thing, /) -> None:
        """Replace its row, and its rows of attributes. Raises KeyError where the realm has none of this name."""
        parameters = _values(changed) | realm_parameters(changed.realm, name=changed.name)
        seq = self._tx.execute(_REPLACE, parameters).scalar()
        if seq is None:
            raise KeyError(f"{changed.name} is not in the store, so it cannot be replaced")
        self._tx.execute(_REMOVE_ATTRIBUTES, {"its_thing_seq": seq})
        self._add_attributes(seq, changed)

    def set_billing_group(self, realm: Realm, name: str, billing_group_name: str | None) -> None:
        """Set or remove (None) the billing group of a thing. Raises KeyError where the realm has none of this name."""
        parameters = realm_parameters(realm, name=name) | {"billing_group_name": billing_group_name}
        replace(self._tx, self._table.replacing, parameters, name)

    def _add_attributes(self, seq: int, thing: Thing) -> None:
        if thing.attributes:
            owner = {"thing_seq": seq, **realm_values(thing.realm)}
            rows = [owner | {"name": name, "value": value} for name, value in thing.attributes.items()]
            self._tx.execute(_ADD_ATTRIBUTES, rows)

    def page(
        self,
        realm: Realm,
        window: Window,
        *,
        type_name: str | None = None,
        attribute: tuple[str, str] | None = None,
        prefix: bool = False,
    ) -> Slice[Thing]:
        """Return a page of the realm's things, or of those with the type and the attribute.

        A page by prefix takes time in proportion to the number of things with the prefix.
        """
        if attribute is not None:
            name, value = attribute
            parameters = realm_parameters(realm, attribute=name, value=value)
            if prefix:
                parameters["its_value_end"] = last_with(value)
            if type_name is not None:
                parameters["its_type_name"] = type_name
            return _WITH_ATTRIBUTE[prefix, type_name is not None].page(self._tx, window, parameters)
        if type_name is not None:
            return _OF_TYPE.page(self._tx, window, realm_parameters(realm, type_name=type_name))
        return super().page(realm, window)

    def of_billing_group(self, realm: Realm, billing_group_name: str, window: Window) -> Slice[Thing]:
        """Return a page of the things of a billing group."""
        parameters = realm_parameters(realm, billing_group_name=billing_group_name)
        return _OF_BILLING_GROUP.page(self._tx, window, parameters)
