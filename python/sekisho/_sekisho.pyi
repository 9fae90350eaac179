"""The published contract of the Rust module: plain data in, plain data out.

Rust never calls Python and keeps no Python object. ``Gateway`` is the whole data plane; the module functions are the
policy engine and the certificate reader that the data plane itself uses, so that TestAuthorization, validation and
explanation can never disagree with what the gateway does.

Data with several members is a dictionary, whose members are documented here, once. Times are Unix seconds (float)
unless a name says ``_ms``. The names of reasons are those of ``sekisho.refusal.RefusalReason``.
"""

from collections.abc import Sequence
from typing import Final, Literal, NotRequired, Self, TypeAlias, TypedDict, final

__all__ = [
    "CertificateError",
    "Gateway",
    "GatewayError",
    "PolicyError",
    "__version__",
    "certificate_id",
    "certificate_variables",
    "check_policy",
    "evaluate",
    "read_certificate",
    "read_name",
    "read_request",
    "refusal_reasons",
    "verifies_ecdsa",
]

__version__: Final[str]

# -- Identity: what the registry knows of one certificate in one realm ----------------------------------------------

class PolicyDict(TypedDict):
    """A policy in force."""

    name: str
    version: str
    """The default version's id."""
    document: str
    """JSON."""

class ThingDict(TypedDict):
    """A thing that the certificate is attached to."""

    name: str
    type_name: str | None
    attributes: dict[str, str]
    exclusive: bool
    """Attached as EXCLUSIVE_THING."""
    group_policies: list[PolicyDict]
    """Policies of the groups it is in, their ancestors' included."""

class IdentityDict(TypedDict):
    """A registered certificate. ``status`` and ``mode`` are the API's own words."""

    account_id: str
    region: str
    status: str
    """"ACTIVE", "INACTIVE", "REVOKED", …"""
    mode: str
    """"DEFAULT" or "SNI_ONLY"."""
    policies: list[PolicyDict]
    """Policies attached to the certificate."""
    things: list[ThingDict]
    is_awaited: bool
    """A "connected" event is to come once it has a connection."""

# -- What next_batch returns: dictionaries, told apart by their ``kind`` ----------------------------------------------

class AdmitEvent(TypedDict):
    """An admission request. Answer each with ``complete``."""

    kind: Literal["admit"]
    id: int
    """Of the request, for the answer."""
    account_id: str | None
    """Of the endpoint; None, as the region, where the client sent no SNI."""
    region: str | None
    certificate_id: str
    leaf: bytes
    """DER."""
    chain: list[bytes]
    """What the client sent after the leaf, DER."""
    client_id: str
    is_reexamination: bool
    """Live connections wait for the answer."""
    network: str
    """Of the client: its IPv4 address, or the first address of its IPv6 /64."""

class RefusedEvent(TypedDict):
    """A client was refused, for the log."""

    kind: Literal["refused"]
    time: float
    account_id: str | None
    region: str | None
    certificate_id: str | None
    client_id: str | None
    peer: str
    """"ip:port"."""
    server_name: str | None
    """The SNI."""
    reason: str
    detail: str
    """A sentence for an operator."""
    operation: str
    """What was refused: "connect", "publish", "subscribe", "unsubscribe", "receive", or "packet" for a packet that is
    none of these; "connection" for an open connection that its client ended with a TLS alert."""

class RequestEvent(TypedDict):
    """A client published on a topic that a service listens to. ``reply`` answers the connection."""

    kind: Literal["request"]
    account_id: str
    region: str
    connection: int
    client_id: str
    certificate_id: str
    topic: str
    payload: bytes

class ConnectedEvent(TypedDict):
    """A certificate that is awaited has a connection."""

    kind: Literal["connected"]
    account_id: str
    region: str
    certificate_id: str
    client_id: str

class DroppedEvent(TypedDict):
    """Events were dropped because Python did not take them in time."""

    kind: Literal["dropped"]
    queue: str
    account_id: str | None
    """None where they are of several accounts."""
    count: int

class AcceptFailedEvent(TypedDict):
    """Attempts to accept a connection failed since the last such event."""

    kind: Literal["accept_failed"]
    cause: str
    """What the system said last."""
    count: int

Event: TypeAlias = AdmitEvent | RequestEvent | ConnectedEvent | RefusedEvent | DroppedEvent | AcceptFailedEvent

# -- What complete and invalidate take ------------------------------------------------------------------------------

class RegisteredAnswer(TypedDict):
    """The certificate is registered."""

    id: int
    """Of the admission request."""
    identity: IdentityDict

class RefusedAnswer(TypedDict):
    """The certificate is refused."""

    id: int
    """Of the admission request."""
    reason: str
    detail: str | None
    """What the operator should know of this case; None: the sentence that belongs to the reason."""

Answer: TypeAlias = RegisteredAnswer | RefusedAnswer

class ChangeDict(TypedDict):
    """A committed change of the registry."""

    account_id: str
    region: str
    kind: str
    """"certificate": its status or mode, or which policies and things it has; also one that is new or gone. "policy":
    which version is in force. "thing": its type or attributes, the groups it is in, or their policies. "realm":
    everything."""
    id: str
    """Certificate id, policy name, thing name; empty for a realm."""
    lost: str | None
    """Of a certificate whose right the change took away: the reason."""

# -- What publish and reply take --------------------------------------------------------------------------------------

class PublicationDict(TypedDict):
    """A message to publish. Properties that are left out are not sent."""

    account_id: str
    region: str
    topic: str
    payload: bytes
    qos: int
    """0 or 1."""
    retain: bool
    payload_is_utf8: NotRequired[bool | None]
    expiry_seconds: NotRequired[int | None]
    response_topic: NotRequired[str | None]
    correlation_data: NotRequired[bytes | None]
    content_type: NotRequired[str | None]
    user_properties: NotRequired[list[tuple[str, str]]]

class ReplyDict(TypedDict):
    """The answer to a "request" event."""

    connection: int
    """Of the request."""
    message: PublicationDict
    """In the realm of the request."""

class UnpublishedDict(TypedDict):
    """Why a message was not published."""

    reason: str | None
    """The broker's reason; None where the message is not one that could be published."""
    detail: str
    """A sentence."""

class EndpointDict(TypedDict):
    """A server name of a realm."""

    server_name: str
    account_id: str
    region: str

# -- What read_certificate and read_request return ------------------------------------------------------------------
# (object identifier in dotted numbers, text or None where the value is no text, DER of the value)
AttributeTuple: TypeAlias = tuple[str, str | None, bytes]

class NameFacts(TypedDict):
    """A distinguished name."""

    der: bytes
    text: str
    """As RFC 4514 writes it; empty for an empty name."""
    components: list[list[AttributeTuple]]
    """In their order."""

class PublicKeyFacts(TypedDict):
    """A public key, not judged but for ``client_problem``."""

    spki: bytes
    """SubjectPublicKeyInfo, DER."""
    kind: Literal["RSA", "RSA-PSS", "P-256", "P-384", "P-521", "other"]
    bits: int
    """0 where the kind is "other"."""
    described: str
    """For people: "an RSA key of 2048 bits"."""
    client_problem: str | None
    """Why the gateway cannot verify a client with this key, as the end of a sentence that begins "the certificate
    has"; None where it can."""

class SignatureFacts(TypedDict):
    """A signature that was not verified."""

    name: str
    """The algorithm's name, or its object identifier in dotted numbers."""
    scheme: Literal["rsa-pkcs1", "rsa-pss", "ecdsa", "dsa", "other"]
    hash: str | None
    """"sha256"; None where the algorithm has none, or one that is not known."""
    salt_length: int
    """Bytes of salt of rsa-pss."""
    signed: bytes
    """What is signed, DER."""
    value: bytes
    """The signature."""

class CertificateFacts(TypedDict):
    """What a certificate says; nothing of it was verified."""

    version: int
    """1, 2 or 3."""
    serial: bytes
    """Two's complement, at least one byte."""
    issuer: NameFacts
    subject: NameFacts
    not_before: int
    """Unix seconds."""
    not_after: int
    """Unix seconds."""
    key: PublicKeyFacts
    signature: SignatureFacts
    names_one_algorithm: bool
    """Whether the signature's algorithm is named by the same bytes within what is signed and beside it."""
    is_ca: bool | None
    """basicConstraints; None without the extension, or where ``is_ca_problem`` is a text."""
    is_ca_problem: str | None
    """What keeps basicConstraints from being read."""
    subject_key_identifier: bytes | None
    authority_key_identifier: bytes | None
    """The key identifier of the issuer."""

class RequestFacts(TypedDict):
    """What a certificate signing request says; nothing of it was verified."""

    subject: NameFacts
    key: PublicKeyFacts
    signature: SignatureFacts

class GatewayError(Exception):
    """The data plane could not do as asked: a port in use, a key that fits no certificate, stopped already."""

class PolicyError(ValueError):
    """A policy document that AWS IoT would refuse; the message says what, where and what to do."""

class CertificateError(ValueError):
    """Bytes that are no certificate or certificate signing request. The message ends a sentence that begins "the
    certificate cannot be read:"."""

@final
class Gateway:
    """The data plane: one TLS listener for MQTT, its sessions, its messages.

    All methods are synchronous and may be called from any thread; those that wait release the GIL.
    """

    def __new__(
        cls,
        *,
        host: str,
        mqtt_port: int,
        workers: int = 0,
        handshake_timeout: float = 10.0,
        admission_timeout: float = 5.0,
        max_connections: int = 0,
        verbose_refusals: bool = False,
        tls13_session_tickets: bool = False,
        require_sni: bool = True,
        requests: Sequence[str] = ...,
        max_message_bytes: int | None = None,
        max_retained_bytes: int | None = None,
        max_session_bytes: int | None = None,
        max_persistent_sessions: int | None = None,
        account_share: int | None = None,
    ) -> Self:
        """Nothing is opened yet. ``mqtt_port`` 0 takes a free port; ``workers`` 0 is one thread per core;
        ``max_connections`` 0 is as many as the process may open. ``verbose_refusals`` sends MQTT 3.1.1 return codes
        where AWS IoT closes without one. ``tls13_session_tickets`` lets clients resume in TLS 1.3; in TLS 1.2 they
        may always. Without ``require_sni`` a certificate in SNI_ONLY mode may connect without SNI. ``requests`` are
        topic filters: what clients publish there comes as "request" events. The ``max_`` limits and ``account_share``
        (percent of each for one account) are those of the settings of the same names; None is their default. Raises
        ValueError where a request is no topic filter."""

    def set_server_certificates(self, chains: Sequence[tuple[str, str]]) -> None:
        """Serve these (certificate chain PEM, private key PEM), the best for each client first: one ECDSA, one RSA,
        say. Acts on the next handshake. Raises GatewayError where a key and a chain do not belong together."""

    def set_named_certificates(self, named: Sequence[tuple[Sequence[str], Sequence[tuple[str, str]]]]) -> None:
        """Serve to clients that ask (SNI) for one of these server names, or for one label in place of the ``*`` of a
        wildcard, the chains that come with it; ``set_server_certificates`` is for all other clients. The whole table is
        replaced. Raises GatewayError as that does; then the former table stays."""

    def set_memory_limits(
        self,
        *,
        max_message_bytes: int,
        max_retained_bytes: int,
        max_session_bytes: int,
        max_persistent_sessions: int,
        account_share: int,
    ) -> None:
        """Use other limits from now on. What is held beyond them stays until it is released."""
    def set_endpoints(self, endpoints: Sequence[EndpointDict]) -> None:
        """Replace the whole table of server names: which SNI is of which realm."""

    def start(self) -> int:
        """Open the listener, start the threads, return the port. Raises GatewayError (port in use, no rights)."""

    def stop(self, grace: float = 5.0) -> None:
        """Stop accepting; MQTT 5 clients get DISCONNECT 0x8B, all are closed; return when all is flushed or after
        ``grace`` seconds. Idempotent. ``next_batch`` then returns an empty list at once."""

    def next_batch(self, limit: int, timeout: float) -> list[Event]:
        """Up to ``limit`` events, waiting at most ``timeout`` seconds for the first. Releases the GIL."""

    def complete(self, answers: Sequence[Answer]) -> None:
        """Answer admission requests. An unknown or late answer is ignored; one with a reason that is not known becomes
        CONTROL_PLANE_FAILED."""

    def invalidate(self, changes: Sequence[ChangeDict]) -> None:
        """Forget what is cached of these changes. Live connections of a certificate whose right is ``lost`` are closed
        at once, for that reason. Other live connections that use a change are examined: an admission request comes,
        and they are closed where its answer refuses them, or where none comes in time. An answer that was under way
        when something it uses changed is dropped, and its request comes again.

        Raises ValueError for a kind or reason that is none. Call it after the change is committed, or the old state
        may be read again."""

    def publish(self, messages: Sequence[PublicationDict], is_service: bool = False) -> list[UnpublishedDict | None]:
        """Publish with no connection, as the iot-data API does; or as the service itself, which alone may on reserved
        topics. Per message None, or why it was refused. Raises GatewayError when stopped."""

    def reply(self, replies: Sequence[ReplyDict]) -> list[UnpublishedDict | None]:
        """Answer requests. Only the connection of the request gets the message, and only if it has subscribed to the
        topic and may receive it. Per reply None, or why it was not sent. Raises GatewayError when stopped."""

    def statistics(self) -> list[tuple[str, int]]:
        """Counters and gauges by name: connections, admissions, refusals as "refused.NAME", messages and bytes in
        and out, drops as "messages_dropped.why", what clients make the server hold as "held.what"; "listening",
        "accept_failing" and "task_failing" (1 or 0); "tasks_failed", panics of the data plane's long-lived tasks, which
        run again; "heartbeat_age_ms", the milliseconds since its runtime last ran a task."""

def refusal_reasons() -> list[tuple[str, str]]:
    """Every reason for which the gateway and its broker may refuse: (NAME, sentence)."""

def check_policy(document: str) -> None:
    """Raises PolicyError where AWS IoT would answer MalformedPolicyException."""

def certificate_id(der: bytes) -> str:
    """Lower-case hex SHA-256 of the DER: AWS IoT's certificateId."""

def certificate_variables(der: bytes) -> list[tuple[str, list[str]]]:
    """Every ``iot:Certificate.*`` policy variable this certificate gives, with its values in order."""

def read_certificate(der: bytes) -> CertificateFacts:
    """Take a certificate of any version apart. Raises CertificateError."""

def read_name(der: bytes) -> NameFacts:
    """Take a distinguished name apart. Raises CertificateError."""

def read_request(der: bytes) -> RequestFacts:
    """Take a certificate signing request (PKCS #10) apart. Raises CertificateError."""

def verifies_ecdsa(spki: bytes, digest: str, signed: bytes, signature: bytes) -> bool:
    """Return whether the key of a SubjectPublicKeyInfo made an ECDSA signature. Releases the GIL.

    False says nothing: not every kind of key and digest is tried.
    """

# (action such as "iot:Publish", resource ARN)
ActionTuple: TypeAlias = tuple[str, str]

class DecisionDict(TypedDict):
    """The decision about one action."""

    decision: Literal["ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY"]
    allowed_by: list[str]
    """Names of policies."""
    denied_by: list[str]
    """Names of policies."""
    missing: list[str]
    """Names of context values that were missing."""

def evaluate(
    identity: IdentityDict,
    certificate: bytes | None,
    client_id: str | None,
    requests: Sequence[ActionTuple],
) -> list[DecisionDict]:
    """Decide for a connection of this identity, without one: one decision per request.

    ``certificate`` is the leaf's DER (None: a principal without one). The thing association of AWS IoT (client id
    equals thing name, or an exclusive thing) is worked out as for a live connection.
    """
