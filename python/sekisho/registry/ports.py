"""What the registry needs from outside, and nothing more: a store, a policy engine, someone to tell of changes.

The store's promises are tested once for every store in ``tests/store``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Generic, Literal, Protocol, TypeVar

from sekisho.realm import Realm
from sekisho.refusal import RefusalReason
from sekisho.registry.model import (
    AccessKey,
    Account,
    Attachment,
    BillingGroup,
    CACertificate,
    Certificate,
    CertificateProvider,
    CertificateStatus,
    Delivery,
    DeliveryState,
    Endpoint,
    Event,
    Fingerprints,
    Identity,
    IdentityThing,
    Kin,
    Membership,
    OwnershipToken,
    Policy,
    PolicyVersion,
    ProvisioningClaim,
    ProvisioningTemplate,
    ProvisioningTemplateVersion,
    RegistrationTask,
    RegistrationTaskStatus,
    ReportType,
    Rotation,
    RotationState,
    Thing,
    ThingGroup,
    ThingType,
)

T = TypeVar("T")


class AlreadyThere(Exception):
    """Raised by ``add`` where the key is taken. The transaction remains usable."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for. Order is the order of creation."""

    limit: int
    after: int | None = None
    """``Slice.next_after`` of the slice before, or None from the start."""
    ascending: bool = True


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """Part of a list, and where the next part begins (None: this was the last)."""

    items: Sequence[T]
    next_after: int | None


def window_of(items: Sequence[T], window: Window) -> Slice[T]:
    """The part of a short list that is at hand as a whole. ``Slice.next_after`` is then how many came before."""
    ordered = items if window.ascending else items[::-1]
    start = window.after or 0
    end = start + window.limit
    return Slice(ordered[start:end], end if end < len(ordered) else None)


class ChangeKind(StrEnum):
    """What changed, in the words of the data plane's ``invalidate``."""

    CERTIFICATE = "certificate"
    POLICY = "policy"
    THING = "thing"
    REALM = "realm"
    ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that live connections may use was changed. ``id``: certificate id, policy name, thing name."""

    realm: Realm
    kind: ChangeKind
    id: str
    lost: RefusalReason | None = None
    """Of a certificate that may not be used any more: why. The gateway closes its connections without asking."""

    @classmethod
    def of_certificate(cls, written: Certificate) -> Change:
        """A certificate was written: as it is now, with the reason where this status takes its right away."""
        lost = _LOST_BY_STATUS.get(written.status)
        return cls(written.realm, ChangeKind.CERTIFICATE, written.certificate_id, lost)

    @classmethod
    def of_removed_certificate(cls, removed: Certificate) -> Change:
        """A certificate was deleted, or is that of another account now."""
        lost = RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED
        return cls(removed.realm, ChangeKind.CERTIFICATE, removed.certificate_id, lost)


_LOST_BY_STATUS: Final = {
    CertificateStatus.INACTIVE: RefusalReason.DEVICE_CERTIFICATE_INACTIVE,
    CertificateStatus.REGISTER_INACTIVE: RefusalReason.DEVICE_CERTIFICATE_INACTIVE,
    CertificateStatus.REVOKED: RefusalReason.DEVICE_CERTIFICATE_REVOKED,
    CertificateStatus.PENDING_TRANSFER: RefusalReason.DEVICE_CERTIFICATE_PENDING_TRANSFER,
    CertificateStatus.PENDING_ACTIVATION: RefusalReason.DEVICE_CERTIFICATE_PENDING_ACTIVATION,
}
"""Why a certificate of this status may not connect. Only ACTIVE may."""


class CACertificateRows(Protocol):
    """CA certificates of all realms. Keys: (realm, certificate_id)."""

    def get(self, realm: Realm, certificate_id: str) -> CACertificate | None: ...
    def add(self, ca: CACertificate) -> None: ...
    def replace(self, ca: CACertificate) -> None: ...
    def remove(self, realm: Realm, certificate_id: str) -> None: ...
    def page(self, realm: Realm, window: Window, *, template_name: str | None = None) -> Slice[CACertificate]: ...
    def with_subject(self, realm: Realm, subject: bytes) -> Sequence[CACertificate]:
        """All CAs of this subject in the realm, oldest first: issuers are then told apart by key."""
        ...

    def with_subject_anywhere(self, subject: bytes, limit: int) -> Sequence[CACertificate]:
        """CAs of this subject in all realms, oldest first: to say where an issuer is registered."""
        ...

    def elsewhere(self, certificate_id: str, region: str) -> Sequence[CACertificate]:
        """The same CA certificate in every account of a region (DEFAULT mode allows one account only)."""
        ...

    def everywhere(self, certificate_id: str) -> Sequence[CACertificate]:
        """The same CA certificate in every realm, for a device that sent it along and no SNI."""
        ...


class CertificateRows(Protocol):
    """Device certificates of all realms. Keys: (realm, certificate_id)."""

    def get(self, realm: Realm, certificate_id: str) -> Certificate | None: ...
    def add(self, certificate: Certificate, fingerprints: Fingerprints | None = None) -> None:
        """Without ``fingerprints`` it is not found by ``kin``."""
        ...

    def replace(self, certificate: Certificate) -> None:
        """Its fingerprints stay."""
        ...

    def remove(self, realm: Realm, certificate_id: str) -> None: ...
    def kin(self, realm: Realm, fingerprints: Fingerprints) -> Kin:
        """What the realm has in common with a certificate that is not registered there."""
        ...

    def page(self, realm: Realm, window: Window) -> Slice[Certificate]: ...
    def page_by_ca(self, realm: Realm, ca_certificate_id: str, window: Window) -> Slice[Certificate]: ...
    def page_outgoing(self, realm: Realm, window: Window) -> Slice[Certificate]:
        """Those that are offered to another account (``Certificate.is_outgoing``)."""
        ...

    def everywhere(self, certificate_id: str) -> Sequence[Certificate]:
        """The same certificate in every realm, for a device that sent no SNI and for the DEFAULT-mode rule."""
        ...


class ThingRows(Protocol):
    """Things. Keys: (realm, name)."""

    def get(self, realm: Realm, name: str) -> Thing | None: ...
    def add(self, thing: Thing) -> None: ...
    def replace(self, thing: Thing) -> None: ...
    def remove(self, realm: Realm, name: str) -> None:
        """With its memberships in groups."""
        ...

    def page(
        self,
        realm: Realm,
        window: Window,
        *,
        type_name: str | None = None,
        attribute: tuple[str, str] | None = None,
        prefix: bool = False,
    ) -> Slice[Thing]:
        """``attribute`` (name, value) keeps things that have it; ``prefix``: whose value begins with it."""
        ...

    def of_billing_group(self, realm: Realm, billing_group_name: str, window: Window) -> Slice[Thing]: ...


class ThingTypeRows(Protocol):
    """Thing types. Keys: (realm, name)."""

    def get(self, realm: Realm, name: str) -> ThingType | None: ...
    def add(self, thing_type: ThingType) -> None: ...
    def replace(self, thing_type: ThingType) -> None: ...
    def remove(self, realm: Realm, name: str) -> None: ...
    def page(self, realm: Realm, window: Window) -> Slice[ThingType]: ...


class ThingGroupRows(Protocol):
    """Thing groups and the things in them. Keys: (realm, name)."""

    def get(self, realm: Realm, name: str) -> ThingGroup | None: ...
    def add(self, group: ThingGroup) -> None: ...
    def replace(self, group: ThingGroup) -> None:
        """Its ancestors stay what they were."""
        ...

    def remove(self, realm: Realm, name: str) -> None:
        """With the memberships in it. There must be no group below it."""
        ...

    def page(self, realm: Realm, window: Window, *, prefix: str = "") -> Slice[ThingGroup]:
        """All groups, or those whose name begins with ``prefix``."""
        ...

    def children(self, realm: Realm, parent_name: str | None, window: Window, *, prefix: str = "") -> Slice[ThingGroup]:
        """The groups right below one; of None, the roots."""
        ...

    def descendants(self, realm: Realm, ancestor: str, window: Window, *, prefix: str = "") -> Slice[ThingGroup]:
        """All groups below one."""
        ...

    def join(self, thing_name: str, group: ThingGroup) -> None:
        """Put a thing into a group, and so into all above it. It must be in no group of the tree."""
        ...

    def leave(self, thing_name: str, group: ThingGroup) -> None:
        """Take a thing out of the group that it was put into, and so out of all above it."""
        ...

    def memberships(self, realm: Realm, thing_name: str) -> Sequence[Membership]:
        """In the order of joining; of one tree, the nearest group first."""
        ...

    def things_in(self, realm: Realm, group_name: str, window: Window, *, recursive: bool) -> Slice[str]:
        """Names of things, in the order of joining; ``recursive``: also those in groups below."""
        ...


class BillingGroupRows(Protocol):
    """Billing groups. Keys: (realm, name)."""

    def get(self, realm: Realm, name: str) -> BillingGroup | None: ...
    def add(self, group: BillingGroup) -> None: ...
    def replace(self, group: BillingGroup) -> None: ...
    def remove(self, realm: Realm, name: str) -> None: ...
    def page(self, realm: Realm, window: Window, *, prefix: str = "") -> Slice[BillingGroup]: ...


class AttachmentRows(Protocol):
    """Which principals belong to which things. Keys: (realm, thing_name, principal)."""

    def get(self, realm: Realm, thing_name: str, principal: str) -> Attachment | None: ...
    def add(self, attachment: Attachment) -> None: ...
    def remove(self, realm: Realm, thing_name: str, principal: str) -> bool:
        """True where there was one."""
        ...

    def of_thing(self, realm: Realm, thing_name: str, window: Window) -> Slice[Attachment]: ...
    def of_principal(self, realm: Realm, principal: str, window: Window) -> Slice[Attachment]: ...


class PolicyRows(Protocol):
    """Policies, their versions and targets. Keys: (realm, name)."""

    def get(self, realm: Realm, name: str) -> Policy | None: ...
    def add(self, policy: Policy, first: PolicyVersion) -> None: ...
    def replace(self, policy: Policy) -> None: ...
    def remove(self, realm: Realm, name: str) -> None:
        """With all its versions."""
        ...

    def page(self, realm: Realm, window: Window) -> Slice[Policy]: ...
    def version(self, realm: Realm, name: str, version_id: int) -> PolicyVersion | None: ...
    def versions(self, realm: Realm, name: str) -> Sequence[PolicyVersion]: ...
    def add_version(self, version: PolicyVersion) -> None: ...
    def remove_version(self, realm: Realm, name: str, version_id: int) -> None: ...
    def attach(self, realm: Realm, name: str, target: str) -> bool:
        """True where it was not attached before. ``target`` is an ARN or a Cognito identity."""
        ...

    def detach(self, realm: Realm, name: str, target: str) -> bool:
        """True where it was attached."""
        ...

    def attached_to(self, realm: Realm, target: str, window: Window) -> Slice[Policy]: ...
    def targets_of(self, realm: Realm, name: str, window: Window) -> Slice[str]: ...


class ProvisioningTemplateRows(Protocol):
    """Provisioning templates and their versions. Keys: (realm, name)."""

    def get(self, realm: Realm, name: str) -> ProvisioningTemplate | None: ...
    def add(self, template: ProvisioningTemplate, first: ProvisioningTemplateVersion) -> None: ...
    def replace(self, template: ProvisioningTemplate) -> None: ...
    def remove(self, realm: Realm, name: str) -> None:
        """With all its versions and claims."""
        ...

    def page(self, realm: Realm, window: Window) -> Slice[ProvisioningTemplate]: ...
    def version(self, realm: Realm, name: str, version_id: int) -> ProvisioningTemplateVersion | None: ...
    def page_versions(self, realm: Realm, name: str, window: Window) -> Slice[ProvisioningTemplateVersion]: ...
    def add_version(self, version: ProvisioningTemplateVersion) -> None: ...
    def remove_version(self, realm: Realm, name: str, version_id: int) -> None: ...


class ProvisioningClaimRows(Protocol):
    """Provisioning claims of all realms. Key: certificate_id, since each is issued once."""

    def get(self, certificate_id: str) -> ProvisioningClaim | None: ...
    def add(self, claim: ProvisioningClaim) -> None: ...
    def of_template(self, realm: Realm, template_name: str) -> Sequence[ProvisioningClaim]:
        """Every claim to provision through a template, oldest first."""
        ...

    def remove_expired(self, now: datetime) -> int:
        """Forget those whose validity has ended before ``now``; how many there were."""
        ...


class CertificateProviderRows(Protocol):
    """Certificate providers. Keys: (realm, name)."""

    def get(self, realm: Realm, name: str) -> CertificateProvider | None: ...
    def add(self, provider: CertificateProvider) -> None: ...
    def replace(self, provider: CertificateProvider) -> None: ...
    def remove(self, realm: Realm, name: str) -> None: ...
    def page(self, realm: Realm, window: Window) -> Slice[CertificateProvider]: ...


class TagRows(Protocol):
    """Tags by resource ARN."""

    def get(self, realm: Realm, resource_arn: str) -> Mapping[str, str]: ...
    def put(self, realm: Realm, resource_arn: str, tags: Mapping[str, str]) -> None:
        """Adds and overwrites."""
        ...

    def remove(self, realm: Realm, resource_arn: str, keys: Sequence[str] | None = None) -> None:
        """These keys, or all."""
        ...


class RegistrationCodeRows(Protocol):
    """One registration code per realm, until deleted."""

    def get(self, realm: Realm) -> str | None: ...
    def put(self, realm: Realm, code: str) -> None: ...
    def remove(self, realm: Realm) -> bool: ...


class EndpointRows(Protocol):
    """One endpoint per realm, kept for good once given."""

    def get(self, realm: Realm) -> Endpoint | None: ...
    def add(self, endpoint: Endpoint) -> None: ...
    def all(self) -> Sequence[Endpoint]: ...


class OutboxRows(Protocol):
    """Events that are to be published, kept with what they tell of until they are."""

    def add(self, event: Event) -> None: ...
    def first(self, limit: int) -> Sequence[tuple[int, Event]]:
        """The oldest, each with its number, in the order in which they were added."""
        ...

    def remove(self, numbers: Sequence[int]) -> None:
        """Numbers that are gone already are passed over."""
        ...


class OwnershipTokenRows(Protocol):
    """Tokens of certificates that wait for their device. Keys: (realm, token_sha256)."""

    def get(self, realm: Realm, token_sha256: str) -> OwnershipToken | None: ...
    def exists_for(self, realm: Realm, certificate_id: str) -> bool:
        """Whether a certificate waits for its device."""
        ...

    def add(self, token: OwnershipToken) -> None: ...
    def remove(self, realm: Realm, token_sha256: str) -> None: ...
    def expired(self, now: datetime, limit: int) -> Sequence[OwnershipToken]:
        """Those of all realms whose time is over, the longest first."""
        ...


class DeliveryRows(Protocol):
    """Events that handlers are to be called with. Keys: (handler, subject, realm); and a number, never used twice."""

    def get(self, realm: Realm, handler: str, subject: str) -> Delivery | None: ...
    def put(self, delivery: Delivery) -> None:
        """Under a new number, in place of one of the same key: whoever has that in hand does not touch this one."""
        ...

    def next_account(self, handler: str, after: str) -> tuple[int, Delivery] | None:
        """The first PENDING one, with its number, of the account whose id comes next after ``after``; None: no more."""
        ...

    def upcoming(self, handler: str, account_id: str, limit: int) -> Sequence[tuple[int, Delivery]]:
        """An account's PENDING ones that are due first, each with its number; whether they are due the caller sees."""
        ...

    def count(self, handler: str, account_id: str) -> int:
        """How many an account has, in any state."""
        ...

    def remove_failed(self, handler: str, account_id: str, limit: int) -> int:
        """Forget an account's FAILED ones, at most ``limit``, those that failed first; how many they were."""
        ...

    def update(self, number: int, delivery: Delivery) -> None:
        """How it goes on after a call. One that is gone, or was replaced, is passed over."""
        ...

    def remove(self, number: int) -> None: ...
    def retry(self, handler: str, now: datetime) -> int:
        """Make the FAILED ones PENDING and due, as if never tried; how many they were."""
        ...

    def latest(self, handler: str, state: DeliveryState) -> Delivery | None:
        """The one with the latest ``next_attempt_at``."""
        ...

    def counts(self) -> Mapping[tuple[str, str, DeliveryState], int]:
        """How many there are, by handler, account id and state."""
        ...


class RotationRows(Protocol):
    """Rotations of certificates. A certificate is in one pending rotation at most as the old, in one as the new."""

    def latest(self, realm: Realm, old_certificate_id: str) -> Rotation | None:
        """The one begun last for this old certificate, whatever its state."""
        ...

    def awaiting(self, realm: Realm, new_certificate_id: str) -> Rotation | None:
        """The pending one that waits for this new certificate."""
        ...

    def add(self, rotation: Rotation) -> None: ...
    def finish(self, rotation: Rotation) -> None:
        """The pending rotation of this old certificate takes the state and the end of ``rotation``."""
        ...

    def page(
        self, realm: Realm, window: Window, state: RotationState, *, ca_certificate_id: str | None = None
    ) -> Slice[Rotation]:
        """``ca_certificate_id`` keeps those whose old certificate was registered with this CA."""
        ...

    def count(self, realm: Realm, state: RotationState, *, ca_certificate_id: str | None = None) -> int: ...


class RegistrationTaskRows(Protocol):
    """Bulk registrations and their reports. Keys: (realm, task_id); a task id is given once in all realms."""

    def get(self, realm: Realm, task_id: str) -> RegistrationTask | None: ...
    def add(self, task: RegistrationTask) -> None: ...
    def replace(self, task: RegistrationTask) -> None: ...
    def remove(self, realm: Realm, task_id: str) -> None:
        """With its reports."""
        ...

    def page(
        self, realm: Realm, window: Window, *, status: RegistrationTaskStatus | None = None
    ) -> Slice[RegistrationTask]: ...
    def everywhere(self, task_id: str) -> RegistrationTask | None:
        """The task of this id, whosever it is."""
        ...

    def unfinished(self, account_id: str | None = None) -> Sequence[RegistrationTask]:
        """Those in progress or being cancelled, of one account or of all."""
        ...

    def ended_before(self, moment: datetime, limit: int) -> Sequence[RegistrationTask]:
        """Those that ended before, in whatever way; the oldest first."""
        ...

    def add_report(self, task: RegistrationTask, kind: ReportType, number: int, line: int, content: str) -> None:
        """Add lines to the report of this number; ``line`` is the first input line they are about."""
        ...

    def report(self, task: RegistrationTask, kind: ReportType, number: int) -> Sequence[str]:
        """The report's parts in order of their lines."""
        ...


class AccountRows(Protocol):
    """Accounts and their access keys."""

    def get(self, account_id: str) -> Account | None: ...
    def add(self, account: Account) -> None: ...
    def all(self) -> Sequence[Account]: ...
    def are_several(self) -> bool:
        """Whether there is more than one account; reads two rows at most."""
        ...

    def access_key(self, access_key_id: str) -> AccessKey | None: ...
    def add_access_key(self, key: AccessKey) -> None: ...
    def access_keys(self, account_id: str) -> Sequence[AccessKey]: ...


class IdentityRows(Protocol):
    """The gate's questions, answered in few queries however many are asked."""

    def look_up(self, keys: Sequence[tuple[Realm, str]]) -> Mapping[tuple[Realm, str], Identity]:
        """(realm, certificate_id) → identity, with default policy versions and attached things, these with the
        policies of their groups. Absent: unknown.

        Provisioning claims are among them (``registry.provisioning_claims``).
        """
        ...


class Transaction(Protocol):
    """One transaction: all of it is kept, or nothing."""

    @property
    def ca_certificates(self) -> CACertificateRows: ...
    @property
    def certificates(self) -> CertificateRows: ...
    @property
    def things(self) -> ThingRows: ...
    @property
    def thing_types(self) -> ThingTypeRows: ...
    @property
    def thing_groups(self) -> ThingGroupRows: ...
    @property
    def billing_groups(self) -> BillingGroupRows: ...
    @property
    def attachments(self) -> AttachmentRows: ...
    @property
    def policies(self) -> PolicyRows: ...
    @property
    def tags(self) -> TagRows: ...
    @property
    def registration_codes(self) -> RegistrationCodeRows: ...
    @property
    def endpoints(self) -> EndpointRows: ...
    @property
    def accounts(self) -> AccountRows: ...
    @property
    def outbox(self) -> OutboxRows: ...
    @property
    def ownership_tokens(self) -> OwnershipTokenRows: ...
    @property
    def provisioning_templates(self) -> ProvisioningTemplateRows: ...
    @property
    def provisioning_claims(self) -> ProvisioningClaimRows: ...
    @property
    def certificate_providers(self) -> CertificateProviderRows: ...
    @property
    def deliveries(self) -> DeliveryRows: ...
    @property
    def rotations(self) -> RotationRows: ...
    @property
    def registration_tasks(self) -> RegistrationTaskRows: ...
    @property
    def identities(self) -> IdentityRows: ...

    def announce(self, change: Change) -> None:
        """Tell the data plane, once this transaction is committed and never before."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """A part of this transaction that may fail by itself: where its block raises, all that was done and announced
        within it is undone, and the exception goes on; the transaction remains usable."""
        ...


class StoreFailure(Exception):
    """The store cannot be used at present, and nothing of the transaction was kept. The message is for the operator."""


class Store(Protocol):
    """Where it is all kept. ``write`` transactions are serialised: what one reads cannot change under it.

    Every method of it and of its transactions may raise StoreFailure.
    """

    def read(self) -> AbstractContextManager[Transaction]: ...
    def write(self) -> AbstractContextManager[Transaction]:
        """Commits when the block ends, rolls back when it raises. When it returns the change is on disk."""
        ...


class Clock(Protocol):
    """The only source of time. UTC, timezone-aware."""

    def __call__(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks: all that a decision about a principal stands on, whether it can connect at present or not."""

    realm: Realm
    certificate_pem: str | None
    """None for a Cognito identity, or for policies looked at by themselves."""
    policies: tuple[PolicyVersion, ...]
    things: tuple[IdentityThing, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a connection of a subject may do to one resource."""

    decision: Literal["ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY"]
    allowed_by: tuple[str, ...]
    denied_by: tuple[str, ...]
    missing_context_values: tuple[str, ...]


class PolicyEngine(Protocol):
    """The one policy engine, which is the data plane's."""

    def check(self, document: str) -> None:
        """Raises MalformedPolicyException with what is wrong and where."""
        ...

    def evaluate(
        self, subject: Subject, client_id: str | None, requests: Sequence[tuple[str, str]]
    ) -> Sequence[Decision]:
        """One decision per (action such as ``iot:Publish``, resource ARN)."""
        ...


class CsrNotSigned(Exception):
    """A certificate provider answered no certificate. The message says what happened instead.

    Attributes:
        is_permanent: The same request would fail again.
    """

    def __init__(self, message: str, *, is_permanent: bool = True) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent


class CsrSigner(Protocol):
    """Whoever carries certificate signing requests to certificate providers."""

    def sign(self, realm: Realm, provider: CertificateProvider, csr_pem: str, principal_id: str, client_id: str) -> str:
        """The text of the certificate that the provider answers; whoever asks looks at it.

        Args:
            principal_id: Who asks for the certificate.
            client_id: The MQTT client id of who asks; empty over HTTP.

        Raises:
            CsrNotSigned: It failed, did not answer in time, or answered something else.
        """
        ...
