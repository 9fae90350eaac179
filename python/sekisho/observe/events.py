"""Every event that the log can have, with its stable code.

A program that reads the log reads ``code``: a member's name in lower case. A code is never renamed, and the code of an
event that was removed is not used again. A sentence may be improved at any time. ``docs/reference/log-events.md`` is
written from this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, unique
from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING
from typing import Final

_REALM: Final = "account_id region"
_REFUSED: Final = f"reason detail {_REALM} certificate_id client_id peer server_name"
_CALL: Final = f"operation {_REALM} access_key_id source_ip request_id http_status http_method path"
_HOOK: Final = f"template_name function {_REALM} certificate_id client_id"
_FLEET: Final = f"topic {_REALM} client_id claim_certificate_id"
_TASK: Final = f"task_id {_REALM}"


@unique
class LogEvent(Enum):
    """The events of the log.

    Attributes:
        code: Its stable name.
        level: Of the standard library's ``logging``.
        sentence: What happened, in English.
        fields: The names of its fields, keys of ``event_fields.FIELDS``. A line need not have all of them.
    """

    code: str
    level: int
    sentence: str
    fields: Sequence[str]

    def __init__(self, level: int, sentence: str, fields: str = "") -> None:
        self.code = self.name.lower()
        self.level = level
        self.sentence = sentence
        self.fields = tuple(fields.split())

    # The server.
    SERVER_STARTED = INFO, "the server is ready", f"version api mqtt store data {_REALM} ready_ms"
    SERVER_STOPPING = INFO, "the server stops", "reason"
    DATABASE_TAKEN = CRITICAL, "another server has taken the database, and this one stops", "reason"
    SERVER_FAILED = CRITICAL, "the server has failed"
    SETTINGS_RELOADED = INFO, "the settings were read again and are in use", "settings settings_for_restart"
    SETTINGS_NOT_RELOADED = ERROR, "the settings were read again and cannot be used: nothing was changed", "reason"
    PART_FAILING = ERROR, "a part of the server fails", "reason part"
    PART_RECOVERED = INFO, "a part of the server works again", "part"
    HEALTH_REPORT_FAILED = ERROR, "the health report was not made"
    METRICS_FAILED = ERROR, "the metrics were not answered"
    MAINTENANCE_FAILED = ERROR, "a maintenance task failed", "task"
    THREAD_RESTARTING = ERROR, "a background thread failed and runs again", "thread"
    THREAD_FAILED = ERROR, "a thread has failed", "thread"
    EXCEPTION_IGNORED = ERROR, "an exception could not be raised", "where"
    LOG_LINES_DROPPED = WARNING, "log lines were dropped", "count"
    LIBRARY_MESSAGE = WARNING, "(what a library logs as a warning or as an error)", "logger"
    PYTHON_WARNING = WARNING, "(what Python warns of)", "logger"

    # Files, keys and certificates of the server.
    ROOT_CERTIFICATES_UNREADABLE = (
        WARNING,
        "other users cannot read the root certificates, because they may not pass through the data folder",
        "folder files_of_other_owners remedy",
    )
    SETTINGS_READABLE = (
        WARNING,
        "other users can read the settings, which contain the URL of the database",
        "file remedy",
    )
    CLOCK_BEFORE_ROOT = (
        WARNING,
        "the clock of this machine is before the beginning of the root certificate: one of the two is wrong",
        "file not_before clock",
    )
    SERVER_CERTIFICATE_REPLACED = WARNING, "a server certificate cannot be used and is replaced", "reason file"
    SERVER_CERTIFICATE_NOT_SAVED = ERROR, "a server certificate is served but cannot be saved", "reason file"
    ROOTS_FILE_REPLACED = WARNING, "the file of the root certificates was damaged and is written again", "reason file"
    SERVER_CERTIFICATES_NOT_RENEWED = ERROR, "the server certificates cannot be renewed and are still served", "reason"
    REGION_CERTIFICATES_NOT_CREATED = ERROR, "regions have no server certificate of their own", "reason"
    ENDPOINTS_NOT_UPDATED = ERROR, "the gateway does not serve the latest endpoints", "reason"
    ENDPOINTS_NOT_SERVED = (
        WARNING,
        "endpoints are in regions that are not in the setting: they are kept and not served",
        "regions count remedy",
    )
    ENDPOINTS_NOT_IN_CERTIFICATE = (
        WARNING,
        "the server certificate of the settings does not cover endpoints: their devices refuse the server",
        "endpoints count remedy",
    )
    SERVER_ROOT_NOT_KNOWN = (
        WARNING,
        "the root of the server certificate of the settings is not known, so clients are not told what to trust",
        "file issuer remedy",
    )
    BUCKETS_WITHOUT_ACCOUNT = (
        WARNING,
        "folders of buckets belong to no account and are not read",
        "folders count remedy",
    )

    # The API.
    API_CHANGE_MADE = INFO, "an API request made a change", _CALL
    API_REQUEST_ANSWERED = DEBUG, "an API request was answered", _CALL
    API_REQUEST_REFUSED = INFO, "an API request was refused", f"reason error_code {_CALL}"
    API_REQUEST_FAILED = ERROR, "an API request failed", _CALL
    API_REQUESTS_THROTTLED = WARNING, "API requests were throttled", "count account_id source_ip"
    API_REQUESTS_TIMED_OUT = WARNING, "API requests waited too long for a free thread", "count account_id source_ip"
    REGISTRY_UNAVAILABLE = ERROR, "the registry cannot be used", f"reason {_CALL}"
    HTTP_REQUESTS_REFUSED = WARNING, "HTTP requests were refused", "reason error_code peer count"
    HTTP_CONNECTIONS_REFUSED = WARNING, "connections to the API were refused because there are too many", "peer count"
    HTTP_ACCEPT_FAILED = WARNING, "connections to the API cannot be accepted", "reason count"
    HTTP_CONNECTION_FAILED = ERROR, "a connection to the API failed"
    HTTP_CONNECTIONS_NOT_EXAMINED = ERROR, "connections to the API could not be examined"

    # What the gateway refuses.
    CONNECTION_REFUSED = WARNING, "connection refused", _REFUSED
    PUBLISH_REFUSED = WARNING, "publish refused", _REFUSED
    SUBSCRIPTION_REFUSED = WARNING, "subscription refused", _REFUSED
    UNSUBSCRIBE_REFUSED = WARNING, "unsubscribe refused", _REFUSED
    DELIVERY_REFUSED = WARNING, "delivery refused", _REFUSED
    PACKET_REFUSED = WARNING, "packet refused", _REFUSED
    CONNECTION_ENDED_BY_ALERT = WARNING, "connection ended by a TLS alert", _REFUSED

    # The gateway and its events.
    MQTT_ACCEPT_FAILED = WARNING, "MQTT connections cannot be accepted", "reason count"
    GATEWAY_EVENTS_DROPPED = ERROR, "events were dropped because they were not taken in time", "queue account_id count"
    GATEWAY_EVENTS_NOT_HANDLED = ERROR, "events of the gateway were not handled", "events"
    CERTIFICATES_NOT_LOOKED_UP = ERROR, "certificates cannot be looked up", "reason events"
    CERTIFICATE_NOT_EXAMINED = ERROR, "a certificate was not examined", "certificate_id"
    CONNECTED_NOT_RECORDED = (
        ERROR,
        "it cannot be recorded yet that awaited certificates have connected",
        "reason certificates",
    )
    CONNECTED_NOT_HANDLED = ERROR, "it was not handled that awaited certificates have connected", "certificates"
    REGISTRATION_QUEUE_FULL = WARNING, "the registration queue is full for an account", f"{_REALM} count"

    # Requests of devices by MQTT.
    DEVICE_REQUESTS_THROTTLED = (
        WARNING,
        "requests of devices were throttled",
        f"count {_REALM} topic client_id certificate_id",
    )
    DEVICE_REQUEST_NOT_ANSWERED = ERROR, "a request of a device was not answered", "topic client_id"
    THROTTLED_REQUESTS_NOT_ANSWERED = ERROR, "throttled requests of devices were not answered", "requests"
    REPLY_NOT_SENT = WARNING, "the answer to a device was not sent", f"reason {_REALM} topic client_id count"

    # Registration and provisioning of devices.
    DEVICE_PROVISIONED = (
        INFO,
        "a device was provisioned",
        f"thing_name certificate_id ca_certificate_id claim_certificate_id {_REALM} client_id",
    )
    DEVICE_NOT_PROVISIONED = (
        ERROR,
        "a device was not provisioned",
        f"reason certificate_id ca_certificate_id {_REALM}",
    )
    PROVISIONING_UNAVAILABLE = ERROR, "devices cannot be provisioned", "reason certificates"
    CERTIFICATE_NOT_REGISTERED = (
        WARNING,
        "a certificate was not registered automatically",
        f"reason certificate_id ca_certificate_id {_REALM} client_id",
    )
    REGISTRATION_UNAVAILABLE = ERROR, "certificates cannot be registered automatically", "reason certificates"
    REGISTRATION_HANDLERS_NOT_CALLED = ERROR, "handlers are not called for new certificates", "reason certificates"
    PROVISIONING_REJECTED = WARNING, "a request of fleet provisioning was rejected", f"reason error_code {_FLEET}"
    PROVISIONING_FAILED = ERROR, "a request of fleet provisioning failed", _FLEET
    HOOK_FAILED = ERROR, "a pre-provisioning hook failed", f"reason {_HOOK}"
    HOOK_ANSWER_INVALID = (
        ERROR,
        "a pre-provisioning hook answered in a form that is not the one of AWS IoT",
        f"remedy {_HOOK}",
    )
    HOOK_CHANGED_CERTIFICATE = (
        ERROR,
        "a pre-provisioning hook gave another value to a parameter of the certificate",
        f"parameter {_HOOK}",
    )
    TEMPLATE_UNSAFE = (
        WARNING,
        "a provisioning template builds a policy document as text",
        f"reason template_name {_REALM}",
    )
    CERTIFICATE_ROTATED = INFO, "a certificate was rotated", f"old_certificate_id new_certificate_id {_REALM}"

    # Bulk registrations.
    BULK_REGISTRATION_ENDED = (
        INFO,
        "a bulk registration has ended",
        f"status reason success_count failure_count {_TASK}",
    )
    BULK_REGISTRATION_FAILED = ERROR, "a bulk registration failed", _TASK
    BULK_REGISTRATION_STEP_FAILED = ERROR, "a bulk registration failed after a step that was stored", _TASK
    BULK_REGISTRATION_LINE_FAILED = ERROR, "a line of a bulk registration failed", f"line_number {_TASK}"
    BULK_REGISTRATION_WAITS_FOR_STORE = ERROR, "a bulk registration waits for the store", f"reason {_TASK}"
    BULK_REGISTRATION_WAITS_FOR_INPUT = WARNING, "a bulk registration waits for its input", f"reason {_TASK}"
    BULK_REGISTRATION_TAKEN = WARNING, "another server runs a bulk registration, which this one leaves to it", _TASK

    # Events that the registry publishes by MQTT.
    PUBLICATION_DELAYED = WARNING, "an event was not published yet", "reason topic"
    PUBLICATION_REFUSED = ERROR, "an event cannot be published and is given up", "reason topic"
    PUBLICATIONS_WAIT_FOR_STORE = ERROR, "events to publish wait for the store", "reason"

    # Handlers.
    HANDLER_PRINTED = INFO, "a handler printed a line", f"text handler {_REALM}"
    HANDLER_RAISED = WARNING, "a handler raised an exception", f"error_type error_message stack_trace handler {_REALM}"
    HANDLER_NOT_LOADED = WARNING, "a handler cannot be loaded", f"error_type stack_trace handler {_REALM}"
    HANDLER_PROCESS_REPLACED = (
        INFO,
        "an idle process of a handler was ended, to make room for another",
        f"handler {_REALM} limit",
    )
    HANDLER_WITHOUT_ACCOUNT = WARNING, "a handler is called for no account", "reason handler"
    HANDLER_ACCOUNT_UNKNOWN = (
        WARNING,
        "the settings of a handler have an account that does not exist",
        "handler account_id",
    )
    HANDLER_REFUSED_TO_ACCOUNT = WARNING, "a handler was not called for an account", f"reason handler {_REALM} count"
    HANDLER_NOT_CALLED = ERROR, "a handler was not called because of an unexpected error", f"handler {_REALM}"
    HANDLER_EVENT_DELIVERED = INFO, "a handler has processed an event", f"handler subject {_REALM}"
    HANDLER_EVENT_DELAYED = (
        WARNING,
        "a handler has not processed an event yet",
        f"reason handler subject {_REALM} attempts seconds_to_next",
    )
    HANDLER_EVENT_GIVEN_UP = (
        ERROR,
        "a handler has not processed an event, which is given up",
        f"reason handler subject {_REALM} attempts remedy",
    )
    HANDLER_EVENT_NOT_KEPT = (
        ERROR,
        "an event for a handler was not kept, because too many of the account wait",
        f"handler subject {_REALM} limit count",
    )
    HANDLER_EVENTS_FORGOTTEN = (
        ERROR,
        "events for a handler that were given up are deleted, to make room for new ones",
        "handler account_id limit count",
    )
    HANDLER_EVENTS_WAIT_FOR_STORE = ERROR, "events for a handler wait for the store", "reason handler"
    HANDLER_DELIVERY_FAILED = ERROR, "the delivery of an event to a handler failed unexpectedly", "handler"
