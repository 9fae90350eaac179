"""RegisterThing: applies the template of a request.

Source: API Reference, RegisterThing; Developer Guide, provision-template.
"""

from __future__ import annotations

from collections.abc import Mapping

from sekisho.clock import Clock
from sekisho.errors import (
    ConflictingResourceUpdateException,
    InvalidRequestException,
    ResourceRegistrationFailureException,
)
from sekisho.pki.issuing import IssuingAuthority
from sekisho.policies.engine import PolicyEngine
from sekisho.provisioning.provisioner import Provisioned, ProvisioningError, ResourceConflict, provision
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.templates.error import TemplateError
from sekisho.templates.template import parse


class ThingRegistration:
    """Registers things with templates that are not stored."""

    def __init__(self, store: Store, clock: Clock, engine: PolicyEngine, authority: IssuingAuthority) -> None:
        self._store = store
        self._clock = clock
        self._engine = engine
        self._authority = authority

    def register(self, realm: Realm, body: str, parameters: Mapping[str, str]) -> Provisioned:
        """Apply a template, completely or not at all.

        Args:
            parameters: Values by name. Parameters that the template does not declare are ignored.

        Raises:
            InvalidRequestException: ``body`` is not a template, or cannot be resolved with these parameters.
            ConflictingResourceUpdateException: A resource exists and differs (``ResourceConflict``).
            ResourceRegistrationFailureException: A resource cannot be registered for another reason.
        """
        try:
            resources = parse(body).resolve(parameters)
        except TemplateError as error:
            raise InvalidRequestException(f"templateBody: {error}") from None
        try:
            with self._store.write() as tx:
                return provision(
                    tx,
                    realm,
                    self._clock(),
                    resources,
                    certificate=None,
                    engine=self._engine,
                    authority=self._authority,
                )
        except ResourceConflict as error:
            raise ConflictingResourceUpdateException(str(error)) from None
        except ProvisioningError as error:
            raise ResourceRegistrationFailureException(str(error)) from None
