"""Accounts of this server, and their access keys.

Each account has certificates, things, policies and topics of its own. An account has no users or roles: an access key
has all rights of its account.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Sequence
from typing import Final

from sekisho.accounts.model import AccessKey, Account
from sekisho.accounts.store import AccountRows
from sekisho.clock import Clock
from sekisho.errors import InvalidRequestException, ResourceAlreadyExistsException
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction

_ACCOUNT_ID: Final = re.compile(r"[0-9]{12}")
_BASE32: Final = string.ascii_uppercase + "234567"
_SECRET: Final = string.ascii_letters + string.digits
MAX_NAME: Final = 128


class Accounts:
    """Accounts and access keys."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(self, account_id: str | None = None, *, name: str | None = None) -> tuple[Account, AccessKey]:
        """Create an account with an access key.

        Args:
            account_id: Twelve digits; None: random ones.
            name: Up to MAX_NAME printable characters, for people.

        Raises:
            InvalidRequestException: ``account_id`` is not twelve digits, or ``name`` is empty, too long or not
                printable.
            ResourceAlreadyExistsException: The account exists.
        """
        if account_id is not None:
            _require_account_id(account_id)
        _require_name(name)
        with self._store.write() as tx:
            if account_id is None:
                account_id = _unused_id(tx)
            elif AccountRows(tx).get(account_id) is not None:
                raise ResourceAlreadyExistsException(f"Account {account_id} exists already.", resource_id=account_id)
            return self._add(tx, account_id, name)

    def ensure(self, account_id: str) -> Account:
        """Return the account; create it with an access key if it does not exist. Raises InvalidRequestException."""
        _require_account_id(account_id)
        with self._store.read() as tx:
            account = AccountRows(tx).get(account_id)
        if account is not None:
            return account
        with self._store.write() as tx:
            return AccountRows(tx).get(account_id) or self._add(tx, account_id, None)[0]

    def all(self) -> Sequence[Account]:
        """Return every account."""
        with self._store.read() as tx:
            return AccountRows(tx).all()

    def exists(self, account_id: str) -> bool:
        """Return whether this server has the account."""
        with self._store.read() as tx:
            return AccountRows(tx).get(account_id) is not None

    def are_several(self) -> bool:
        """Return whether this server has more than one account. Another process may create one at any time."""
        with self._store.read() as tx:
            return AccountRows(tx).are_several()

    def access_keys(self, account_id: str) -> Sequence[AccessKey]:
        """Return the access keys of an account; none for an unknown account."""
        with self._store.read() as tx:
            return AccountRows(tx).access_keys(account_id)

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """Return the access key, or None."""
        with self._store.read() as tx:
            return AccountRows(tx).access_key(access_key_id)

    def _add(self, tx: Transaction, account_id: str, name: str | None) -> tuple[Account, AccessKey]:
        account = Account(account_id, name, self._clock())
        AccountRows(tx).add(account)
        return account, self._add_key(tx, account_id)

    def _add_key(self, tx: Transaction, account_id: str) -> AccessKey:
        key = AccessKey(
            # Some AWS tools refuse ids that do not begin with AKIA.
            access_key_id="AKIA" + _random(_BASE32, 16),
            account_id=account_id,
            created_at=self._clock(),
            # Letters and digits need no quotes in any shell or configuration file; 40 of them are 238 bits.
            secret_access_key=_random(_SECRET, 40),
        )
        AccountRows(tx).add_access_key(key)
        return key


def _require_account_id(account_id: str) -> None:
    if _ACCOUNT_ID.fullmatch(account_id) is None:
        raise InvalidRequestException(f"An account id is twelve digits, not {account_id[:50]!r}.")


def _require_name(name: str | None) -> None:
    if name is not None and not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise InvalidRequestException(
            f"An account's name has 1 to {MAX_NAME} printable characters, not {len(name)}."
            if name.isprintable()
            else f"An account's name has printable characters only, not {name[:MAX_NAME]!r}."
        )


def _unused_id(tx: Transaction) -> str:
    while True:
        # Tools that read the id as a number would drop a leading zero.
        account_id = str(10**11 + secrets.randbelow(9 * 10**11))
        if AccountRows(tx).get(account_id) is None:
            return account_id


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
