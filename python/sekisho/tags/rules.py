"""Tags of resources.

CA certificates, certificate providers, policies, provisioning templates, thing types, thing groups and billing groups
can have tags. Device certificates and things cannot.

Source: API Reference, TagResource; General Reference, "Tag naming limits and requirements".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from sekisho import naming
from sekisho.arn import Arn
from sekisho.billing_groups.store import BillingGroupRows
from sekisho.ca_certificates.store import CACertificateRows
from sekisho.certificate_providers.store import CertificateProviderRows
from sekisho.errors import AwsException, InvalidRequestException, LimitExceededException, ResourceNotFoundException
from sekisho.policies.store import PolicyRows
from sekisho.provisioning.templates.store import ProvisioningTemplateRows
from sekisho.realm import Realm
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction
from sekisho.tags.store import TagRows
from sekisho.thing_groups.store import ThingGroupRows
from sekisho.thing_types.store import ThingTypeRows

MAX_TAGS: Final = 50
"""Tags of one resource."""


class _Named(Protocol):
    """Resources of one type, by name."""

    def get(self, realm: Realm, name: str, /) -> object | None: ...


_TAGGED: Final[Mapping[str, tuple[str, Callable[[Transaction], _Named]]]] = {
    "billinggroup": ("Billing group", BillingGroupRows),
    "cacert": ("CA certificate", CACertificateRows),
    "certificateprovider": ("Certificate provider", CertificateProviderRows),
    "policy": ("Policy", PolicyRows),
    "provisioningtemplate": ("Provisioning template", ProvisioningTemplateRows),
    "thinggroup": ("Thing group", ThingGroupRows),
    "thingtype": ("Thing type", ThingTypeRows),
}
"""By the type in the ARN: its name in messages, and its rows."""

_TAGGED_ON_AWS: Final = {
    "authorizer": "Authorizer",
    "command": "Command",
    "domainconfiguration": "Domain configuration",
    "fleetmetric": "Fleet metric",
    "job": "Job",
    "jobtemplate": "Job template",
    "otaupdate": "OTA update",
    "package": "Package",
    "rolealias": "Role alias",
    "rule": "Rule",
    "scheduledaudit": "Scheduled audit",
    "securityprofile": "Security profile",
    "stream": "Stream",
}
"""Resource types that can have tags in AWS IoT, and that Sekisho does not have."""


class Tags:
    """Adds, removes and lists the tags of resources."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def tag(self, realm: Realm, resource_arn: str, tags: Mapping[str, str]) -> None:
        """Add tags, and overwrite those with the same keys.

        Raises:
            InvalidRequestException: It is not the ARN of a resource of this realm that can have tags.
            ResourceNotFoundException: No such resource.
            LimitExceededException: It would have more than MAX_TAGS.
        """
        with self._store.write() as tx:
            _require_taggable(tx, realm, resource_arn)
            together = len({*TagRows(tx).get(realm, resource_arn), *tags})
            if together > MAX_TAGS:
                raise LimitExceededException(
                    f"The resource would have {together} tags; it can have at most {MAX_TAGS}."
                )
            TagRows(tx).put(realm, resource_arn, tags)

    def untag(self, realm: Realm, resource_arn: str, keys: Sequence[str]) -> None:
        """Remove tags; unknown keys are without effect. Raises as ``tag``."""
        with self._store.write() as tx:
            _require_taggable(tx, realm, resource_arn)
            TagRows(tx).remove(realm, resource_arn, keys)

    def of(self, realm: Realm, resource_arn: str) -> Mapping[str, str]:
        """Return all tags of a resource. Raises as ``tag``."""
        with self._store.read() as tx:
            _require_taggable(tx, realm, resource_arn)
            return TagRows(tx).get(realm, resource_arn)


def checked_tags(
    tags: Iterable[tuple[str, str]], too_many: type[AwsException] = InvalidRequestException
) -> dict[str, str]:
    """Return the tags of a request by key.

    Args:
        too_many: Raised for more than MAX_TAGS: operations that create a resource do not declare LimitExceeded.

    Raises:
        InvalidRequestException: A key is given twice, or begins with the reserved ``aws:``.
    """
    checked: dict[str, str] = {}
    for key, value in tags:
        if key in checked:
            raise InvalidRequestException(f"The tag key {key!r} is given twice.")
        if key.lower().startswith("aws:"):
            raise InvalidRequestException(f"The tag key {key!r} begins with 'aws:', which is reserved.")
        checked[key] = value
    if len(checked) > MAX_TAGS:
        raise too_many(f"{len(checked)} tags are given; a resource can have at most {MAX_TAGS}.")
    return checked


def _require_taggable(tx: Transaction, realm: Realm, resource_arn: str) -> None:
    parsed = Arn.parse(resource_arn)
    if parsed is None or parsed.service != "iot":
        raise InvalidRequestException(
            f"{resource_arn[:200]!r} is not the ARN of an AWS IoT resource: "
            "arn:aws:iot:<region>:<account>:<type>/<name>."
        )
    naming.require_same_realm(realm, parsed, resource_arn)
    if parsed.type in _TAGGED:
        kind, rows_of = _TAGGED[parsed.type]
        exists = rows_of(tx).get(realm, parsed.name) is not None
    elif parsed.type in _TAGGED_ON_AWS:
        kind, exists = _TAGGED_ON_AWS[parsed.type], False
    else:
        raise InvalidRequestException(
            f"A resource of type {parsed.type!r} cannot have tags. CA certificates (cacert), certificate providers, "
            "policies, provisioning templates, thing types and groups can."
        )
    if not exists:
        raise ResourceNotFoundException(f"{kind} {parsed.name} does not exist.")
