"""Every metric of ``GET /metrics``, and the statistic of the health report that each sample is read from.

A statistic has the name ``SECTION.NAME`` of its place in `sekisho.server.health.Health.report`, such as
``mqtt.connections`` or ``parts.log.dropped``. A test compares this list with the report of a running server, in both
directions. ``docs/reference/metrics.md`` is written from this file.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for counters. A label has a fixed set
of values; none is a name that a device or an account has chosen. The names of AWS's metrics are those of
https://docs.aws.amazon.com/iot/latest/developerguide/metrics_dimensions.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sekisho.observe.refusal_metrics import AWS_METRICS
from sekisho.refusal import RefusalReason

SECTIONS: Final = ("mqtt", "api", "store")
"""Members of the health report that are statistics by name."""

Labels = tuple[str, ...]


class Kind(StrEnum):
    """The type of a metric, as Prometheus names it."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    kind: Kind
    help: str
    sources: Mapping[Labels, str]
    """The statistic of each sample, by the values of its labels."""
    labels: Labels = ()
    """Names of the labels."""
    aws: str = ""
    """AWS IoT's metric of the same meaning; empty where it has none."""
    divisor: float = 1
    """What a statistic is divided by, for the base unit."""
    zero_if_absent: bool = field(default=False, kw_only=True)
    """Whether the report leaves statistics out that are 0."""

    @property
    def description(self) -> str:
        """The help text with AWS's name."""
        return f"{self.help} AWS IoT: {self.aws}." if self.aws else self.help


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric at present, with the values of its labels."""

    labels: Labels
    value: float


def statistics_of(report: Mapping[str, Any]) -> Mapping[str, float]:
    """Return the statistics of a health report by their names."""
    found = {
        f"{section}.{name}": float(value) for section in SECTIONS for name, value in report.get(section, {}).items()
    }
    for part, facts in report["parts"].items():
        found |= {f"parts.{part}.{name}": float(value) for name, value in facts.items() if name != "reason"}
    return found


def samples_of(metric: Metric, statistics: Mapping[str, float]) -> Iterator[Sample]:
    """Yield the samples of a metric. A statistic that the server does not have at present gives none."""
    for labels, source in metric.sources.items():
        value = statistics.get(source, 0.0 if metric.zero_if_absent else None)
        if value is not None:
            yield Sample(labels, value / metric.divisor)


def _counter(name: str, source: str, text: str, aws: str = "") -> Metric:
    return Metric(f"sekisho_{name}_total", Kind.COUNTER, text, {(): source}, aws=aws)


def _gauge(name: str, source: str, text: str, divisor: float = 1) -> Metric:
    return Metric(f"sekisho_{name}", Kind.GAUGE, text, {(): source}, divisor=divisor)


def _labelled(kind: Kind, name: str, label: str, sources: Mapping[str, str], text: str, aws: str = "") -> Metric:
    total = "_total" if kind is Kind.COUNTER else ""
    by_labels: dict[Labels, str] = {(value,): source for value, source in sources.items()}
    return Metric(f"sekisho_{name}{total}", kind, text, by_labels, (label,), aws)


REFUSALS: Final = Metric(
    "sekisho_refusals_total",
    Kind.COUNTER,
    "Refusals of the gateway by reason, those of connections and of packets. The label aws_metric is AWS IoT's metric "
    "for the reason.",
    {(reason.value, AWS_METRICS[reason]): f"mqtt.refused.{reason.value}" for reason in RefusalReason},
    ("reason", "aws_metric"),
    zero_if_absent=True,
)

_PARTS: Final = ("api", "store", "data_folder", "mqtt", "threads", "log")
_PROBED: Final = ("store", "data_folder", "mqtt")
_DROPPED: Final = (
    "outbox_full", "queue_full", "budget", "expired", "not_authorized", "too_large", "rate", "unacknowledged",
)  # fmt: skip
_DIRECTIONS: Final = ("in", "out")
_HANDLER_KINDS: Final = {"process": "mqtt.handler_processes", "call": "mqtt.handler_calls"}


METRICS: Final[Sequence[Metric]] = (
    # Health
    _labelled(
        Kind.GAUGE,
        "part_ok",
        "part",
        {part: f"parts.{part}.ok" for part in _PARTS},
        "1 if the part of the server is ok, 0 if it is failing.",
    ),
    _labelled(
        Kind.GAUGE,
        "part_check_age_seconds",
        "part",
        {part: f"parts.{part}.checked_seconds_ago" for part in _PROBED},
        "Seconds since the last check of the part ended.",
    ),
    _gauge("background_threads", "parts.threads.running", "Background threads."),
    _counter("log_lines_written", "parts.log.written", "Lines written to the log."),
    _counter("log_lines_dropped", "parts.log.dropped", "Lines dropped because the log could not be written."),
    _gauge("log_lines_waiting", "parts.log.waiting", "Lines of the log that are not written yet."),
    # Connections of devices
    _gauge("connections", "mqtt.connections", "Connected devices."),
    _counter("connections_accepted", "mqtt.accepted", "TCP connections accepted on the MQTT port."),
    _counter("connections_accept_failures", "mqtt.accept_failures", "Failed attempts to accept a TCP connection."),
    _counter(
        "connections_displaced",
        "mqtt.half_open_displaced",
        "Connections that were not admitted yet and were closed to make room for new ones.",
    ),
    _counter("tls_handshakes", "mqtt.handshakes", "Finished TLS handshakes."),
    _counter("tls_handshakes_resumed", "mqtt.handshakes_resumed", "Finished TLS handshakes that resumed a session."),
    _counter("connections_admitted", "mqtt.admitted", "Connections whose certificate was admitted."),
    _counter("connects", "mqtt.connected", "CONNECT packets that the broker accepted.", "Connect.Success"),
    _counter("disconnects", "mqtt.disconnected", "Connections that ended after CONNACK."),
    REFUSALS,
    _gauge("refusals_waiting", "mqtt.refusals_waiting", "Refusals that wait to be logged."),
    _counter(
        "refusals_not_logged", "mqtt.refusals_dropped", "Refusals without a log line of their own, for lack of room."
    ),
    _gauge("principals", "mqtt.principals", "Certificates that the gateway has cached."),
    _gauge(
        "admission_requests_waiting",
        "mqtt.admission_requests_waiting",
        "Admission requests that the pump has not taken yet.",
    ),
    _counter(
        "connections_examined",
        "mqtt.connections_examined",
        "Live connections that were examined because the registry changed.",
    ),
    _counter(
        "authorities_replaced",
        "mqtt.authorities_replaced",
        "Live connections whose rights were replaced because the registry changed.",
    ),
    # Packets and messages
    _labelled(
        Kind.COUNTER,
        "packets",
        "direction",
        {each: f"mqtt.packets_{each}" for each in _DIRECTIONS},
        "MQTT packets read (in, without CONNECT) and written (out).",
    ),
    _labelled(
        Kind.COUNTER,
        "packet_bytes",
        "direction",
        {each: f"mqtt.bytes_{each}" for each in _DIRECTIONS},
        "Bytes of MQTT packets read (in) and written (out).",
    ),
    _counter(
        "packets_unencodable", "mqtt.packets_unencodable", "Packets that could not be encoded: a defect of Sekisho."
    ),
    _counter(
        "messages_published",
        "mqtt.messages_published",
        "Messages published: by devices, by the API, and by Sekisho itself such as presence events.",
        "PublishIn.Success",
    ),
    _counter(
        "messages_delivered",
        "mqtt.messages_delivered",
        "Messages sent to subscribers.",
        "PublishOut.Success",
    ),
    _labelled(
        Kind.COUNTER,
        "messages_dropped",
        "cause",
        {each: f"mqtt.messages_dropped.{each}" for each in _DROPPED},
        "Deliveries to one subscriber that were dropped.",
    ),
    _labelled(
        Kind.GAUGE,
        "held_bytes",
        "content",
        {
            "messages": "mqtt.held.message_bytes",
            "retained": "mqtt.held.retained_bytes",
            "sessions": "mqtt.held.session_bytes",
        },
        "Bytes that the broker holds for clients: messages in transit, retained messages, sessions.",
    ),
    _gauge("persistent_sessions", "mqtt.held.persistent_sessions", "Persistent sessions."),
    _gauge(
        "presence_records", "mqtt.held.presence_records", "Clients whose version number of presence events is kept."
    ),
    # The gateway's own state
    _gauge("gateway_listening", "mqtt.listening", "1 if the MQTT listener is open."),
    _gauge("gateway_accept_failing", "mqtt.accept_failing", "1 if the MQTT listener cannot accept connections."),
    _gauge("gateway_task_failing", "mqtt.task_failing", "1 if a task of the gateway failed within the last 30 s."),
    _counter("gateway_task_failures", "mqtt.tasks_failed", "Failures of the gateway's tasks, which run again."),
    _gauge(
        "gateway_heartbeat_age_seconds",
        "mqtt.heartbeat_age_ms",
        "Seconds since the gateway's runtime last ran a task.",
        divisor=1000,
    ),
    # Registration of certificates, and requests of devices
    _gauge(
        "registrations_waiting", "mqtt.registrations_waiting", "Unregistered certificates in the registration queue."
    ),
    _counter(
        "registrations_refused",
        "mqtt.registrations_refused",
        "Unregistered certificates that were refused because the registration queue was full.",
    ),
    _gauge(
        "device_requests_not_taken", "mqtt.requests_not_taken", "Requests of devices that the pump has not taken yet."
    ),
    _counter(
        "device_requests_dropped", "mqtt.requests_dropped", "Requests of devices dropped before the pump took them."
    ),
    _gauge("device_requests_waiting", "mqtt.requests_waiting", "Requests of devices that wait for a thread."),
    _gauge("device_requests_in_progress", "mqtt.requests_in_hand", "Requests of devices that are being answered."),
    _counter("device_requests_throttled", "mqtt.requests_throttled", "Requests of devices that were throttled."),
    _counter(
        "device_requests_unanswered",
        "mqtt.requests_throttled_unanswered",
        "Throttled requests of devices that got no answer.",
    ),
    # Handlers. Absent without handlers of the kind.
    _labelled(
        Kind.GAUGE,
        "handler_places",
        "kind",
        {name: f"{prefix}_places" for name, prefix in _HANDLER_KINDS.items()},
        "Calls of handlers that may run at a time: Python functions (process), webhooks and Lambda functions (call).",
    ),
    _labelled(
        Kind.GAUGE,
        "handler_places_busy",
        "kind",
        {name: f"{prefix}_busy" for name, prefix in _HANDLER_KINDS.items()},
        "Calls of handlers that run.",
    ),
    _labelled(
        Kind.GAUGE,
        "handler_calls_waiting",
        "kind",
        {name: f"{prefix}_waiting" for name, prefix in _HANDLER_KINDS.items()},
        "Calls of handlers that wait for a place.",
    ),
    _labelled(
        Kind.COUNTER,
        "handler_calls_refused",
        "kind",
        {name: f"{prefix}_refused" for name, prefix in _HANDLER_KINDS.items()},
        "Calls of handlers that were refused because no place was free in time. Begins at 0 again with a reload.",
    ),
    _gauge("handler_processes", "mqtt.handler_processes_running", "Processes of Python handlers."),
    _counter(
        "handler_processes_ended",
        "mqtt.handler_processes_ended_for_room",
        "Processes of Python handlers that were ended to make room for another handler's.",
    ),
    _counter(
        "handler_account_refusals",
        "mqtt.handler_refusals",
        "Calls that were refused because the handler is not for the account.",
    ),
    _counter(
        "handler_events_not_kept",
        "mqtt.handler_events_not_kept",
        "Events for handlers that were not stored because too many of the account wait.",
    ),
    _counter(
        "handler_events_removed",
        "mqtt.handler_events_forgotten",
        "Failed events for handlers that were removed to make room for new ones.",
    ),
    # The API
    _gauge("api_connections", "api.connections", "HTTP connections of the API."),
    _counter("api_connections_accepted", "api.accepted", "HTTP connections accepted."),
    _counter("api_connections_accept_failures", "api.accept_failures", "Failed attempts to accept an HTTP connection."),
    _counter("api_connections_refused", "api.refused", "HTTP connections refused because there were too many."),
    _counter("api_connections_displaced", "api.displaced", "Idle or arriving HTTP connections closed to make room."),
    _counter(
        "api_connections_timed_out",
        "api.timed_out",
        "HTTP connections closed because a request or its answer took too long.",
    ),
    _counter("api_requests_invalid", "api.invalid", "Requests refused because they were not HTTP, or too large."),
    _gauge("api_requests_in_progress", "api.requests_in_hand", "Requests of the API that are being answered."),
    _gauge("api_requests_waiting", "api.requests_waiting", "Authenticated requests of the API that wait for a thread."),
    _gauge("api_authentications_in_progress", "api.authentications_in_hand", "Signatures that are being verified."),
    _gauge(
        "api_authentications_waiting", "api.authentications_waiting", "Requests whose signature waits for a thread."
    ),
    _counter("api_requests_throttled", "api.requests_throttled", "Requests of the API that were throttled."),
    _counter(
        "api_requests_timed_out",
        "api.requests_timed_out",
        "Requests of the API that were answered with 503 because no thread was free in time.",
    ),
    # The store
    _counter(
        "store_write_transactions",
        "store.write_transactions",
        "Write transactions whose commit has ended, also with an error.",
    ),
    _counter("store_commits", "store.commits", "Commits. Write transactions that wait together share one."),
    _counter("store_rollbacks", "store.rollbacks", "Commits that failed, and transactions that were rolled back."),
)

INFO_NAME: Final = "sekisho_info"
INFO_HELP: Final = "Always 1. The label version is Sekisho's version."

PROCESS_METRICS: Final[Mapping[str, str]] = {
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_virtual_memory_bytes": "gauge",
    "process_start_time_seconds": "gauge",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
}
"""Metrics of the process, which prometheus-client reads from /proc: on Linux alone."""


def label_names() -> Mapping[str, frozenset[str]]:
    """Return the label names of every metric that an answer of ``/metrics`` may have."""
    return {
        **{metric.name: frozenset(metric.labels) for metric in METRICS},
        **dict.fromkeys(PROCESS_METRICS, frozenset[str]()),
        INFO_NAME: frozenset({"version"}),
    }
