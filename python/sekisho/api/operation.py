"""The registry of operations: AWS name → function.

An operation is one function in a module of `sekisho.api.operations`:

    @operation("iot", "CreateThing")
    def create_thing(call: Call, request: CreateThingRequestTypeDef) -> Mapping[str, Any]:
        ...

It is called in a worker thread with a request that has been authenticated, parsed and validated against the model,
under the model's member names (those that boto3's users type). It returns the members of the operation's output under
their model names (None values are left out), or None. It refuses by raising an exception of `sekisho.errors`.
An operation for which the model has no output may return a mapping too: it becomes the JSON body as it is.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sekisho.realm import Realm

if TYPE_CHECKING:
    from sekisho.server.services import Services

Handler = Callable[["Call", Any], Mapping[str, Any] | None]
H = TypeVar("H", bound=Callable[["Call", Any], object])


@dataclass(frozen=True, slots=True)
class Caller:
    """The signer of the request, in the terms of `sts:GetCallerIdentity`."""

    access_key_id: str
    account_id: str
    arn: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation, without its parameters.

    Attributes:
        realm: The account and region that the request is for; all objects that it names are looked up there.
        caller: The signer.
        services: The domain.
        request_id: The id in the response and in the log.
        source_ip: The client's address.
        base_url: The API's URL as the client wrote it, for links in the answer.
    """

    realm: Realm
    caller: Caller
    services: Services
    request_id: str
    source_ip: str
    base_url: str


class Operations:
    """The functions of operations, by service and name."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str], Handler] = {}

    def operation(self, service: str, name: str) -> Callable[[H], H]:
        """Decorate the function that answers the operation `name` of `service`.

        Args:
            service: botocore's name of the service: `iot`, `iot-data`, `iot-jobs-data` or `sts`.
            name: The operation's AWS name, such as `CreateThing`.

        Raises:
            ValueError: Another function answers this operation already.
        """

        def register(handler: H) -> H:
            if (service, name) in self._handlers:
                raise ValueError(f"Two functions answer {service}:{name}; an operation has one.")
            self._handlers[service, name] = handler  # type: ignore[assignment]
            return handler

        return register

    def handler(self, service: str, name: str) -> Handler | None:
        """Return the function of the operation, or None."""
        return self._handlers.get((service, name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._handlers)

    def __contains__(self, key: object) -> bool:
        return key in self._handlers


_INSTALLED = Operations()

operation = _INSTALLED.operation


def installed_operations() -> Operations:
    """Return every operation of the package `sekisho.api.operations`, whose modules this imports."""
    from sekisho.api import operations

    for module in pkgutil.iter_modules(operations.__path__):
        importlib.import_module(f"{operations.__name__}.{module.name}")
    return _INSTALLED
