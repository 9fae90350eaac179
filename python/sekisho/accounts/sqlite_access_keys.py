"""Reads access keys from a registry in SQLite without SQLAlchemy, whose import takes longer than ``sekisho env`` may.

``tests/unit/features/test_accounts.py`` compares what this reads with what ``Accounts`` reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sekisho.accounts.model import AccessKey

_KEYS_OF: Final = (
    "SELECT access_key_id, account_id, created_at, secret_access_key FROM access_keys WHERE account_id = ? ORDER BY seq"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def access_keys(file: Path, account_id: str) -> Sequence[AccessKey]:
    """Return an account's access keys, oldest first; none where there is no such account. Writes nothing.

    Raises sqlite3.Error: the file cannot be opened, or is not a registry of this version.
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return [
            AccessKey(access_key_id, its_account_id, _EPOCH + timedelta(microseconds=created_at), secret_access_key)
            for access_key_id, its_account_id, created_at, secret_access_key in connection.execute(
                _KEYS_OF, (account_id,)
            )
        ]
