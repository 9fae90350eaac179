"""Endpoints: the name under which the devices of an account and region connect.

The name is ``<prefix>-ats.iot.<region>.<domain>``; the prefix is made when it is first asked for and the same ever
after. The default account in its home region is plain ``localhost`` on a server whose domain is ``localhost``, since
names below ``localhost`` do not resolve everywhere; the name that it would have otherwise, and
``localhost.localdomain``, are its aliases. Home and domain are the server's configuration, and so the name follows them
when they are changed.

Source: Developer Guide, iot-connect-devices; API Reference, DescribeEndpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sekisho import ids
from sekisho.endpoints.model import Endpoint, ServedEndpoint
from sekisho.endpoints.store import EndpointRows
from sekisho.errors import InvalidRequestException
from sekisho.realm import Realm
from sekisho.store.store import Store

DATA_TYPES: Final = (None, "iot:Data", "iot:Data-ATS")
"""Endpoint types that mean the device data endpoint; None is what a client that names no type gets."""

_NOT_SERVED: Final = ("iot:CredentialProvider", "iot:Jobs", "iot:DeviceAdvisor", "iot:Data-Beta")

_PREFIX_LENGTH: Final = 14
_LOCALHOST: Final = "localhost"
LOCALHOST_WITH_DOT: Final = "localhost.localdomain"


class Endpoints:
    """The endpoint of each realm.

    Args:
        home: The default account in its home region.
        domain: What names end in.
    """

    def __init__(self, store: Store, home: Realm, domain: str) -> None:
        self._store = store
        self._home = home
        self._domain = domain

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
        """Every endpoint that was made."""
        with self._store.read() as tx:
            return [self._served(endpoint) for endpoint in EndpointRows(tx).all()]

    def _make(self, realm: Realm) -> Endpoint:
        with self._store.write() as tx:
            # Someone else may have made it since it was looked for.
            present = EndpointRows(tx).get(realm)
            if present is not None:
                return present
            # AWS's prefixes begin with "a"; a name that begins with a digit is refused by some resolvers.
            prefix = "a" + ids.short(_PREFIX_LENGTH - 1)
            endpoint = Endpoint(realm, prefix)
            EndpointRows(tx).add(endpoint)
            return endpoint

    def _served(self, endpoint: Endpoint) -> ServedEndpoint:
        realm = endpoint.realm
        name = f"{endpoint.prefix}-ats.iot.{realm.region}.{self._domain}"
        if realm == self._home and self._domain == _LOCALHOST:
            return ServedEndpoint(realm, _LOCALHOST, aliases=(LOCALHOST_WITH_DOT, name))
        return ServedEndpoint(realm, name)
