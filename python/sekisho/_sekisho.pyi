"""The published contract of the Rust module: plain data in, plain data out.

Rust never calls Python and keeps no Python object. ``Gateway`` is the whole data plane; the module functions are the
policy engine and the certificate reader that the data plane itself uses, lent to the control plane so that
TestAuthorization, validation and explanation can never disagree with what happens at the gate.

Every list of tuples below is documented once, here. Times are Unix seconds (float) unless a name says ``_ms``.
"""

from collections.abc import Sequence
from typing import Final, Literal, Self, TypeAlias, TypedDict, final

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
]

__version__: Final[str]

# -- Identity: what the registry knows of one certificate in one realm ----------------------------------------------
# (name, version id, document)
PolicyTuple: TypeAlias = tuple[str, str, str]
# (thing name, thing type or None, attributes as (name, value) pairs, attached exclusively, policies of its groups)
ThingTuple: TypeAlias = tuple[str, str | None, list[tuple[str, str]], bool, list[PolicyTuple]]
# (account id, region, status, certificate mode, policies attached to the certificate, attached things, awaited: a
#  "connected" event is to come once it has a connection)
# status and mode are the API's own words: "ACTIVE", "INACTIVE", "REVOKED", …; "DEFAULT" or "SNI_ONLY".
IdentityTuple: TypeAlias = tuple[str, str, str, str, list[PolicyTuple], list[ThingTuple], bool]

# -- What next_batch returns: tuples, told apart by their first member -----------------------------------------------
# ("admit", ticket, account id or None, region or None, certificate id, leaf DER, further certificates' DER,
#  client id, is a re-examination of a live connection, network of the client: IPv4 address, or first of an IPv6 /64)
#     Answer each with ``complete``. Account and region are None where the client sent no SNI.
AdmitEvent: TypeAlias = tuple[Literal["admit"], int, str | None, str | None, str, bytes, list[bytes], str, bool, str]
# ("refused", time, account id or None, region or None, certificate id or None, client id or None, peer "ip:port",
#  SNI or None, reason: one of refusal_reasons(), detail: a sentence for an operator, operation that was refused:
#  "connect", "publish", "subscribe", "unsubscribe", "receive", or "packet" for a packet that is none of these;
#  "connection" for an open connection that its client ended with a TLS alert)
RefusedEvent: TypeAlias = tuple[
    Literal["refused"],
    float,
    str | None,
    str | None,
    str | None,
    str | None,
    str,
    str | None,
    str,
    str,
    str,
]
# ("request", account id, region, connection, client id, certificate id, topic, payload): a client published on a topic
#     that a service listens to. ``reply`` answers the connection.
RequestEvent: TypeAlias = tuple[Literal["request"], str, str, int, str, str, str, bytes]
# ("connected", account id, region, certificate id, client id): a certificate that is awaited has a connection
ConnectedEvent: TypeAlias = tuple[Literal["connected"], str, str, str, str]
# ("dropped", queue name, account id or None where they are of several, how many events were dropped because Python did
#     not take them)
DroppedEvent: TypeAlias = tuple[Literal["dropped"], str, str | None, int]
# ("accept_failed", what the system said, how many attempts to accept a connection failed since the last such event)
AcceptFailedEvent: TypeAlias = tuple[Literal["accept_failed"], str, int]
Event: TypeAlias = AdmitEvent | RequestEvent | ConnectedEvent | RefusedEvent | DroppedEvent | AcceptFailedEvent

# -- What complete takes ------------------------------------------------------------------------------------------
# (ticket, identity) where the certificate is registered; (ticket, reason) where the control plane refuses it, with
# one of refusal_reasons(), alone or as "REASON: what the operator should know of this case".
Answer: TypeAlias = tuple[int, IdentityTuple | str]

# -- What publish takes -------------------------------------------------------------------------------------------
# (account id, region, topic, payload, qos 0 or 1, retain, properties)
# properties: (payload is UTF-8 or None, message expiry seconds or None, response topic or None,
#              correlation data or None, content type or None, user properties)
PropertiesTuple: TypeAlias = tuple[bool | None, int | None, str | None, bytes | None, str | None, list[tuple[str, str]]]
Publication: TypeAlias = tuple[str, str, str, bytes, int, bool, PropertiesTuple]

# -- What read_certificate and read_request return ------------------------------------------------------------------
# (DER, as RFC 4514 writes it, components in their order: each a list of (object identifier in dotted numbers, text or
#  None where the value is no text, DER of the value))
NameTuple: TypeAlias = tuple[bytes, str, list[list[tuple[str, str | None, bytes]]]]

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
    issuer: NameTuple
    subject: NameTuple
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

    subject: NameTuple
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
        where AWS IoT closes without a word. ``tls13_session_tickets`` lets clients resume in TLS 1.3; in TLS 1.2 they
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

    def set_endpoints(self, endpoints: Sequence[tuple[str, str, str]]) -> None:
        """The whole table of (server name, account id, region): which SNI speaks for which realm."""

    def start(self) -> int:
        """Open the listener, start the threads, return the port. Raises GatewayError (port in use, no rights)."""

    def stop(self, grace: float = 5.0) -> None:
        """Stop accepting; MQTT 5 clients get DISCONNECT 0x8B, all are closed; return when all is flushed or after
        ``grace`` seconds. Idempotent. ``next_batch`` then returns an empty list at once."""

    def next_batch(self, limit: int, timeout: float) -> list[Event]:
        """Up to ``limit`` events, waiting at most ``timeout`` seconds for the first. Releases the GIL."""

    def complete(self, answers: Sequence[Answer]) -> None:
        """Answer tickets. An unknown or late ticket is ignored."""

    def invalidate(self, changes: Sequence[tuple[str, str, str, str]]) -> None:
        """(account id, region, kind, id): what is cached of it is forgotten, and live connections that stand on it
        are examined anew at once, and closed where the new answer refuses them, or where no answer comes in time.
        An answer to a ticket that was under way when something it stands on changed is thrown away and asked again.

        Kinds: "certificate" (certificate id): its status or mode, or which policies and things it has; also one that
        is new or gone. "policy" (name): which version is in force. "thing" (name): its type or attributes, the groups
        it is in, or their policies. "realm" (id ignored): everything. Raises ValueError for another kind. Call it
        after the change is committed, or the old state may be read again."""

    def publish(self, messages: Sequence[Publication], is_service: bool = False) -> list[str | None]:
        """Publish with no connection, as the iot-data API does; or as the service itself, which alone may on reserved
        topics. Per message None, or why it was refused: for a reason
        of the broker "NAME: sentence", with a name of refusal_reasons(). Raises GatewayError when stopped."""

    def reply(self, replies: Sequence[tuple[int, Publication]]) -> list[str | None]:
        """Answer requests: (connection of the request, what to publish, in the realm of the request). Only this
        connection gets it, and only if it has subscribed to the topic and may receive it. Per reply None, or why it
        was not sent. Raises GatewayError when stopped."""

    def statistics(self) -> list[tuple[str, int]]:
        """Counters and gauges by name: connections, admissions, refusals as "refused.NAME", messages and bytes in
        and out, drops as "messages_dropped.why", what clients make the server hold as "held.what"; "listening",
        "accept_failing" and "task_failing" (1 or 0); "tasks_failed", panics of the data plane's long-lived tasks, which
        run again; "heartbeat_age_ms", the milliseconds since its runtime last ran a task."""

def refusal_reasons() -> list[tuple[str, str]]:
    """Every reason for which the gate may refuse: (NAME, sentence). The one enumeration."""

def check_policy(document: str) -> None:
    """Raises PolicyError where AWS IoT would answer MalformedPolicyException."""

def certificate_id(der: bytes) -> str:
    """Lower-case hex SHA-256 of the DER: AWS IoT's certificateId."""

def certificate_variables(der: bytes) -> list[tuple[str, list[str]]]:
    """Every ``iot:Certificate.*`` policy variable this certificate gives, with its values in order."""

def read_certificate(der: bytes) -> CertificateFacts:
    """Take a certificate of any version apart. Raises CertificateError."""

def read_name(der: bytes) -> NameTuple:
    """Take a distinguished name apart. Raises CertificateError."""

def read_request(der: bytes) -> RequestFacts:
    """Take a certificate signing request (PKCS #10) apart. Raises CertificateError."""

# (action such as "iot:Publish", resource ARN)
ActionTuple: TypeAlias = tuple[str, str]
# (decision, names of policies that allow, names that deny, names of context values that were missing)
DecisionTuple: TypeAlias = tuple[Literal["ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY"], list[str], list[str], list[str]]

def evaluate(
    identity: IdentityTuple,
    certificate: bytes | None,
    client_id: str | None,
    requests: Sequence[ActionTuple],
) -> list[DecisionTuple]:
    """What the gate would decide for a connection of this identity: one decision per request.

    ``certificate`` is the leaf's DER (None: a principal without one). The thing association of AWS IoT (client id
    equals thing name, or an exclusive thing) is worked out as for a live connection.
    """
