"""The fields of log lines: one name for one thing, with AWS's name in snake_case where AWS has one.

Every line also has ``timestamp``, ``level``, ``code`` and ``event`` (``LINE_FIELDS``). A field whose value is None is
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LINE_FIELDS: Final[Mapping[str, str]] = {
    "timestamp": "When the line was written: UTC, ISO 8601.",
    "level": "debug, info, warning, error or critical.",
    "code": "The event's code. It does not change between versions, and a code that was removed is not used again.",
    "event": "The event's sentence. It may change between versions: programs read `code`.",
    "exception": "The traceback of an exception, without the values of variables.",
}
"""Those that the log itself adds."""

FIELDS: Final[Mapping[str, str]] = {
    # What happened.
    "reason": "Why: a name of [the reasons for refusals](refusals.md) where the gateway refuses, otherwise a sentence.",
    "detail": "A sentence about the reason, for an operator.",
    "remedy": "What to do.",
    "count": "How many such events, folders or regions the line is about, where one line is about several.",
    "error_code": "The error's code, as the client receives it.",
    "error_type": "The class of the exception.",
    "error_message": "The text of the exception.",
    "stack_trace": "The handler's traceback.",
    "status": "The status, as the API returns it.",
    # Whose it is.
    "account_id": "The AWS account id.",
    "region": "The AWS region.",
    "certificate_id": "The certificate id of the device.",
    "ca_certificate_id": "The certificate id of the CA certificate that signed the device's certificate.",
    "claim_certificate_id": "The certificate id of the provisioning claim.",
    "old_certificate_id": "The certificate id that a rotation replaces.",
    "new_certificate_id": "The certificate id that a rotation leaves.",
    "client_id": "The MQTT client id.",
    "thing_name": "The name of the thing.",
    "template_name": "The name of the provisioning template.",
    "parameter": "The name of a template's parameter.",
    "topic": "The MQTT topic.",
    # Who asks.
    "peer": "Address and port of the client.",
    "source_ip": "Address of the client.",
    "server_name": "The server name that the client sent in its TLS handshake (SNI).",
    "access_key_id": "The access key id that signed the request. The secret access key is in no line.",
    "operation": "The name of the API operation.",
    "http_method": "The method of the HTTP request, where it is for no operation of AWS.",
    "path": "The path of the HTTP request, where it is for no operation of AWS.",
    "http_status": "The HTTP status of the response.",
    "request_id": "The request id, which the response has as `x-amzn-requestid`.",
    # Handlers.
    "handler": "The handler's name in the settings.",
    "function": "The ARN of the hook's function, as the template has it.",
    "text": "A line that a handler printed.",
    "subject": "What the event for a handler is about: a certificate id.",
    "attempts": "Calls so far that failed.",
    "seconds_to_next": "Seconds until the next attempt.",
    "limit": "The limit that is reached.",
    # Bulk registrations.
    "task_id": "The id of the bulk registration task.",
    "line_number": "The number of a line of its input, from 1.",
    "success_count": "Lines that were registered.",
    "failure_count": "Lines that failed.",
    # Numbers of what is affected.
    "certificates": "How many certificates are affected.",
    "events": "How many events of the gateway are affected.",
    "requests": "How many requests are affected.",
    "endpoints": "Server names of endpoints, the first twenty.",
    "issuer": "The issuer of the last certificate of a chain.",
    "settings": "Names of settings that have another value than before.",
    "settings_for_restart": "Names of settings that have another value, which the server takes only when it starts.",
    "regions": "Names of regions, the first few.",
    # The server.
    "version": "The version of Sekisho.",
    "api": "The URL of the API.",
    "mqtt": "Host and port of the MQTT listener.",
    "store": "The store: the file of SQLite, or the URL of PostgreSQL without its password.",
    "data": "The data folder.",
    "ready_ms": "Milliseconds until everything answers, from when the settings were read.",
    "part": "The part of the server, as the health report names it.",
    "queue": "The queue of the gateway.",
    "task": "The maintenance task.",
    "thread": "The name of the thread.",
    "where": "The object in which the exception occurred.",
    "logger": "The library's logger.",
    # Files.
    "file": "The file.",
    "folder": "The folder.",
    "folders": "The folders, the first few.",
    "files_of_other_owners": "Files that belong to other users, the first few.",
    "not_before": "The beginning of the certificate's validity.",
    "clock": "The time of this machine's clock.",
}
