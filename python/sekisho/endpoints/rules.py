"""Endpoints: the host name to which the devices of a realm connect.

The settings may name it (``endpoint``, ``endpoints``). Otherwise it is ``<prefix>-ats.iot.<region>.<domain>``. The
prefix is derived from the account and a secret of the server; the first DescribeEndpoint of a realm stores it. If the
domain is ``localhost``, the endpoint of the default account in its home region is ``localhost``, since names below
``localhost`` do not resolve everywhere.

A realm's derived name is always an alias of its endpoint. If the domain is ``localhost``, ``localhost`` and
``localhost.localdomain`` are aliases of the default account's endpoint in its home region. So devices that use a former
name still connect.

Source: Developer Guide, iot-connect-devices; API Reference, DescribeEndpoint.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from sekisho import ids
from sekisho.endpoints.model import Endpoint, ServedEndpoint
from sekisho.endpoints.store import EndpointRows
from sekisho.errors import InvalidRequestException
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction

DATA_TYPES: Final = (None, "iot:Data", "iot:Data-ATS")
"""Endpoint types of the endpoint for devices; None: the request names no type."""

_NOT_SERVED: Final = ("iot:CredentialProvider", "iot:Jobs", "iot:DeviceAdvisor", "iot:Data-Beta")

_PREFIX_LENGTH: Final = 14
_SECRET_LENGTH: Final = 32
LOCALHOST: Final = "localhost"
LOCALHOST_WITH_DOT: Final = "localhost.localdomain"


class Endpoints:
    """Creates and lists the endpoints of realms.

    Args:
        home: The default account in its home region.
        domain: The end of derived host names.
        names: The host names of the settings, by realm.
        secret: The secret from which prefixes are derived; empty: that of the registry, which is made once.
    """

    def __init__(
        self, store: Store, home: Realm, domain: str, *, names: Mapping[Realm, str] | None = None, secret: str = ""
    ) -> None:
        self._store = store
        self._home = home
        self._domain = domain
        self._names = dict(names or {})
        self._secret = secret

    def rename(self, names: Mapping[Realm, str]) -> None:
        """Use other names of the settings from now on."""
        self._names = dict(names)

    def describe(self, realm: Realm, endpoint_type: str | None = None) -> ServedEndpoint:
        """Return the realm's endpoint; create it if there is none.

        Raises:
            InvalidRequestException: The type is not supported, or unknown to AWS IoT.
        """
        if endpoint_type in _NOT_SERVED:
            raise InvalidRequestException(
                f"Endpoint type {endpoint_type} is not supported; iot:Data-ATS is the endpoint for devices."
            )
        if endpoint_type not in DATA_TYPES:
            raise InvalidRequestException(f"Endpoint type {endpoint_type} not recognized.")
        with self._store.read() as tx:
            endpoint = EndpointRows(tx).get(realm)
        return self._served(endpoint or self._make(realm))

    def all(self) -> Sequence[ServedEndpoint]:
        """Return the endpoint of every realm that has one, in the registry or in the settings."""
        with self._store.read() as tx:
            made = EndpointRows(tx).all()
        # Read once: they may be replaced meanwhile.
        names = self._names
        missing = names.keys() - {endpoint.realm for endpoint in made}
        return [
            *(self._served(endpoint) for endpoint in made),
            *(ServedEndpoint(realm, names[realm]) for realm in sorted(missing, key=str)),
        ]

    def _make(self, realm: Realm) -> Endpoint:
        with self._store.write() as tx:
            # Another request may have made it since the read.
            present = EndpointRows(tx).get(realm)
            if present is not None:
                return present
            endpoint = Endpoint(realm, prefix_of(self._secret or _own_secret(tx), realm.account_id))
            EndpointRows(tx).add(endpoint)
            return endpoint

    def _served(self, endpoint: Endpoint) -> ServedEndpoint:
        realm = endpoint.realm
        names = [derived_name(endpoint.prefix, realm, self._domain)]
        if realm == self._home and self._domain == LOCALHOST:
            names = [LOCALHOST, LOCALHOST_WITH_DOT, *names]
        if own := self._names.get(realm):
            names = [own, *names]
        server_name, *aliases = dict.fromkeys(names)
        return ServedEndpoint(realm, server_name, tuple(aliases))


def derived_name(prefix: str, realm: Realm, domain: str) -> str:
    """Return the host name of an endpoint that the settings do not name."""
    return f"{prefix}-ats.iot.{realm.region}.{domain}"


def prefix_of(secret: str, account_id: str) -> str:
    """Derive the prefix of an account's endpoints: 14 lower-case letters and digits, the same in every region."""
    digest = hmac.digest(secret.encode(), account_id.encode(), "sha256")
    # AWS's prefixes begin with "a", and some resolvers refuse names that begin with a digit.
    return "a" + base64.b32encode(digest).decode("ascii").lower()[: _PREFIX_LENGTH - 1]


def _own_secret(tx: Transaction) -> str:
    """Return the registry's secret; make it at the first use."""
    rows = EndpointRows(tx)
    secret = rows.secret()
    if secret is None:
        secret = ids.short(_SECRET_LENGTH)
        rows.add_secret(secret)
    return secret
