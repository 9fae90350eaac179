"""Accounts of this server and the access keys that sign for them.

An account is twelve digits and a boundary: certificates, things, policies and topics of two accounts never meet.
There are no users or roles in an account; an access key speaks for all of it.
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
        """A new account with an access key.

        Args:
            account_id: Twelve digits; None chooses them at random.
            name: For people; up to 128 printable characters.

        Raises:
            InvalidRequestException: Not twelve digits, or not a name.
            ResourceAlreadyExistsException: There is such an account.
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
        """The account, made with an access key if there is none. Raises InvalidRequestException."""
        _require_account_id(account_id)
        with self._store.read() as tx:
            account = AccountRows(tx).get(account_id)
        if account is not None:
            return account
        with self._store.write() as tx:
            return AccountRows(tx).get(account_id) or self._add(tx, account_id, None)[0]

    def all(self) -> Sequence[Account]:
        """Every account."""
        with self._store.read() as tx:
            return AccountRows(tx).all()

    def exists(self, account_id: str) -> bool:
        """Whether this server has the account."""
        with self._store.read() as tx:
            return AccountRows(tx).get(account_id) is not None

    def are_several(self) -> bool:
        """Whether this server has more than one account. Another process may create one at any time."""
        with self._store.read() as tx:
            return AccountRows(tx).are_several()

    def access_keys(self, account_id: str) -> Sequence[AccessKey]:
        """The access keys of an account; none where there is no such account."""
        with self._store.read() as tx:
            return AccountRows(tx).access_keys(account_id)

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """The access key of this id."""
        with self._store.read() as tx:
            return AccountRows(tx).access_key(access_key_id)

    def _add(self, tx: Transaction, account_id: str, name: str | None) -> tuple[Account, AccessKey]:
        account = Account(account_id, name, self._clock())
        AccountRows(tx).add(account)
        return account, self._add_key(tx, account_id)

    def _add_key(self, tx: Transaction, account_id: str) -> AccessKey:
        key = AccessKey(
            # The form that AWS tools expect: some refuse ids that do not begin with AKIA.
            access_key_id="AKIA" + _random(_BASE32, 16),
            account_id=account_id,
            created_at=self._clock(),
            # Letters and digits alone survive every shell and configuration file; 40 of them are 238 bits.
            secret_access_key=_random(_SECRET, 40),
        )
        AccountRows(tx).add_access_key(key)
        return key


def _require_account_id(account_id: str) -> None:
    if _ACCOUNT_ID.fullmatch(account_id) is None:
        raise InvalidRequestException(f"An account id is twelve digits, not {account_id[:50]!r}.")


def _require_name(name: str | None) -> None:
    if name is not None and not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise InvalidRequestException(f"An account's name is 1 to {MAX_NAME} printable characters.")


def _unused_id(tx: Transaction) -> str:
    while True:
        # No zero in front: tools that take the id for a number would lose it.
        account_id = str(10**11 + secrets.randbelow(9 * 10**11))
        if AccountRows(tx).get(account_id) is None:
            return account_id


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
