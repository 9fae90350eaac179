"""AWS IoT's metric for each reason of a refusal.

AWS counts refusals by request and kind of cause; Sekisho by reason. A reason for which AWS has no metric has an
empty name.
https://docs.aws.amazon.com/iot/latest/developerguide/metrics_dimensions.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sekisho.refusal import RefusalReason

_REASONS: Final[Mapping[str, Sequence[RefusalReason]]] = {
    "Connection.AuthNError": (
        RefusalReason.TLS_VERSION_UNSUPPORTED,
        RefusalReason.TLS_NO_SHARED_ALGORITHM,
        RefusalReason.SERVER_CERTIFICATE_REFUSED,
        RefusalReason.DEVICE_CERTIFICATE_MISSING,
        RefusalReason.DEVICE_CERTIFICATE_UNREADABLE,
        RefusalReason.DEVICE_CERTIFICATE_KEY_UNSUPPORTED,
        RefusalReason.DEVICE_KEY_MISMATCH,
        RefusalReason.TLS_FAILED,
        RefusalReason.TLS_ALERT_RECEIVED,
        RefusalReason.SNI_MISUSED,
        RefusalReason.DEVICE_CERTIFICATE_NOT_REGISTERED,
        RefusalReason.DEVICE_CERTIFICATE_INACTIVE,
        RefusalReason.DEVICE_CERTIFICATE_REVOKED,
        RefusalReason.DEVICE_CERTIFICATE_PENDING_TRANSFER,
        RefusalReason.DEVICE_CERTIFICATE_PENDING_ACTIVATION,
        RefusalReason.DEVICE_CERTIFICATE_EXPIRED,
        RefusalReason.DEVICE_CERTIFICATE_NOT_YET_VALID,
        RefusalReason.CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI,
        RefusalReason.AMBIGUOUS_WITHOUT_SNI,
        RefusalReason.CA_NOT_REGISTERED,
        RefusalReason.CA_INACTIVE,
        RefusalReason.CA_AUTO_REGISTRATION_DISABLED,
        RefusalReason.CA_NOT_IN_CHAIN_AND_NO_SNI,
        RefusalReason.CA_IS_SNI_ONLY_AND_NO_SNI,
        RefusalReason.REGISTRATION_REFUSED,
        RefusalReason.DEVICE_CERTIFICATE_REVOKED_BEFORE,
        RefusalReason.DEVICE_CERTIFICATE_COPIED,
        RefusalReason.DEVICE_CERTIFICATE_PROVISIONED,
        RefusalReason.PROVISIONING_FAILED,
        RefusalReason.CERTIFICATE_MOVED_ACCOUNT,
        RefusalReason.AUTHORIZATION_FAILURE,
    ),
    "Connect.AuthError": (
        RefusalReason.CONNECT_NOT_AUTHORIZED,
        RefusalReason.WILL_NOT_AUTHORIZED,
        RefusalReason.WILL_RETAIN_NOT_AUTHORIZED,
    ),
    "Connect.ClientError": (
        RefusalReason.FIRST_PACKET_NOT_CONNECT,
        RefusalReason.CONNECT_MALFORMED,
        RefusalReason.PROTOCOL_VERSION_UNSUPPORTED,
        RefusalReason.CLIENT_ID_EMPTY,
        RefusalReason.CLIENT_ID_TOO_LONG,
        RefusalReason.CLIENT_ID_RESERVED,
        RefusalReason.CONNECT_TOO_LARGE,
        RefusalReason.MAXIMUM_PACKET_SIZE_TOO_SMALL,
        RefusalReason.ENHANCED_AUTHENTICATION_NOT_SUPPORTED,
        RefusalReason.WILL_QOS_NOT_SUPPORTED,
        RefusalReason.WILL_TOPIC_INVALID,
        RefusalReason.WILL_TOPIC_RESERVED,
        RefusalReason.WILL_TOO_LARGE,
        RefusalReason.UNSUPPORTED_PROTOCOL_VERSION,
    ),
    "Connect.ClientIDThrottle": (RefusalReason.CLIENT_ID_THROTTLED,),
    "Connect.Throttle": (
        RefusalReason.TOO_MANY_CONNECTIONS,
        RefusalReason.ADMISSION_QUEUE_FULL,
        RefusalReason.TOO_MANY_SESSIONS,
        RefusalReason.SESSION_MEMORY_FULL,
    ),
    "Connect.ServerError": (
        RefusalReason.POLICY_UNREADABLE,
        RefusalReason.CONTROL_PLANE_TIMEOUT,
        RefusalReason.CONTROL_PLANE_FAILED,
    ),
    "PublishIn.AuthError": (RefusalReason.PUBLISH_NOT_AUTHORIZED,),
    "PublishIn.ClientError": (
        RefusalReason.QOS_NOT_SUPPORTED,
        RefusalReason.TOPIC_INVALID,
        RefusalReason.TOPIC_RESERVED,
        RefusalReason.TOPIC_ALIAS_INVALID,
        RefusalReason.TOPIC_ALIAS_UNKNOWN,
        RefusalReason.PAYLOAD_TOO_LARGE,
        RefusalReason.PROPERTIES_TOO_LARGE,
        RefusalReason.RETAIN_ON_RESERVED_TOPIC,
        RefusalReason.PACKET_ID_IN_USE,
        RefusalReason.RECEIVE_MAXIMUM_EXCEEDED,
    ),
    "PublishIn.Throttle": (
        RefusalReason.PUBLISH_RATE,
        RefusalReason.MESSAGE_MEMORY_FULL,
    ),
    "PublishRetained.AuthError": (RefusalReason.RETAIN_NOT_AUTHORIZED,),
    "PublishRetained.Throttle": (RefusalReason.RETAINED_STORE_FULL,),
    "PublishOut.AuthError": (RefusalReason.RECEIVE_NOT_AUTHORIZED,),
    "Subscribe.AuthError": (RefusalReason.SUBSCRIBE_NOT_AUTHORIZED,),
    "Subscribe.ClientError": (
        RefusalReason.TOO_MANY_FILTERS,
        RefusalReason.SUBSCRIPTION_IDENTIFIER_NOT_SUPPORTED,
        RefusalReason.FILTER_INVALID,
        RefusalReason.FILTER_RESERVED,
        RefusalReason.TOO_MANY_SUBSCRIPTIONS,
        RefusalReason.SHARED_GROUP_FULL,
    ),
    "": (
        RefusalReason.HTTP_ON_MQTT_PORT,
        RefusalReason.MQTT_WITHOUT_TLS,
        RefusalReason.NOT_TLS,
        RefusalReason.CLOSED_DURING_HANDSHAKE,
        RefusalReason.HANDSHAKE_TIMEOUT,
        RefusalReason.CONNECT_TIMEOUT,
        RefusalReason.CLOSED_BEFORE_CONNECT,
        RefusalReason.HTTP_IN_TLS,
        RefusalReason.SECOND_CONNECT,
        RefusalReason.UNEXPECTED_PACKET,
        RefusalReason.MALFORMED_PACKET,
        RefusalReason.PROTOCOL_ERROR,
        RefusalReason.PACKET_TOO_LARGE,
        RefusalReason.SESSION_EXPIRY_FROM_ZERO,
    ),
}

AWS_METRICS: Final[Mapping[RefusalReason, str]] = {
    reason: metric for metric, reasons in _REASONS.items() for reason in reasons
}
