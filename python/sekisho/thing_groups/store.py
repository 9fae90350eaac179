"""Thing groups, and memberships of things in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

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
    Select,
    UniqueConstraint,
    bindparam,
    delete,
    select,
)
from sqlalchemy import insert as plain_insert

from sekisho.change import Change, ChangeKind
from sekisho.pages import Slice, Window
from sekisho.realm import Realm
from sekisho.store.errors import AlreadyThere
from sekisho.store.rows import RealmRows, RealmTable, realm_of, realm_values
from sekisho.store.statements import (
    Query,
    begins,
    insert_returning_seq,
    its,
    last_with,
    reading,
    realm_parameters,
)
from sekisho.store.tables import Instant, PartOf, String, Write, keyed, listed, naming, realm_columns
from sekisho.store.transaction import Transaction
from sekisho.thing_groups.model import Membership, ThingGroup

MAX_NAMED_THINGS: Final = 250
"""The number of things up to which a change of a group is announced for each thing of it."""


def changes_of_things_in(tx: Transaction, realm: Realm, group_name: str) -> Sequence[Change]:
    """Return the changes of the things in a group and below it, whose inherited policies change.

    A small group announces each of its things, so that only their connections are examined. A large group announces the
    realm: to read thousands of names would make all other writers wait, while the gateway's admission requests for all
    connections of the realm cost a few statements for every 250.
    """
    members = ThingGroupRows(tx).things_in(realm, group_name, Window(limit=MAX_NAMED_THINGS), recursive=True)
    if members.next_after is not None:
        return (Change(realm, ChangeKind.REALM, ""),)
    return [Change(realm, ChangeKind.THING, name) for name in members.items]


def _announce_group(tx: Transaction, write: Write) -> Sequence[Change]:
    if write.kind != "delete":
        # A new group is empty, and no decision depends on a group's description or attributes.
        return ()
    return changes_of_things_in(tx, write.realm, write.values["name"])


THING_GROUPS = listed(
    "thing_groups",
    *realm_columns(),
    Column("name", String, nullable=False),
    Column("group_id", String, nullable=False),
    # Empty for a root: no group has an empty name, and unlike NULL it is found by an equality.
    Column("parent_name", String, nullable=False),
    Column("ancestors", JSON, nullable=False),
    Column("description", String),
    Column("attributes", JSON, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "seq"),
    Index(None, "account_id", "region", "parent_name", "seq"),
    announces=_announce_group,
)

# A copy of ``thing_groups.ancestors``, to find the groups below a group without a recursive query. Ancestors never
# change.
THING_GROUP_ANCESTORS = keyed(
    "thing_group_ancestors",
    Column("group_seq", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    *realm_columns(),
    Column("ancestor", String, nullable=False),
    PrimaryKeyConstraint("group_seq", "ancestor"),
    ForeignKeyConstraint(["group_seq"], ["thing_groups.seq"], ondelete="CASCADE"),
    Index(None, "account_id", "region", "ancestor", "group_seq"),
    sqlite_with_rowid=False,
    announces=PartOf("thing_groups"),
)

# A row for the group to which a thing was added (``member_of``), and one for each group above it. The unique key
# ensures that a thing is in at most one group of a tree: two would both have a row for the root.
MEMBERSHIPS = listed(
    "memberships",
    *realm_columns(),
    Column("thing_name", String, nullable=False),
    Column("group_name", String, nullable=False),
    Column("member_of", String, nullable=False),
    UniqueConstraint("account_id", "region", "thing_name", "group_name"),
    ForeignKeyConstraint(
        ["account_id", "region", "thing_name"],
        ["things.account_id", "things.region", "things.name"],
        ondelete="CASCADE",
    ),
    ForeignKeyConstraint(
        ["account_id", "region", "member_of"],
        ["thing_groups.account_id", "thing_groups.region", "thing_groups.name"],
        ondelete="CASCADE",
    ),
    Index(None, "account_id", "region", "group_name", "seq"),
    Index(None, "account_id", "region", "member_of", "group_name", "seq"),
    announces=naming(ChangeKind.THING, "thing_name", of_inserts=True),
)


def _make(row: Row[Any]) -> ThingGroup:
    return ThingGroup(
        realm=realm_of(row),
        name=row.name,
        group_id=row.group_id,
        ancestors=tuple(row.ancestors),
        description=row.description,
        attributes=row.attributes,
        version=row.version,
        created_at=row.created_at,
    )


def _values(group: ThingGroup) -> dict[str, Any]:
    return {
        **realm_values(group.realm),
        "name": group.name,
        "group_id": group.group_id,
        "parent_name": group.parent_name or "",
        "ancestors": list(group.ancestors),
        "description": group.description,
        "attributes": dict(group.attributes),
        "version": group.version,
        "created_at": group.created_at,
    }


def _membership(row: Row[Any]) -> Membership:
    return Membership(row.thing_name, row.group_name, row.member_of)


def _thing_name(row: Row[Any]) -> str:
    name: str = row.thing_name
    return name


def _by_prefix(statement: Select[Any], seq: Any) -> dict[bool, Query[ThingGroup]]:
    return {
        False: Query(statement, seq, _make),
        True: Query(statement.where(begins(THING_GROUPS.c.name)), seq, _make),
    }


_OF_REALM = _by_prefix(select(THING_GROUPS).where(its(THING_GROUPS, "account_id", "region")), THING_GROUPS.c.seq)
_CHILDREN = _by_prefix(
    select(THING_GROUPS).where(its(THING_GROUPS, "account_id", "region", "parent_name")), THING_GROUPS.c.seq
)
_DESCENDANTS = _by_prefix(
    select(THING_GROUPS)
    .join(THING_GROUP_ANCESTORS, THING_GROUP_ANCESTORS.c.group_seq == THING_GROUPS.c.seq)
    .where(its(THING_GROUP_ANCESTORS, "account_id", "region", "ancestor")),
    THING_GROUP_ANCESTORS.c.group_seq,
)
_ADD_ANCESTORS = plain_insert(THING_GROUP_ANCESTORS)

_GROUP_NAMES: BindParameter[Any] = bindparam("its_group_names", expanding=True)
_JOIN = plain_insert(MEMBERSHIPS)
_LEAVE = delete(MEMBERSHIPS).where(
    its(MEMBERSHIPS, "account_id", "region", "thing_name"), MEMBERSHIPS.c.group_name.in_(_GROUP_NAMES)
)
_OF_THING = reading(MEMBERSHIPS, _membership, "account_id", "region", "thing_name")
_THINGS_BELOW = reading(MEMBERSHIPS, _thing_name, "account_id", "region", "group_name")
_THINGS_IN = reading(MEMBERSHIPS, _thing_name, "account_id", "region", "member_of", "group_name")


class ThingGroupRows(RealmRows[ThingGroup]):
    """Thing groups of all realms, with their memberships."""

    __slots__ = ()

    _table = RealmTable(THING_GROUPS, "name", _make, _values)

    def add(self, group: ThingGroup) -> None:
        """Add it. Raises AlreadyThere where the realm has one of this name."""
        seq = insert_returning_seq(self._tx, THING_GROUPS, _values(group))
        if seq is None:
            raise AlreadyThere(group.name)
        if group.ancestors:
            owner = {"group_seq": seq, **realm_values(group.realm)}
            self._tx.execute(_ADD_ANCESTORS, [owner | {"ancestor": name} for name in group.ancestors])

    def page(self, realm: Realm, window: Window, *, prefix: str = "") -> Slice[ThingGroup]:
        """Return a page of the realm's groups whose names begin with ``prefix``."""
        return _page(self._tx, _OF_REALM, window, realm_parameters(realm), prefix)

    def children(self, realm: Realm, parent_name: str | None, window: Window, *, prefix: str = "") -> Slice[ThingGroup]:
        """Return a page of a group's children, or of the roots."""
        parameters = realm_parameters(realm, parent_name=parent_name or "")
        return _page(self._tx, _CHILDREN, window, parameters, prefix)

    def descendants(self, realm: Realm, ancestor: str, window: Window, *, prefix: str = "") -> Slice[ThingGroup]:
        """Return a page of all groups below ``ancestor``."""
        return _page(self._tx, _DESCENDANTS, window, realm_parameters(realm, ancestor=ancestor), prefix)

    def join(self, thing_name: str, group: ThingGroup) -> None:
        """Add a thing to a group. Both must be in the store.

        Raises sqlalchemy.exc.IntegrityError where the thing is in a group of the tree already.
        """
        membership = {
            **realm_values(group.realm),
            "thing_name": thing_name,
            "member_of": group.name,
        }
        self._tx.execute(_JOIN, [membership | {"group_name": name} for name in group.lineage])

    def leave(self, thing_name: str, group: ThingGroup) -> None:
        """Remove a thing from a group, and so from those above it."""
        parameters = realm_parameters(group.realm, thing_name=thing_name, group_names=group.lineage)
        self._tx.execute(_LEAVE, parameters)

    def memberships(self, realm: Realm, thing_name: str) -> Sequence[Membership]:
        """Return all memberships of a thing, oldest first; in each tree from the group to the root."""
        return _OF_THING.all(self._tx, realm_parameters(realm, thing_name=thing_name))

    def things_in(self, realm: Realm, group_name: str, window: Window, *, recursive: bool) -> Slice[str]:
        """Return a page of the names of the things in a group; with ``recursive`` also of those below it."""
        parameters = realm_parameters(realm, group_name=group_name)
        if recursive:
            return _THINGS_BELOW.page(self._tx, window, parameters)
        return _THINGS_IN.page(self._tx, window, parameters | {"its_member_of": group_name})


def _page(
    tx: Transaction, rows: dict[bool, Query[ThingGroup]], window: Window, parameters: dict[str, Any], prefix: str
) -> Slice[ThingGroup]:
    if prefix:
        parameters |= {"its_prefix": prefix, "its_prefix_end": last_with(prefix)}
    return rows[bool(prefix)].page(tx, window, parameters)
