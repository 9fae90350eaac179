"""What several folders of unit tests share: keys and an issuing CA that are expensive to make."""

from __future__ import annotations

import itertools

import pytest

from sekisho.pki import keys
from sekisho.pki.issuing import IssuingAuthority
from sekisho.pki.keys import KeyType, PrivateKey

_RSA_KEYS = 8
"""More than one identity of a server and its renewals need."""

_generate = keys.generate
_made: list[PrivateKey] = []
_numbers = itertools.count()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> IssuingAuthority:
    """An issuing CA. Its key is made once for all tests, which issue with it and do not look at its files."""
    return IssuingAuthority.load_or_create(tmp_path_factory.mktemp("issuing"))


@pytest.fixture
def few_rsa_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate only the first RSA-2048 keys of the test run, then take turns with them.

    For tests of what is done with keys. A key differs from the ones that were generated just before it.
    """
    monkeypatch.setattr(keys, "generate", _generate_or_reuse)


def _generate_or_reuse(key_type: KeyType) -> PrivateKey:
    if key_type is not KeyType.RSA_2048:
        return _generate(key_type)
    number = next(_numbers) % _RSA_KEYS
    if number == len(_made):
        _made.append(_generate(key_type))
    return _made[number]
