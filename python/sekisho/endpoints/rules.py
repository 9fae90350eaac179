"""Endpoints: the name under which the devices of an account and region connect.

The settings name it (``endpoint``, ``endpoints``). Where they do not, it is ``<prefix>-ats.iot.<region>.<domain>``. The
prefix is derived from the account and a secret of the server, and kept in the registry when it is first asked for. The
default account in its home region is ``localhost`` on a server whose domain is ``localhost``, since names below
``localhost`` do not resolve everywhere.

A realm's derived name is always an alias of its endpoint. Where the domain is ``localhost``, ``localhost`` and
``localhost.localdomain`` are aliases of the default account's at home. Devices that know a former name still connect.

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
"""Endpoint types that mean the device data endpoint; None is what a client that names no type gets."""

_NOT_SERVED: Final = ("iot:CredentialProvider", "iot:Jobs", "iot:DeviceAdvisor", "iot:Data-Beta")

_PREFIX_LENGTH: Final = 14
_SECRET_LENGTH: Final = 32
_LOCALHOST: Final = "localhost"
LOCALHOST_WITH_DOT: Final = "localhost.localdomain"


class Endpoints:
    """The endpoint of each realm.

    Args:
        home: The default account in its home region.
        domain: What names end in.
        names: Names of the settings, by realm.
        secret: What prefixes are derived from; empty: the registry's own secret, made once.
    """

    def __init__(
        self, store: Store, home: Realm, domain: str, *, names: Mapping[Realm, str] | None = None, secret: str = ""
    ) -> None:
        self._store = store
        self._home = home
        self._domain = domain
        self._names = dict(names or {})
        self._secret = secret

    def describe(self, realm: Realm, endpoint_type: str | None = None) -> ServedEndpoint:
        """The realm's endpoint, made if it has none yet.

        Raises:
            InvalidRequestException: A type that is not served, or that AWS IoT does not know.
        """
        if endpoint_type in _NOT_SERVED:
            raise InvalidRequestException(
                f"Endpoint type {endpoint_type} is not served here; iot:Data-ATS is the endpoint of devices."
            )
        if endpoint_type not in DATA_TYPES:
            raise InvalidRequestException(f"Endpoint type {endpoint_type} not recognized.")
        with self._store.read() as tx:
            endpoint = EndpointRows(tx).get(realm)
        return self._served(endpoint or self._make(realm))

    def all(self) -> Sequence[ServedEndpoint]:
        """Every endpoint that was made, and those that the settings name."""
        with self._store.read() as tx:
            made = EndpointRows(tx).all()
        missing = self._names.keys() - {endpoint.realm for endpoint in made}
        return [
            *(self._served(endpoint) for endpoint in made),
            *(ServedEndpoint(realm, self._names[realm]) for realm in sorted(missing, key=str)),
        ]

    def _make(self, realm: Realm) -> Endpoint:
        with self._store.write() as tx:
            # Someone else may have made it since it was looked for.
            present = EndpointRows(tx).get(realm)
            if present is not None:
                return present
            endpoint = Endpoint(realm, prefix_of(self._secret or _own_secret(tx), realm.account_id))
            EndpointRows(tx).add(endpoint)
            return endpoint

    def _served(self, endpoint: Endpoint) -> ServedEndpoint:
        realm = endpoint.realm
        names = [f"{endpoint.prefix}-ats.iot.{realm.region}.{self._domain}"]
        if realm == self._home and self._domain == _LOCALHOST:
            names = [_LOCALHOST, LOCALHOST_WITH_DOT, *names]
        if realm in self._names:
            names = [self._names[realm], *names]
        server_name, *aliases = dict.fromkeys(names)
        return ServedEndpoint(realm, server_name, tuple(aliases))


def prefix_of(secret: str, account_id: str) -> str:
    """Derive the prefix of an account's endpoints: 14 lower-case letters and digits, the same in every region."""
    digest = hmac.digest(secret.encode(), account_id.encode(), "sha256")
    # AWS's prefixes begin with "a"; a name that begins with a digit is refused by some resolvers.
    return "a" + base64.b32encode(digest).decode("ascii").lower()[: _PREFIX_LENGTH - 1]


def _own_secret(tx: Transaction) -> str:
    """The registry's secret, made at the first use. It survives as long as the registry."""
    rows = EndpointRows(tx)
    secret = rows.secret()
    if secret is None:
        secret = ids.short(_SECRET_LENGTH)
        rows.add_secret(secret)
    return secret
