"""What the registry knows: frozen values, named and shaped as AWS IoT names them.

Times are timezone-aware UTC datetimes. Identifiers are lower case. A ``certificate_id`` is the lower-case hex SHA-256
of the certificate's DER (AWS IoT Developer Guide, x509-client-certs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class CertificateStatus(StrEnum):
    """Status of a device certificate. Only ACTIVE connects."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    REVOKED = "REVOKED"
    PENDING_TRANSFER = "PENDING_TRANSFER"
    REGISTER_INACTIVE = "REGISTER_INACTIVE"
    PENDING_ACTIVATION = "PENDING_ACTIVATION"


class CertificateMode(StrEnum):
    """DEFAULT: one account per region, SNI not needed. SNI_ONLY: many accounts, SNI tells which."""

    DEFAULT = "DEFAULT"
    SNI_ONLY = "SNI_ONLY"


class CACertificateStatus(StrEnum):
    """An INACTIVE CA registers nothing more; what it signed before goes on."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class AutoRegistrationStatus(StrEnum):
    """Whether an unknown certificate of this CA is registered when it first connects."""

    ENABLE = "ENABLE"
    DISABLE = "DISABLE"


class ThingPrincipalType(StrEnum):
    """How a principal belongs to a thing (Developer Guide, exclusive-thing)."""

    EXCLUSIVE_THING = "EXCLUSIVE_THING"
    NON_EXCLUSIVE_THING = "NON_EXCLUSIVE_THING"


class TemplateType(StrEnum):
    """Who provisions through a template: devices with a claim, or a CA's devices at their first connection."""

    FLEET_PROVISIONING = "FLEET_PROVISIONING"
    JITP = "JITP"


class CertificateProviderOperation(StrEnum):
    """What a certificate provider signs for."""

    CREATE_CERTIFICATE_FROM_CSR = "CreateCertificateFromCsr"


@dataclass(frozen=True, slots=True)
class RegistrationConfig:
    """Just-in-time provisioning of a CA: a template by name, or a body with the role it acts in."""

    template_body: str | None = None
    role_arn: str | None = None
    template_name: str | None = None


@dataclass(frozen=True, slots=True)
class CACertificate:
    """A CA certificate registered in a realm. Told apart from its namesakes by key, never by name."""

    realm: Realm
    certificate_id: str
    certificate_pem: str
    subject: bytes
    """The subject in the form to be compared (``pki.names.canonical``): at most ten CAs of one subject in a realm."""
    public_key_id: str
    """Lower-case hex SHA-256 of the DER SubjectPublicKeyInfo: which key signs, whatever the name."""
    status: CACertificateStatus
    mode: CertificateMode
    auto_registration_status: AutoRegistrationStatus
    registration_config: RegistrationConfig | None
    not_before: datetime
    not_after: datetime
    created_at: datetime
    modified_at: datetime
    customer_version: int
    generation_id: str


@dataclass(frozen=True, slots=True)
class TransferData:
    """A certificate's way from one account to another."""

    message: str | None = None
    reject_reason: str | None = None
    transferred_at: datetime | None = None
    accepted_at: datetime | None = None
    rejected_at: datetime | None = None
    transferred_to: str | None = None
    """On the source's side, the account it was last offered to."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """By what a certificate is recognised in another encoding, or after it was issued again: halves of SHA-256."""

    signed: bytes
    """Of what is signed. Without the CA's key only the rest of a certificate can be changed, and with it the id."""
    issuer_serial: bytes
    """Of issuer and serial number, by which a CA tells its certificates apart."""
    public_key: bytes
    """Of the SubjectPublicKeyInfo."""


@dataclass(frozen=True, slots=True)
class Kin:
    """Certificates of a realm that have something in common with one that is not registered there: their ids."""

    same_signed: str | None = None
    """One in which the same is signed, whatever its status."""
    revoked_same_number: str | None = None
    """A REVOKED one of the same issuer and serial number."""
    revoked_same_key: str | None = None
    """A REVOKED one of the same public key."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A device certificate registered in a realm."""

    realm: Realm
    certificate_id: str
    certificate_pem: str
    ca_certificate_id: str | None
    """The registered CA that signed it; None where it was registered without one or issued by Sekisho."""
    status: CertificateStatus
    mode: CertificateMode
    not_before: datetime
    not_after: datetime
    created_at: datetime
    modified_at: datetime
    customer_version: int
    generation_id: str
    previous_owned_by: str | None = None
    """The account that transferred it to this one; while it is incoming, the account that offers it."""
    transfer: TransferData | None = None

    @property
    def is_outgoing(self) -> bool:
        """Offered to another account, and still this one's."""
        return (
            self.status is CertificateStatus.PENDING_TRANSFER
            and self.transfer is not None
            and self.transfer.transferred_to is not None
        )

    @property
    def is_incoming(self) -> bool:
        """Offered to this account, and still another's."""
        return self.status is CertificateStatus.PENDING_TRANSFER and not self.is_outgoing

    @property
    def owned_by(self) -> str:
        """The account that owns it: ownership passes when a transfer is accepted."""
        if self.is_incoming and self.previous_owned_by is not None:
            return self.previous_owned_by
        return self.realm.account_id


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing: a name with attributes."""

    realm: Realm
    name: str
    thing_id: str
    type_name: str | None
    attributes: Mapping[str, str]
    billing_group_name: str | None
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Attachment:
    """A principal attached to a thing."""

    realm: Realm
    thing_name: str
    principal: str
    """ARN of a certificate, or a Cognito identity."""
    type: ThingPrincipalType


@dataclass(frozen=True, slots=True)
class PropagatingAttribute:
    """A user property that a thing's MQTT 5 messages carry: from an attribute of the thing, or of its connection."""

    user_property_key: str
    thing_attribute: str | None = None
    connection_attribute: str | None = None


@dataclass(frozen=True, slots=True)
class ThingType:
    """What things of a kind have in common. Deprecated, it takes no more things."""

    realm: Realm
    name: str
    type_id: str
    description: str | None
    searchable_attributes: tuple[str, ...]
    propagating_attributes: tuple[PropagatingAttribute, ...]
    created_at: datetime
    deprecated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ThingGroup:
    """A static thing group: a node of a tree. Its place in the tree is given once and for good."""

    realm: Realm
    name: str
    group_id: str
    ancestors: tuple[str, ...]
    """From the root of the tree to the parent; empty for a root."""
    description: str | None
    attributes: Mapping[str, str]
    version: int
    created_at: datetime

    @property
    def parent_name(self) -> str | None:
        """The group above it."""
        return self.ancestors[-1] if self.ancestors else None

    @property
    def lineage(self) -> tuple[str, ...]:
        """Itself and all above it, the nearest first."""
        return (self.name, *reversed(self.ancestors))


@dataclass(frozen=True, slots=True)
class Membership:
    """A thing in a group, where it was put into that group or into one below."""

    thing_name: str
    group_name: str
    member_of: str
    """The group it was put into: ``group_name``, or one below it."""


@dataclass(frozen=True, slots=True)
class BillingGroup:
    """A group of things for the bill, of which there is none here: a name that things may have."""

    realm: Realm
    name: str
    group_id: str
    description: str | None
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """A named policy; its documents are its versions."""

    realm: Realm
    name: str
    default_version_id: int
    last_version_id: int
    """The highest version number ever given: numbers rise and are never used again."""
    created_at: datetime
    modified_at: datetime
    generation_id: str


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One document of a policy."""

    realm: Realm
    policy_name: str
    version_id: int
    document: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ProvisioningHook:
    """The function that is asked before a device is provisioned (Developer Guide, pre-provisioning-hook)."""

    target_arn: str
    payload_version: str


@dataclass(frozen=True, slots=True)
class ProvisioningTemplate:
    """A named provisioning template; its bodies are its versions."""

    realm: Realm
    name: str
    type: TemplateType
    description: str | None
    enabled: bool
    role_arn: str
    hook: ProvisioningHook | None
    default_version_id: int
    last_version_id: int
    """The highest version number ever given: numbers rise and are never used again."""
    created_at: datetime
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class ProvisioningTemplateVersion:
    """One body of a provisioning template."""

    realm: Realm
    template_name: str
    version_id: int
    body: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ProvisioningClaim:
    """A certificate of a few minutes, good for provisioning through one template and nothing else."""

    realm: Realm
    certificate_id: str
    certificate_pem: str
    template_name: str
    not_before: datetime
    not_after: datetime
    """When it expires, as its certificate says."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CertificateProvider:
    """A function that signs certificate signing requests in place of the service."""

    realm: Realm
    name: str
    function_arn: str
    operations: tuple[CertificateProviderOperation, ...]
    client_token: str | None
    """By which a request to make it is known again."""
    created_at: datetime
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """A message that tells a realm's subscribers of something that happened."""

    realm: Realm
    topic: str
    payload: bytes


class DeliveryState(StrEnum):
    """PENDING: will be tried. FAILED: given up, and kept until an operator asks for it to be tried again."""

    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a handler is to be called with."""

    realm: Realm
    handler: str
    subject: str
    """What the event tells of, such as a certificate id."""
    payload: bytes
    """The event, JSON."""
    attempts: int
    """Calls that have failed."""
    next_attempt_at: datetime
    """When it is due; of a FAILED one, when it was given up."""
    last_error: str | None
    state: DeliveryState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OwnershipToken:
    """Whose a certificate is that waits for a device to provision with it (Developer Guide, fleet-provision-api)."""

    realm: Realm
    token_sha256: str
    """Lower-case hex; the token itself is with the device alone."""
    certificate_id: str
    claim_certificate_id: str
    """The certificate that the device asked with, and has to provision with."""
    expires_at: datetime


class RegistrationTaskStatus(StrEnum):
    """Where a bulk registration is (the ``iot`` model's Status)."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    CANCELLING = "Cancelling"


class ReportType(StrEnum):
    """Of lines that were provisioned, or of lines that were not (the ``iot`` model's ReportType)."""

    RESULTS = "RESULTS"
    ERRORS = "ERRORS"


@dataclass(frozen=True, slots=True)
class RegistrationTask:
    """A bulk registration: a template, an input with a line per device, and how far it has come."""

    realm: Realm
    task_id: str
    template_body: str
    input_bucket: str
    input_key: str
    role_arn: str
    report_token: str
    """Who knows it may fetch the reports."""
    status: RegistrationTaskStatus
    created_at: datetime
    modified_at: datetime
    message: str | None = None
    """Why it failed."""
    success_count: int = 0
    failure_count: int = 0
    lines_done: int = 0
    """Lines of the input that are behind it, empty ones too."""
    bytes_done: int = 0
    """Where in the input the next line begins."""
    input_bytes: int | None = None
    """Size of the input; None until it was opened."""
    input_version: str | None = None
    """Another one means another content; None until it was opened."""

    @property
    def percentage(self) -> int:
        """How much of the input is done, 0 to 100."""
        if self.status is RegistrationTaskStatus.COMPLETED:
            return 100
        return min(100, self.bytes_done * 100 // self.input_bytes) if self.input_bytes else 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What tells a realm's endpoint from every other: the prefix of its name, kept for good once given.

    The name itself is made of it, the region, and the server's domain, which may be changed (``registry.endpoints``).
    """

    realm: Realm
    prefix: str


@dataclass(frozen=True, slots=True)
class ServedEndpoint:
    """The name under which a realm's devices connect, as the server is configured now."""

    realm: Realm
    server_name: str
    aliases: tuple[str, ...] = ()
    """Further names of it, with a dot, where ``server_name`` has none: Java clients send no SNI for that one."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this server: 12 digits."""

    account_id: str
    name: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What signs an API request. The secret must be kept in the clear, since SigV4 is an HMAC with it."""

    access_key_id: str
    account_id: str
    created_at: datetime
    secret_access_key: str = field(repr=False)


class RotationState(StrEnum):
    """Where the replacement of a certificate stands. Sekisho's own: AWS IoT has no such thing."""

    PENDING = "PENDING"
    """Both certificates work; the new one has not connected yet."""
    DONE = "DONE"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Rotation:
    """One certificate takes the place of another in the same realm, once it has connected."""

    realm: Realm
    old_certificate_id: str
    new_certificate_id: str
    ca_certificate_id: str | None
    """The CA that the old one was registered with, by which the rotations of a fleet are counted."""
    started_at: datetime
    finished_at: datetime | None = None
    state: RotationState = RotationState.PENDING


@dataclass(frozen=True, slots=True)
class IdentityThing:
    """A thing as a connection sees it."""

    name: str
    type_name: str | None
    attributes: Mapping[str, str]
    exclusive: bool
    policies: tuple[PolicyVersion, ...] = ()
    """Policies that come with its groups."""


@dataclass(frozen=True, slots=True)
class Identity:
    """All that the gate needs to know of one certificate, from one look-up."""

    certificate: Certificate
    policies: tuple[PolicyVersion, ...]
    things: tuple[IdentityThing, ...]
    is_awaited: bool = False
    """Somebody waits for it to connect (``provisioning.rotation``)."""
